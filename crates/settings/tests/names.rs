//! Names of settings are the same in the code, in the list, and in the pages.
//!
//! ```text
//! what the sources read == settings::names::READ
//! the list == the tables of docs/settings.md (and docs/telemetry.md)
//! every `Prefix__Name` anywhere in sources and pages is one of the list
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use settings::names::{HOST, READ, Remark, WITHOUT_EFFECT, remark};

/// Read by the OpenTelemetry SDK as well as by us, and documented with what the
/// SDK alone reads.
const STANDARD: &str = "OTEL_";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sources of a folder without their tests.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
                let source = read(&path);
                text.push_str(source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
            }
        }
    }
    text
}

/// What stands between `before` and the next quotation mark, wherever.
fn after<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect()
}

/// Names of settings, in lower case.
type Names = BTreeSet<String>;

fn lower<'n>(names: impl IntoIterator<Item = &'n str>) -> Names {
    names.into_iter().map(str::to_ascii_lowercase).collect()
}

/// What serde is asked for, and what is asked of the environment.
fn asked_for() -> Names {
    let structs =
        sources("crates/settings/src") + &sources("functions/normalize/src") + &sources("functions/group-convert/src");
    let direct = sources("crates/telemetry/src") + &sources("crates/native/src");
    let mut names = lower(after(&structs, "rename = \""));
    names.extend(lower(after(&direct, "variable(\"").into_iter().chain(after(&direct, "var(\""))));
    let insights = after(&direct, "\"APP").into_iter().map(|rest| format!("app{rest}").to_ascii_lowercase());
    names.extend(insights);
    names.retain(|name| !name.starts_with(&STANDARD.to_ascii_lowercase()));
    names
}

/// What the first cells of the tables of a page name.
fn documented(page: &str) -> BTreeSet<String> {
    let text = read(&root().join("docs").join(page));
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    // What stands between backticks: each second piece, from the first on.
    cells.flat_map(|cell| cell.split('`').step_by(2)).map(str::to_owned).collect()
}

/// Everything that looks like a setting: letters, two underlines, letters.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let is_name = |word: &&str| {
        word.split_once("__").is_some_and(|(prefix, rest)| {
            prefix.starts_with(|first: char| first.is_ascii_uppercase()) && !rest.is_empty()
        })
    };
    words.filter(is_name).collect()
}

#[test]
fn the_list_has_what_is_read_and_nothing_else() {
    let (asked_for, listed) = (asked_for(), lower(READ.iter().copied()));
    let not_listed: Vec<_> = asked_for.difference(&listed).collect();
    let not_read: Vec<_> = listed.difference(&asked_for).collect();
    assert!(
        not_listed.is_empty() && not_read.is_empty(),
        "`READ` in crates/settings/src/names.rs lacks {not_listed:?}, and nothing reads {not_read:?}"
    );
    let command_line = sources("crates/cli/src");
    let of_command_line = lower(after(&command_line, "rename = \"").into_iter().filter(|name| name.contains("__")));
    assert!(of_command_line.is_subset(&listed), "the functions read none of {:?}", &of_command_line - &listed);
}

#[test]
fn the_page_has_the_list_and_nothing_else() {
    let listed = READ.iter().chain(HOST).copied().chain(WITHOUT_EFFECT.iter().map(|(name, _)| *name));
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    let page = documented("settings.md");
    let missing: Vec<_> = listed.difference(&page).collect();
    let is_other =
        |name: &&String| ["AzureFunctionsJobHost__", "AZURE_", STANDARD].iter().any(|other| name.starts_with(other));
    let unknown: Vec<_> = page.difference(&listed).filter(|name| !is_other(name)).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/settings.md lacks {missing:?}, and nothing reads {unknown:?}"
    );
}

#[test]
fn the_page_says_of_what_has_no_effect_what_the_log_says() {
    let page = read(&root().join("docs/settings.md"));
    for (name, reason) in WITHOUT_EFFECT {
        let row = page.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{name}`")));
        assert!(row.is_some_and(|row| row.ends_with(&format!("| {reason} |"))), "`{name}`: {reason}");
    }
}

/// A setting that is read is checked, and what the check says is in the page
/// that the functions' tests write; or nothing can be wrong with it.
#[test]
fn the_page_of_errors_has_every_setting_that_can_be_bad() {
    /// Any text will do, or it is no function's check that says so.
    const NEVER_BAD: [&str; 18] = [
        "APPINSIGHTS_INSTRUMENTATIONKEY",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "AZURE_AUTHORITY_HOST",
        "AzureWebJobsStorage__accountName",
        "AzureWebJobsStorage__clientId",
        "Compatibility__EncounterIdentifierSystem",
        "Compatibility__PatientIdentifierSystem",
        "Connector__Name",
        "FhirService__Resource",
        "HOSTNAME",
        "Ingest__Token",
        "InputEventHub__EventHubConsumerGroup",
        "InternalIdentity__ClientId",
        "LOG_FORMAT",
        "NormalizationEventHub__EventHubConsumerGroup",
        "Process__Name",
        "RUST_LOG",
        "ResourceIdentity__DefaultDeviceIdentifierSystem",
    ];
    let page = read(&root().join("docs/settings-errors.md"));
    let (_, page) = page.split_once("\n## ").expect("a section");
    let said: BTreeSet<&str> = READ.iter().copied().filter(|name| page.contains(&format!("`{name}`"))).collect();
    let never_said: BTreeSet<&str> = READ.iter().copied().filter(|name| !said.contains(name)).collect();
    assert_eq!(never_said, NEVER_BAD.into_iter().collect(), "docs/settings-errors.md, and `NEVER_BAD`");
}

#[test]
fn the_page_on_telemetry_has_the_standard_variables_that_are_read() {
    let direct = sources("crates/telemetry/src");
    let read: BTreeSet<String> = after(&direct, "variable(\"").into_iter().map(str::to_owned).collect();
    let page = documented("telemetry.md");
    let missing: Vec<_> = read.iter().filter(|name| name.starts_with(STANDARD) && !page.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/telemetry.md lacks {missing:?}");
}

/// A name in a page, an example or an error text is one that works.
#[test]
fn whatever_is_mentioned_is_in_the_list_letter_by_letter() {
    /// Named because nothing ever read them.
    const MISSPELT: [&str; 2] =
        ["ResourceIdentity__ResourceIdentityResolutionType", "FhirClient__UseManagedIdentityCredential"];
    /// Read by a FHIR server (docs/operator.md).
    const OF_A_FHIR_SERVER: [&str; 2] = ["Telemetry__Provider", "Telemetry__ConnectionString"];
    let others_names = [&MISSPELT[..], &OF_A_FHIR_SERVER].concat();
    let mut texts = vec![(
        "sources".to_owned(),
        ["crates/settings/src", "functions", "crates/cli/src", "crates/native/src"].map(sources).concat(),
    )];
    let pages = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let others =
        ["README.md", "CHANGELOG.md", "ARCHITECTURE.md", "local.settings.example.json"].map(|name| root().join(name));
    texts.extend(pages.chain(others).map(|path| (path.display().to_string(), read(&path))));
    let known: BTreeSet<&str> =
        READ.iter().chain(HOST).copied().chain(WITHOUT_EFFECT.iter().map(|(name, _)| *name)).collect();
    for (place, text) in texts {
        for name in mentioned(&text).into_iter().filter(|name| !others_names.contains(name)) {
            let otherwise = known.iter().find(|known| known.eq_ignore_ascii_case(name) && **known != name);
            assert!(otherwise.is_none(), "{place}: `{name}` is written `{}` elsewhere", otherwise.unwrap_or(&""));
            assert!(!matches!(remark(name), Some(Remark::Unknown(_))), "{place}: nothing reads `{name}`");
        }
    }
}
