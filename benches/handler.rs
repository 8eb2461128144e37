//! The normalize binary behind HTTP, from invocation to serialised
//! measurements, beside `serde_json` parsing the same requests to `Value`s: the
//! request, and the JSON texts encoded in it, which are the metadata of the
//! events and the events themselves (docs/decisions/0005).
//!
//! ```text
//! handler --binary FILE [--json] [--events N]
//! ```
//!
//! `cargo xtask bench handler` builds the binary, with the shipped profile and
//! the feature `counting-output`: an output that counts instead of the hub.
//! Invocations go over one connection, one after the other, as those of one
//! partition do. What is measured is CPU time of the handler's process, so that
//! the client beside it and other work on the machine count less. `--json`
//! prints one object for each size of invocation.

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use benches::process::{Connection, post_request};
use benches::{Corpus, CpuTime, HandlerProcess, corpus, invocation, median, rounded, yardstick_is_plain};

/// Events of one turn, in as many invocations as they make.
const TURN: usize = 10_000;
/// Events of a run, unless `--events` says otherwise.
const EVENTS: usize = 1_000_000;

fn main() -> ExitCode {
    benches::end_with(run())
}

fn run() -> Result<(), String> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    yardstick_is_plain()?;
    for events_per_invocation in [100, 1000] {
        let figures = measure(&corpus::vitals(), events_per_invocation, &arguments)?;
        println!("{}", if arguments.json { figures.json() } else { figures.text() });
    }
    Ok(())
}

struct Arguments {
    json: bool,
    binary: PathBuf,
    events: usize,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let (mut json, mut binary, mut events) = (false, None, EVENTS);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => json = true,
                "--binary" => binary = words.next().map(PathBuf::from),
                "--events" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    events = number
                        .filter(|number| *number >= TURN)
                        .ok_or(format!("--events needs a number from {TURN}"))?;
                }
                // Cargo's own.
                "--bench" => {}
                other => return Err(format!("unknown argument `{other}`")),
            }
        }
        let binary = binary.ok_or("--binary needs the normalize binary; `cargo xtask bench handler` gives it")?;
        Ok(Arguments { json, binary, events })
    }
}

/// A request and what belongs to it.
struct Invocation {
    body: String,
    request: Vec<u8>,
}

struct Figures {
    events_per_invocation: usize,
    events: usize,
    bytes_per_event: f64,
    /// Medians over the turns, each in nanoseconds an event.
    cpu: f64,
    wall: f64,
    /// `serde_json` on the request and all that is encoded in it.
    yardstick: f64,
    /// `serde_json` on the request alone, in which the events are one string.
    request_alone: f64,
    /// Resident memory by events so far, in MiB.
    rss: Vec<(usize, f64)>,
    peak_rss_mib: f64,
}

fn measure(corpus: &Corpus, size: usize, arguments: &Arguments) -> Result<Figures, String> {
    let invocations: Vec<Invocation> = (0..TURN / size)
        .map(|at| {
            let body = invocation::invocation(corpus, 1_000_000 + at * size, size);
            let request = post_request("/normalize", body.as_bytes());
            Invocation { body, request }
        })
        .collect();
    let mut handler = HandlerProcess::start(&arguments.binary, &corpus.mapping)?;
    let mut connection = handler.wait_until_ready()?;
    let (mut cpu, mut wall, mut rss) = (Vec::new(), Vec::new(), Vec::new());
    let (mut yardstick, mut request_alone) = (Vec::new(), Vec::new());
    let turns = arguments.events / TURN;
    for turn in 1..=turns {
        let (before, start) = (handler.cpu_time(), Instant::now());
        for invocation in &invocations {
            post(&mut connection, &invocation.request, size)?;
        }
        wall.push(start.elapsed().as_nanos() as f64 / TURN as f64);
        cpu.push(handler.cpu_time().since(&before) as f64 / TURN as f64);
        yardstick.push(cpu_of(|| invocations.iter().for_each(|invocation| parse_all(&invocation.body))));
        request_alone.push(cpu_of(|| invocations.iter().for_each(|invocation| parse(&invocation.body))));
        if turn * 10 == turns || turn * 2 == turns || turn == turns {
            rss.push((turn * TURN, handler.memory_mib("VmRSS")));
        }
    }
    verify(&mut connection, turns * TURN)?;
    let bytes: usize = invocations.iter().map(|invocation| invocation.body.len()).sum();
    Ok(Figures {
        events_per_invocation: size,
        events: turns * TURN,
        bytes_per_event: bytes as f64 / TURN as f64,
        cpu: median(cpu),
        wall: median(wall),
        yardstick: median(yardstick),
        request_alone: median(request_alone),
        rss,
        peak_rss_mib: handler.memory_mib("VmHWM"),
    })
}

/// Posts an invocation whose events all give one measurement each.
fn post(connection: &mut Connection, request: &[u8], events: usize) -> Result<(), String> {
    let answer = connection.exchange(request)?;
    let expected = format!("{events} events: {events} normalized into {events} measurements, 0 unmatched, 0 rejected");
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains(&expected) { Ok(()) } else { Err(format!("the handler answered `{answer}`, not `{expected}`")) }
}

/// What came to the output is what was sent, to the last one.
fn verify(connection: &mut Connection, events: usize) -> Result<(), String> {
    let counted = connection.get("/counted").map_err(|error| format!("{error}; is the binary built for counting?"))?;
    let counted: serde_json::Value = serde_json::from_slice(&counted).map_err(|error| error.to_string())?;
    let enough = counted["bytes"].as_u64().is_some_and(|bytes| bytes > 100 * events as u64);
    if counted["measurements"] == events as u64 && enough {
        return Ok(());
    }
    Err(format!("{events} events were posted, and {counted} came to the output"))
}

/// CPU nanoseconds an event of this thread.
fn cpu_of(pass: impl FnOnce()) -> f64 {
    let before = CpuTime::of_this_thread();
    pass();
    CpuTime::of_this_thread().since(&before) as f64 / TURN as f64
}

fn parse(body: &str) {
    black_box(serde_json::from_str::<serde_json::Value>(body).ok());
}

/// The request, the JSON texts in its strings, and the events' bodies: what
/// anybody has to parse who wants to see the events with `serde_json`.
fn parse_all(body: &str) {
    use base64::Engine as _;
    let Ok(request) = serde_json::from_str::<serde_json::Value>(body) else { return };
    let texts = request["Metadata"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
    for text in texts {
        parse(text);
    }
    let events: Option<Vec<String>> =
        request["Data"]["events"].as_str().and_then(|events| serde_json::from_str(events).ok());
    for event in events.into_iter().flatten() {
        let body = base64::prelude::BASE64_STANDARD.decode(event);
        black_box(body.ok().and_then(|body| serde_json::from_slice::<serde_json::Value>(&body).ok()));
    }
}

impl Figures {
    fn text(&self) -> String {
        let rss = self.rss.iter().map(|(events, mib)| format!("{mib:.1} after {events}"));
        format!(
            "{} events an invocation, {:.0} bytes an event\n  handler {:.0} ns of CPU an event, {:.0} events/s over one connection\n  serde_json, the request and all that is encoded in it {:.0} ns an event: ratio {:.2}\n  serde_json, the request alone {:.0} ns an event: ratio {:.2}\n  resident MiB: {}, peak {:.1}",
            self.events_per_invocation,
            self.bytes_per_event,
            self.cpu,
            1e9 / self.wall,
            self.yardstick,
            self.cpu / self.yardstick,
            self.request_alone,
            self.cpu / self.request_alone,
            rss.collect::<Vec<_>>().join(", "),
            self.peak_rss_mib,
        )
    }

    fn json(&self) -> String {
        serde_json::json!({
            "events_per_invocation": self.events_per_invocation,
            "ns_per_event": rounded(self.cpu),
            "yardstick_ns_per_event": rounded(self.yardstick),
            "ratio": (self.cpu / self.yardstick * 1e3).round() / 1e3,
            "request_alone_ns_per_event": rounded(self.request_alone),
            "ratio_to_request_alone": (self.cpu / self.request_alone * 1e3).round() / 1e3,
            "events_per_s": (1e9 / self.wall).round(),
            "rss_mib": self.rss.iter().map(|(_, mib)| rounded(*mib)).collect::<Vec<_>>(),
            "peak_rss_mib": rounded(self.peak_rss_mib),
            "events": self.events,
        })
        .to_string()
    }
}
