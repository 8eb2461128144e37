//! Normalize, from body bytes to serialised measurement, beside `serde_json`
//! parsing the same bodies to a `Value`: the yardstick of design.md 5.
//!
//! ```text
//! normalize [--json | --profile PASSES] [--only NAME] [--functions-host]
//!           [--corpus FILE --mapping FILE [--properties FILE]]
//! ```
//!
//! An event's properties are typed values, as a client of the hub gives them;
//! with `--functions-host` they are JSON text, as the Functions host sends them,
//! which is then read for each event, too.
//!
//! `--json` prints one object a corpus; `--profile` runs normalize alone, so
//! many times over a corpus, for a profiler. The corpora are those of
//! [`benches::corpus`], or one of the user's own.

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;

use benches::corpus::{self, EventProperties};
use benches::{Corpus, Turns, in_turns, peak_rss_mib, rounded, yardstick_is_plain};
use expressions::{DateTime, Properties, PropertyValue, UtcTime};
use mapping::normalize::{Event, Scratch};
use mapping::{Compatibility, DeviceMapping, MeasurementRef};

/// Properties that are dates although they arrive as text; as the handler has
/// them (`custom_handler::invocation`).
const SYSTEM_DATES: &[&str] = &["x-opt-enqueued-time", "iothub-enqueuedtime", "creation-time", "absolute-expiry-time"];
const APPLICATION_DATES: &[&str] = &["iothub-creation-time-utc"];

/// When the hub received the first event: 20 November 2026, 10:15:30.
const ENQUEUED: UtcTime = UtcTime::MIN.saturating_add(639_307_665_300_000_000);

fn main() -> ExitCode {
    benches::end_with(run())
}

fn run() -> Result<(), String> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    yardstick_is_plain()?;
    let corpora = match &arguments.corpus {
        Some(bodies) => {
            let mapping = arguments.mapping.as_ref().ok_or("--corpus needs --mapping")?;
            vec![corpus::read(bodies, mapping, arguments.properties.as_deref())?]
        }
        None => corpus::all().to_vec(),
    };
    let chosen: Vec<&Corpus> =
        corpora.iter().filter(|corpus| arguments.only.as_ref().is_none_or(|only| *only == corpus.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = corpora.iter().map(|corpus| corpus.name.as_str()).collect();
        return Err(format!("no corpus of this name; there are {}", names.join(", ")));
    }
    for corpus in chosen {
        if let Some(passes) = arguments.profile {
            let mut work = Work::new(corpus, arguments.functions_host)?;
            (0..passes).for_each(|_| work.pass());
            continue;
        }
        let figures = measure(corpus, arguments.functions_host)?;
        println!("{}", if arguments.json { figures.json() } else { figures.text() });
    }
    Ok(())
}

#[derive(Default)]
struct Arguments {
    json: bool,
    functions_host: bool,
    profile: Option<usize>,
    only: Option<String>,
    corpus: Option<PathBuf>,
    mapping: Option<PathBuf>,
    properties: Option<PathBuf>,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            let mut file = || words.next().map(PathBuf::from).ok_or(format!("{word} needs a file"));
            match word.as_str() {
                "--json" => arguments.json = true,
                "--functions-host" => arguments.functions_host = true,
                "--profile" => {
                    let passes = words.next().and_then(|word| word.parse().ok());
                    arguments.profile = Some(passes.ok_or("--profile needs a number of passes")?);
                }
                "--only" => arguments.only = Some(words.next().ok_or("--only needs a corpus")?),
                "--corpus" => arguments.corpus = Some(file()?),
                "--mapping" => arguments.mapping = Some(file()?),
                "--properties" => arguments.properties = Some(file()?),
                // Cargo's own.
                "--bench" => {}
                other => return Err(format!("unknown argument `{other}`")),
            }
        }
        Ok(arguments)
    }
}

struct Figures {
    corpus: String,
    turns: Turns,
    bytes_per_event: f64,
    measurements: usize,
    events: usize,
    peak_rss_mib: f64,
}

/// Normalizes a corpus over and over.
struct Work<'c> {
    corpus: &'c Corpus,
    properties: Vec<Front<'c>>,
    mapping: DeviceMapping,
    scratch: Scratch,
    out: Vec<u8>,
    measurements: usize,
    failed: usize,
}

impl Work<'_> {
    fn new(corpus: &Corpus, functions_host: bool) -> Result<Work<'_>, String> {
        let mapping = DeviceMapping::load(corpus.mapping.as_bytes(), &Compatibility::default())
            .map_err(|findings| format!("the mapping of {}: {findings}", corpus.name))?;
        let properties = corpus.properties.iter().map(|properties| Front::new(properties, functions_host));
        Ok(Work {
            corpus,
            properties: properties.collect::<Result<_, _>>()?,
            mapping,
            scratch: Scratch::new(),
            out: Vec::new(),
            measurements: 0,
            failed: 0,
        })
    }

    /// Once over all events.
    fn pass(&mut self) {
        (self.measurements, self.failed) = (0, 0);
        for (at, body) in self.corpus.bodies.iter().enumerate() {
            self.out.clear();
            let (properties, system_properties) =
                self.properties.get(at).map_or((Properties::NONE, Properties::NONE), Front::properties);
            let event = Event {
                content: expressions::Event { body, properties, system_properties },
                enqueued_time: ENQUEUED.saturating_add(at as i64 * 10_000),
            };
            let sink = &mut |measurement: &MeasurementRef<'_>| measurement.write_json(&mut self.out);
            match self.mapping.normalize(&mut self.scratch, &event, sink) {
                Ok(count) => self.measurements += count,
                Err(_) => self.failed += 1,
            }
            black_box(&self.out);
        }
    }
}

fn measure(corpus: &Corpus, functions_host: bool) -> Result<Figures, String> {
    let mut work = Work::new(corpus, functions_host)?;
    let events = corpus.bodies.len();
    let yardstick = || {
        for body in &corpus.bodies {
            // A body that is no JSON has been read all the same.
            black_box(serde_json::from_slice::<serde_json::Value>(body).ok());
        }
    };
    let turns = in_turns(events, || work.pass(), yardstick);
    if work.failed > 0 {
        eprintln!("{}: {} of {events} events are rejected", corpus.name, work.failed);
    }
    let bytes: usize = corpus.bodies.iter().map(Vec::len).sum();
    Ok(Figures {
        corpus: corpus.name.clone(),
        turns,
        bytes_per_event: bytes as f64 / events as f64,
        measurements: work.measurements,
        events,
        peak_rss_mib: peak_rss_mib(),
    })
}

/// An event's application and system properties as one of our fronts has them.
enum Front<'c> {
    Native(Typed<'c>, Typed<'c>),
    FunctionsHost(String, String),
}

/// Properties as a client of the hub gives them.
type Typed<'c> = Vec<(&'c str, PropertyValue<'c>)>;

impl Front<'_> {
    fn new(of: &EventProperties, functions_host: bool) -> Result<Front<'_>, String> {
        let text = |members| serde_json::to_string(members).map_err(|error| error.to_string());
        Ok(match functions_host {
            true => Front::FunctionsHost(text(&of.application)?, text(&of.system)?),
            false => Front::Native(typed(&of.application, APPLICATION_DATES)?, typed(&of.system, SYSTEM_DATES)?),
        })
    }

    fn properties(&self) -> (Properties<'_>, Properties<'_>) {
        match self {
            Front::Native(application, system) => (Properties::Typed(application), Properties::Typed(system)),
            Front::FunctionsHost(application, system) => (
                Properties::Json { text: application, dates: APPLICATION_DATES },
                Properties::Json { text: system, dates: SYSTEM_DATES },
            ),
        }
    }
}

fn typed<'c>(json: &'c serde_json::Map<String, serde_json::Value>, dates: &[&str]) -> Result<Typed<'c>, String> {
    json.iter().map(|(name, value)| Ok((name.as_str(), typed_value(value, dates.contains(&name.as_str()))?))).collect()
}

fn typed_value(value: &serde_json::Value, is_date: bool) -> Result<PropertyValue<'_>, String> {
    Ok(match value {
        serde_json::Value::Null => PropertyValue::Null,
        serde_json::Value::Bool(value) => PropertyValue::Bool(*value),
        serde_json::Value::Number(value) => match (value.as_i64(), value.as_f64()) {
            (Some(value), _) => PropertyValue::Integer(value),
            (None, Some(value)) => PropertyValue::Float(value),
            (None, None) => return Err("the number of a property is none of AMQP".to_owned()),
        },
        serde_json::Value::String(text) => match DateTime::parse_token(text).filter(|_| is_date) {
            Some(date) => PropertyValue::Date(date),
            None => PropertyValue::String(text),
        },
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            return Err("a property is a list or an object, which AMQP has not".to_owned());
        }
    })
}

impl Figures {
    fn text(&self) -> String {
        format!(
            "{}: {} events of {:.0} bytes, {} measurements\n  normalize {:.0} ns an event, {:.2} M events/s, {:.0} MB/s\n  serde_json to a Value {:.0} ns an event\n  ratio {:.2}, peak memory {:.1} MiB",
            self.corpus,
            self.events,
            self.bytes_per_event,
            self.measurements,
            self.turns.ours,
            1e3 / self.turns.ours,
            self.bytes_per_event * 1e3 / self.turns.ours,
            self.turns.yardstick,
            self.turns.ratio(),
            self.peak_rss_mib,
        )
    }

    fn json(&self) -> String {
        serde_json::json!({
            "corpus": self.corpus,
            "ns_per_event": rounded(self.turns.ours),
            "events_per_s": (1e9 / self.turns.ours).round(),
            "mb_per_s": rounded(self.bytes_per_event * 1e3 / self.turns.ours),
            "yardstick_ns_per_event": rounded(self.turns.yardstick),
            "ratio": (self.turns.ratio() * 1e3).round() / 1e3,
            "peak_rss_mib": rounded(self.peak_rss_mib),
            "events": self.events,
            "measurements": self.measurements,
        })
        .to_string()
    }
}
