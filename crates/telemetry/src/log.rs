//! The log: single lines on standard output.
//!
//! The Functions host takes every line on standard error for an error
//! (functions-eventhubs-keda.md 1.6). `LOG_FORMAT=json` gives JSON lines;
//! `RUST_LOG` chooses what is logged.

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{Directive, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::environment::variable;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info";

/// Our packages, as their lines are marked. Only what they say leaves the
/// process by OTLP, and only they say more than [`LIBRARIES_MAX`]: a library may
/// print what it likes into its spans and lines.
const OURS: [&str; 18] = [
    "azure",
    "custom_handler",
    "delivery",
    "expressions",
    "fhir_client",
    "folder",
    "group_convert",
    "https_server",
    "hub_client",
    "iotc",
    "local",
    "mapping",
    "native",
    "normalize",
    "operator",
    "resource_provider",
    "settings",
    "telemetry",
];

/// Below this level libraries print frames, bodies and addresses; those hold
/// identifiers and readings of patients. `RUST_LOG` cannot ask for it: neither
/// for everything, nor for a library, nor for a module of one, which an
/// `EnvFilter` would prefer to whatever is said of the library.
const LIBRARIES_MAX: LevelFilter = LevelFilter::WARN;

/// OpenTelemetry reports each failure to send, three times over, for as long as
/// a collector is away; [`crate::otlp`] reports them instead, at a measured
/// rate.
const SILENCED: [&str; 5] = [
    "opentelemetry=off",
    "opentelemetry_sdk=off",
    "opentelemetry-otlp=off",
    "opentelemetry-http=off",
    "opentelemetry-prometheus=off",
];

/// What to log, and what of `RUST_LOG` and `LOG_FORMAT` could not be read.
#[derive(Debug)]
pub(crate) struct LogSettings {
    filter: EnvFilter,
    json: bool,
    /// Each a sentence for the log.
    pub(crate) problems: Vec<String>,
}

impl LogSettings {
    /// Of the environment.
    pub(crate) fn read() -> LogSettings {
        LogSettings::of(variable("RUST_LOG").as_deref(), variable("LOG_FORMAT").as_deref())
    }

    fn of(filter: Option<&str>, format: Option<&str>) -> LogSettings {
        let mut problems = Vec::new();
        let filter = filter_of(filter.unwrap_or_default(), &mut problems);
        let json = format.is_some_and(|format| format.eq_ignore_ascii_case("json"));
        if let Some(format) = format.filter(|format| !json && !format.eq_ignore_ascii_case("text")) {
            problems.push(format!("`LOG_FORMAT` is `{format}`; expected `json` or `text`"));
        }
        LogSettings { filter, json, problems }
    }

    /// The same choice, for what goes to a collector.
    pub(crate) fn filter(&self) -> EnvFilter {
        self.filter.clone()
    }

    /// The layer that writes the lines, without the spans around them: those are
    /// for the trace, and cost nothing where there is none.
    pub(crate) fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> Box<dyn Layer<S> + Send + Sync> {
        let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(false);
        let may = |metadata: &Metadata<'_>| metadata.is_event() && may_be_logged(metadata.target(), metadata.level());
        let filter = filter_fn(may).and(self.filter());
        match self.json {
            true => Box::new(lines.json().flatten_event(true).with_filter(filter)),
            false => Box::new(lines.with_filter(filter)),
        }
    }
}

/// Whether something was said by one of our packages.
pub(crate) fn is_ours(metadata: &Metadata<'_>) -> bool {
    is_our_target(metadata.target())
}

/// Whether somebody may say something at this level; whether it was asked for is
/// another matter.
fn may_be_logged(target: &str, level: &Level) -> bool {
    *level <= LIBRARIES_MAX || is_our_target(target)
}

fn is_our_target(target: &str) -> bool {
    let package = target.split("::").next().unwrap_or_default();
    OURS.contains(&package)
}

/// What `text`, the value of `RUST_LOG`, asks for. A directive
/// that cannot be read is a problem and left out; so is a bare word that is
/// neither a level nor a package known here, which would be taken for the name
/// of one and silence all others.
fn filter_of(text: &str, problems: &mut Vec<String>) -> EnvFilter {
    let mut filter = EnvFilter::default();
    let mut has_any = false;
    for directive in directives(text) {
        match parse(directive) {
            Some(parsed) => {
                filter = filter.add_directive(parsed);
                has_any = true;
            }
            None => problems.push(format!(
                "`RUST_LOG` has `{directive}`, which is left out; expected a level (`error`, `warn`, `info`, \
                 `debug`, `trace`, `off`) or `package=level`"
            )),
        }
    }
    let silenced = SILENCED.iter().filter_map(|directive| directive.parse().ok());
    let filter = match has_any {
        true => filter,
        false => EnvFilter::new(DEFAULT_FILTER),
    };
    silenced.fold(filter, EnvFilter::add_directive)
}

fn parse(directive: &str) -> Option<Directive> {
    let is_bare = !directive.contains(['=', '[']);
    let known = || directive.parse::<LevelFilter>().is_ok() || is_our_target(directive);
    if is_bare && !known() { None } else { directive.parse().ok() }
}

/// The directives of `text`; a comma within `[span{field=value,…}]` divides
/// none.
fn directives(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let parts = text.split(move |c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_silenced_is_a_directive() {
        for directive in SILENCED {
            assert!(directive.parse::<Directive>().is_ok(), "{directive}");
        }
    }

    #[test]
    fn says_which_directives_cannot_be_read() {
        let cases = [
            ("", 0),
            ("info", 0),
            ("WARN,normalize=debug, fhir_client::save=trace,hyper=info", 0),
            ("info,delivery", 0),
            ("[window{partition=1,events=2}]=debug", 0),
            ("loud", 1),
            ("info,loud", 1),
            ("normalize=loud", 1),
            ("loud,quiet,info", 2),
        ];
        for (text, expected) in cases {
            let settings = LogSettings::of(Some(text), None);
            assert_eq!(settings.problems.len(), expected, "{text}: {:?}", settings.problems);
        }
    }

    /// `loud` alone used to be read as the name of a package, and nothing was
    /// logged.
    #[test]
    fn logs_as_by_default_when_nothing_can_be_read() {
        let text = |filter| LogSettings::of(Some(filter), None).filter.to_string();
        assert!(text("loud").split(',').any(|directive| directive == "info"), "{}", text("loud"));
        assert!(!text("error,loud").split(',').any(|directive| directive == "info"), "{}", text("error,loud"));
    }

    /// Found by the canary: `RUST_LOG=azure_core_amqp::fe2o3=trace` printed the
    /// bodies of events, since what is said of a module goes before what is said
    /// of its package.
    #[test]
    fn libraries_say_no_more_than_warnings_whatever_is_asked_for() {
        for target in ["azure_core_amqp::fe2o3::sender", "hyper::proto", "typespec_client_core::http", "azure_core"] {
            assert!(!may_be_logged(target, &Level::INFO) && !may_be_logged(target, &Level::TRACE), "{target}");
            assert!(may_be_logged(target, &Level::WARN) && may_be_logged(target, &Level::ERROR), "{target}");
        }
        assert!(may_be_logged("azure::event_hubs", &Level::TRACE));
    }

    /// Whoever is not among ours says nothing below a warning.
    #[test]
    fn every_package_that_logs_is_ours() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let folders =
            ["crates", "functions"].map(|folder| std::fs::read_dir(format!("{root}/{folder}")).expect("packages"));
        for package in folders.into_iter().flatten().map(|package| package.expect("a package").path()) {
            let Ok(manifest) = std::fs::read_to_string(package.join("Cargo.toml")) else { continue };
            let name = package.file_name().and_then(|name| name.to_str()).expect("a name").replace('-', "_");
            if manifest.contains("\ntracing.workspace") {
                assert!(is_our_target(&name), "{name}");
            }
        }
    }

    #[test]
    fn says_that_a_format_is_unknown() {
        let problems = |format| LogSettings::of(None, Some(format)).problems.len();
        assert_eq!((problems("json"), problems("TEXT"), problems("xml")), (0, 0, 1));
    }

    #[test]
    fn tells_our_packages_from_others_with_names_alike() {
        for (target, expected) in [("azure", true), ("azure::hub", true), ("azure_core", false), ("reqwest", false)] {
            assert_eq!(is_our_target(target), expected, "{target}");
        }
    }
}
