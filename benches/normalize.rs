//! Normalize, from body bytes to serialised measurement, beside `serde_json`
//! parsing the same bodies to a `Value`: the yardstick of design.md 5.
//!
//! Machines are noisy, so both are measured in turns within one run, and the
//! ratio of the medians is what counts. `--json` prints one object a corpus.

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::Corpus;
use expressions::{Properties, UtcTime};
use mapping::normalize::{Event, Scratch};
use mapping::{Compatibility, DeviceMapping, MeasurementRef};

/// Turns of both; odd, so that there is a median.
const TURNS: usize = 41;
/// A turn lasts at least this long.
const TURN: Duration = Duration::from_millis(25);

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let figures = measure(&benches::vitals());
    println!("{}", if json { figures.json() } else { figures.text() });
}

struct Figures {
    corpus: &'static str,
    ns_per_event: f64,
    yardstick_ns_per_event: f64,
    bytes_per_event: f64,
    measurements: usize,
    events: usize,
}

fn measure(corpus: &Corpus) -> Figures {
    let mapping =
        DeviceMapping::load(corpus.mapping.as_bytes(), &Compatibility::default()).expect("our own mapping is good");
    let mut scratch = Scratch::new();
    let mut out = String::new();
    let mut measurements = 0;
    let mut normalize = || {
        measurements = 0;
        for body in &corpus.bodies {
            out.clear();
            let event = event(body);
            let sink = &mut |measurement: &MeasurementRef<'_>| measurement.write_json(&mut out);
            measurements += mapping.normalize(&mut scratch, &event, sink).expect("our own bodies are good");
            black_box(&out);
        }
    };
    let mut parse = || {
        for body in &corpus.bodies {
            black_box(serde_json::from_slice::<serde_json::Value>(body).expect("our own bodies are good"));
        }
    };
    let events = corpus.bodies.len();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(turn(&mut normalize, events));
        theirs.push(turn(&mut parse, events));
    }
    let bytes: usize = corpus.bodies.iter().map(Vec::len).sum();
    Figures {
        corpus: corpus.name,
        ns_per_event: median(ours),
        yardstick_ns_per_event: median(theirs),
        bytes_per_event: bytes as f64 / events as f64,
        measurements,
        events,
    }
}

fn event(body: &[u8]) -> Event<'_> {
    let content = expressions::Event { body, properties: Properties::NONE, system_properties: Properties::NONE };
    Event { content, enqueued_time: UtcTime::MAX }
}

/// Nanoseconds an event, over as many passes as fill a turn.
fn turn(pass: &mut impl FnMut(), events: usize) -> f64 {
    let start = Instant::now();
    let mut passes = 0;
    while start.elapsed() < TURN {
        pass();
        passes += 1;
    }
    start.elapsed().as_nanos() as f64 / (passes * events) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Figures {
    fn ratio(&self) -> f64 {
        self.ns_per_event / self.yardstick_ns_per_event
    }

    fn text(&self) -> String {
        format!(
            "{}: {} events of {:.0} bytes, {} measurements\n  normalize {:.0} ns an event, {:.2} M events/s, {:.0} MB/s\n  serde_json to a Value {:.0} ns an event\n  ratio {:.2}",
            self.corpus,
            self.events,
            self.bytes_per_event,
            self.measurements,
            self.ns_per_event,
            1e3 / self.ns_per_event,
            self.bytes_per_event * 1e3 / self.ns_per_event,
            self.yardstick_ns_per_event,
            self.ratio()
        )
    }

    fn json(&self) -> String {
        format!(
            r#"{{"corpus":"{}","ns_per_event":{:.1},"yardstick_ns_per_event":{:.1},"ratio":{:.3},"events":{}}}"#,
            self.corpus,
            self.ns_per_event,
            self.yardstick_ns_per_event,
            self.ratio(),
            self.events
        )
    }
}
