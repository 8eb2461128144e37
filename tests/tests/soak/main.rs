//! `cargo xtask soak`: half an hour at a steady rate through `iotc up`, with the
//! functions as processes that read their hubs themselves.
//!
//! It is a program and no test of the usual runs: it takes its time. It ends
//! with 1 when not everything has its fate, the FHIR server does not hold just
//! what was sent, something waits too long, or memory is not flat.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use end_to_end::fhir::Observations;
use end_to_end::process::{open_files, resident_bytes};
use end_to_end::soak::load::{DEVICE_MAPPING, FHIR_MAPPING, Load};
use end_to_end::soak::{Report, Sample, picture};
use end_to_end::stack::{Counts, Setup, Stack};
use local::event_hubs::client::{Client, EventSender, NewEvent};

/// How long a run has to be for its picture to be kept.
const PICTURE_MINUTES: f64 = 30.0;
/// Where the picture goes; the figures are printed.
const OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reliability");
/// Between two sends; what is due by then goes at once.
const SEND_PERIOD: Duration = Duration::from_millis(100);
/// No whole number of seconds, of which windows and summaries have one: each
/// look falls into another part of theirs.
const SAMPLE_PERIOD: Duration = Duration::from_millis(4700);
/// What normalize says of a send whose answer did not come.
const TRIED_AGAIN: &str = "A batch was not accepted; trying again";
const PARTITIONS: [&str; 4] = ["0", "1", "2", "3"];

/// What is asked for on the command line.
struct Arguments {
    minutes: f64,
    /// Events a second.
    rate: f64,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(arguments) = arguments(&words) else {
        eprintln!("usage: cargo xtask soak [--minutes N] [--rate EVENTS_PER_SECOND]");
        return ExitCode::from(2);
    };
    let problems = run(&arguments);
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Two cores that others use too carry 150 events a second with room.
fn arguments(words: &[String]) -> Option<Arguments> {
    let mut arguments = Arguments { minutes: 30.0, rate: 150.0 };
    for pair in words.chunks(2) {
        let [name, value] = pair else { return None };
        let value = value.parse().ok().filter(|value: &f64| *value > 0.0)?;
        match name.as_str() {
            "--minutes" => arguments.minutes = value,
            "--rate" => arguments.rate = value,
            _ => return None,
        }
    }
    Some(arguments)
}

/// Runs it, draws the picture, says the figures, and gives what is not as it
/// should be.
fn run(arguments: &Arguments) -> Vec<String> {
    let mut stack = Setup::with_mappings(DEVICE_MAPPING, FHIR_MAPPING).argument("--front", "native").start();
    let mut load = Load::default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let samples = runtime.block_on(send(&mut stack, &mut load, arguments));
    let (events, measurements) = stack.wait_for_fates(load.events);
    let report = Report { rate: arguments.rate, samples };
    let mut problems = report.problems();
    let logs = stack.logs();
    let tried_again = logs.matches(TRIED_AGAIN).count();
    problems.extend(check_fates(&load, &events, &measurements, tried_again));
    problems.extend(check_observations(&load, &stack.fhir().observations()));
    let figures = format!("{report}\n{}\n", sentence(&load, &events, &measurements, tried_again));
    println!("{}", odd_lines(&logs));
    println!("{figures}");
    // A picture of a run that failed, or of a short trial, takes no good one's place.
    if problems.is_empty() && arguments.minutes >= PICTURE_MINUTES {
        write("soak.svg", &picture::svg(&report));
    }
    problems
}

/// Sends at the rate for as long as asked, and looks at the stack meanwhile.
async fn send(stack: &mut Stack, load: &mut Load, arguments: &Arguments) -> Vec<Sample> {
    let mut senders = Vec::new();
    let address = stack.event_hubs_address();
    let address = address.trim_start_matches("amqp://");
    for partition in PARTITIONS {
        let mut client = Client::connect(address, "devicedata").await.expect("a hub");
        let sender = client.sender(Some(partition)).await.expect("a partition");
        // The sender's connection ends with its client.
        senders.push((client, sender));
    }
    let processes = ["normalize", "group-convert"].map(|name| stack.part(name));
    let (start, length) = (Instant::now(), Duration::from_secs_f64(arguments.minutes * 60.0));
    let mut tick = tokio::time::interval(SEND_PERIOD);
    let mut samples: Vec<Sample> = Vec::new();
    while start.elapsed() < length {
        tick.tick().await;
        let due = (start.elapsed().as_secs_f64() * arguments.rate) as usize;
        send_until(due, load, &mut senders).await;
        if start.elapsed() >= SAMPLE_PERIOD * samples.len() as u32 {
            let bytes = [0, 1].map(|at: usize| resident_bytes(&processes[at]).expect("it runs, as at the start"));
            let files = [0, 1].map(|at: usize| open_files(&processes[at]).expect("it runs, as at the start"));
            let (events_waiting, measurements_waiting) = waiting(stack, load.events);
            let sample = Sample {
                second: start.elapsed().as_secs_f64(),
                normalize_bytes: bytes[0],
                convert_bytes: bytes[1],
                normalize_files: files[0],
                convert_files: files[1],
                sent: load.events,
                events_waiting,
                measurements_waiting,
            };
            println!("{sample:?}");
            samples.push(sample);
        }
    }
    samples
}

/// Sends what is to be sent until there are `due` events.
async fn send_until(due: usize, load: &mut Load, senders: &mut [(Client, EventSender)]) {
    let mut events = PARTITIONS.map(|_| Vec::new());
    while load.events < due {
        let (partition, body) = load.next_event();
        events[partition].push(NewEvent::new(body));
    }
    for ((_, sender), events) in senders.iter_mut().zip(&events) {
        if !events.is_empty() {
            sender.send(events, None).await.expect("the hub takes events");
        }
    }
}

/// Events without a fate, and measurements of the others without one. What has
/// not been said yet waits.
fn waiting(stack: &Stack, sent: usize) -> (usize, usize) {
    let Some((events, measurements)) = stack.fates() else { return (sent, 0) };
    (sent.saturating_sub(of(&events, "events")), of(&measurements, "under"))
}

fn of(counts: &Counts, name: &str) -> usize {
    counts.iter().find(|(of, _)| of == name).map_or(0, |(_, count)| *count)
}

/// What the log says beyond the usual: shapes of unmatched events are usual here.
fn odd_lines(logs: &str) -> String {
    let is_odd = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    let lines = logs.lines().filter(is_odd).filter(|line| !line.contains("matches an event of this shape"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A measurement may reach the internal hub twice, when the answer to a send is
/// lost and it is sent again; it has two fates then, and one place.
fn check_fates(load: &Load, events: &Counts, measurements: &Counts, tried_again: usize) -> Vec<String> {
    let extra = of(measurements, "measurements").saturating_sub(load.measurements());
    if extra > 0 && tried_again == 0 {
        return vec![format!("{extra} measurements more than there are, and nothing was sent again")];
    }
    let expected = [
        ("normalized", load.normalized(), of(events, "normalized")),
        ("unmatched", load.unmatched, of(events, "unmatched")),
        ("rejected", load.rejected, of(events, "rejected")),
        ("measurements", load.measurements() + extra, of(measurements, "measurements")),
        ("rejected measurements", 0, of(measurements, "rejected")),
        ("superseded measurements", 0, of(measurements, "superseded")),
    ];
    let wrong = expected.into_iter().filter(|(_, expected, found)| expected != found);
    wrong.map(|(name, expected, found)| format!("{name}: {found} instead of {expected}")).collect()
}

/// Each reading has its place once: an hour of heart rate holds its samples, and
/// each oxygen saturation is an Observation.
fn check_observations(load: &Load, observations: &Observations) -> Vec<String> {
    let samples = |text: &String| {
        let (_, after) = text.split_once(r#""data":""#)?;
        Some(after.split('"').next()?.split(' ').filter(|sample| *sample != "E").count())
    };
    let readings: usize = observations.values().filter_map(samples).sum();
    let expected = [
        ("Observations", load.observations(), observations.len()),
        ("samples of heart rate", load.heart_rates, readings),
    ];
    let wrong = expected.into_iter().filter(|(_, expected, found)| expected != found);
    wrong.map(|(name, expected, found)| format!("{name}: {found} instead of {expected}")).collect()
}

fn sentence(load: &Load, events: &Counts, measurements: &Counts, tried_again: usize) -> String {
    format!(
        "Fates: {} events normalized, {} unmatched, {} rejected; {} measurements created, {} merged, {} unchanged; \
         {} came twice, after {tried_again} sends to the internal hub that were tried again. The FHIR server holds {} Observations, with {} samples of heart rate.",
        of(events, "normalized"),
        of(events, "unmatched"),
        of(events, "rejected"),
        of(measurements, "created"),
        of(measurements, "merged"),
        of(measurements, "unchanged"),
        of(measurements, "measurements").saturating_sub(load.measurements()),
        load.observations(),
        load.heart_rates,
    )
}

fn write(name: &str, text: &str) {
    let path = Path::new(OUT).join(name);
    fs::create_dir_all(OUT).and_then(|()| fs::write(&path, text)).expect("a folder of the checkout");
}
