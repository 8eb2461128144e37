//! Normalize, from body bytes to serialised measurement, beside `serde_json`
//! parsing the same bodies to a `Value`: the yardstick of design.md 5.
//!
//! ```text
//! normalize [--json | --profile PASSES] [--only NAME] [--corpus FILE --mapping FILE [--properties FILE]]
//! ```
//!
//! `--json` prints one object a corpus; `--profile` runs normalize alone, so
//! many times over a corpus, for a profiler. The corpora are those of [`benches::corpus`], or one of the user's
//! own.

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;

use benches::{Corpus, Turns, corpus, in_turns, peak_rss_mib, yardstick_is_plain};
use expressions::{Properties, UtcTime};
use mapping::normalize::{Event, Scratch};
use mapping::{Compatibility, DeviceMapping, MeasurementRef};

/// Properties that are dates although they arrive as text; as the handler has
/// them (`custom_handler::invocation`).
const SYSTEM_DATES: &[&str] = &["x-opt-enqueued-time", "iothub-enqueuedtime", "creation-time", "absolute-expiry-time"];
const APPLICATION_DATES: &[&str] = &["iothub-creation-time-utc"];

/// When the hub received the first event: 20 November 2026, 10:15:30.
const ENQUEUED: UtcTime = UtcTime::MIN.saturating_add(639_307_665_300_000_000);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
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
    for corpus in corpora.iter().filter(|corpus| arguments.only.as_ref().is_none_or(|only| *only == corpus.name)) {
        if let Some(passes) = arguments.profile {
            let mut work = Work::new(corpus)?;
            (0..passes).for_each(|_| work.pass());
            continue;
        }
        let figures = measure(corpus)?;
        println!("{}", if arguments.json { figures.json() } else { figures.text() });
    }
    Ok(())
}

#[derive(Default)]
struct Arguments {
    json: bool,
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
    mapping: DeviceMapping,
    scratch: Scratch,
    out: Vec<u8>,
    measurements: usize,
    failed: usize,
}

impl Work<'_> {
    fn new(corpus: &Corpus) -> Result<Work<'_>, String> {
        let mapping = DeviceMapping::load(corpus.mapping.as_bytes(), &Compatibility::default())
            .map_err(|findings| format!("the mapping of {}: {findings}", corpus.name))?;
        Ok(Work { corpus, mapping, scratch: Scratch::new(), out: Vec::new(), measurements: 0, failed: 0 })
    }

    /// Once over all events.
    fn pass(&mut self) {
        (self.measurements, self.failed) = (0, 0);
        for at in 0..self.corpus.bodies.len() {
            self.out.clear();
            let sink = &mut |measurement: &MeasurementRef<'_>| measurement.write_json(&mut self.out);
            match self.mapping.normalize(&mut self.scratch, &event(self.corpus, at), sink) {
                Ok(count) => self.measurements += count,
                Err(_) => self.failed += 1,
            }
            black_box(&self.out);
        }
    }
}

fn measure(corpus: &Corpus) -> Result<Figures, String> {
    let mut work = Work::new(corpus)?;
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

fn event(corpus: &Corpus, at: usize) -> Event<'_> {
    let (properties, system_properties) = match corpus.properties.get(at) {
        Some(properties) => (
            Properties::Json { text: &properties.application, dates: APPLICATION_DATES },
            Properties::Json { text: &properties.system, dates: SYSTEM_DATES },
        ),
        None => (Properties::NONE, Properties::NONE),
    };
    let content = expressions::Event { body: &corpus.bodies[at], properties, system_properties };
    Event { content, enqueued_time: ENQUEUED.saturating_add(at as i64 * 10_000) }
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

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
