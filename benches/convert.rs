//! Convert, from the measurements of a window to serialised Observations,
//! beside `serde_json` reading such an Observation to a `Value` and writing it
//! again: the yardstick of design.md 5.
//!
//! ```text
//! convert [--json] [--readings N] [--rows WORD]
//! ```
//!
//! A row is making Observations or merging into those that a server sent, for
//! each window of [`benches::window`]. A unit of work is one Observation; its
//! share of reading the measurements and grouping them is in it, and so are its
//! identifier and id. What is left out is the server: its answers are at hand.
//! `--json` prints one object a row. `--readings` says how many readings each
//! hour of SampledData takes instead of 5, `--rows` measures only the rows with
//! that word in their name.

use std::hint::black_box;
use std::process::ExitCode;

use benches::{Turns, Window, in_turns, peak_rss_mib, rounded, window, yardstick_is_plain};
use expressions::UtcTime;
use mapping::group;
use mapping::identifier::{observation_id, observation_identifier};
use mapping::observation::Merged;
use mapping::{Compatibility, FhirMapping, Measurement, MergePolicy, Observation, ResourceIds};

fn main() -> ExitCode {
    benches::end_with(run())
}

fn run() -> Result<(), String> {
    let (mut json, mut windows, mut rows) = (false, window::all(), String::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            "--readings" => {
                let count = words.next().and_then(|word| word.parse().ok()).filter(|count| (1..=300).contains(count));
                windows[0] = window::sampled_hourly(count.ok_or("--readings needs a number from 1 to 300")?);
            }
            "--rows" => rows = words.next().ok_or("--rows needs a word")?,
            // Cargo's own.
            "--bench" => {}
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    yardstick_is_plain()?;
    let mapping = FhirMapping::load(window::FHIR_MAPPING.as_bytes(), &Compatibility::default())
        .map_err(|findings| format!("the FHIR mapping: {findings}"))?;
    for work in [Work::Create, Work::Merge] {
        for window in windows.iter().filter(|window| row(work, window).contains(&rows)) {
            let figures = measure(&mapping, window, work)?;
            println!("{}", if json { figures.json() } else { figures.text() });
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Create,
    Merge,
}

struct Figures {
    row: String,
    turns: Turns,
    readings: usize,
    observations: usize,
    bytes_per_observation: f64,
    peak_rss_mib: f64,
}

fn row(work: Work, window: &Window) -> String {
    let verb = if work == Work::Create { "create" } else { "merge" };
    format!("{verb} {}", window.name)
}

fn measure(mapping: &FhirMapping, window: &Window, work: Work) -> Result<Figures, String> {
    let ids = resource_ids(&window.bodies)?;
    let before = written(mapping, &window.before, &ids, &[])?;
    let stored: Vec<Vec<u8>> = match work {
        Work::Create => Vec::new(),
        Work::Merge => before.iter().map(|json| as_a_server_sends(json)).collect(),
    };
    let observations = written(mapping, &window.bodies, &ids, &stored)?;
    if before.len() != observations.len() || observations.len() * window.readings != window.bodies.len() {
        return Err(format!("{}: {} Observations were not expected", window.name, observations.len()));
    }
    let ours = || {
        let written = convert(mapping, &window.bodies, &ids, &stored, |json| {
            black_box(json);
        });
        black_box(written.is_ok());
    };
    let yardstick = || {
        for json in &observations {
            let value = serde_json::from_slice::<serde_json::Value>(json).unwrap_or_default();
            black_box(serde_json::to_vec(&value).unwrap_or_default());
        }
    };
    let turns = in_turns(observations.len(), ours, yardstick);
    let bytes: usize = observations.iter().map(Vec::len).sum();
    Ok(Figures {
        row: row(work, window),
        turns,
        readings: window.readings,
        observations: observations.len(),
        bytes_per_observation: bytes as f64 / observations.len() as f64,
        peak_rss_mib: peak_rss_mib(),
    })
}

/// What group-convert does with a window: reads it, groups it, cuts the groups,
/// and makes or merges the Observations to be written, which `write` is given.
/// `stored` are those on the server, in the order in which they come up.
fn convert(
    mapping: &FhirMapping,
    bodies: &[Vec<u8>],
    ids: &[ResourceIds],
    stored: &[Vec<u8>],
    mut write: impl FnMut(Vec<u8>),
) -> Result<(), String> {
    let measurements = bodies.iter().map(|body| Measurement::read(body)).collect::<Result<Vec<_>, _>>();
    let measurements = measurements.map_err(|error| error.to_string())?;
    let grouping = group::group(&measurements, mapping.compatibility());
    let mut stored = stored.iter();
    for (group, ids) in grouping.groups.iter().zip(ids) {
        let cut = mapping.observation_groups(group).map_err(|error| error.to_string())?;
        for group in &cut.groups {
            let identifier = observation_identifier(ids, &group.r#type, &group.id_segment);
            // By this it is read from the server.
            black_box(observation_id(&identifier));
            let observation = match stored.next() {
                None => mapping.create(group, ids, UtcTime::MAX).map_err(|error| error.to_string())?,
                Some(json) => {
                    let stored = Observation::read(json).map_err(|error| error.to_string())?;
                    let merged = mapping.merge(&stored, group, MergePolicy::NewWins);
                    let merged = merged.map(Merged::amended).map_err(|error| error.to_string())?;
                    merged.ok_or("the Observation holds everything already")?
                }
            };
            write(observation.to_json());
        }
    }
    Ok(())
}

fn written(
    mapping: &FhirMapping,
    bodies: &[Vec<u8>],
    ids: &[ResourceIds],
    stored: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, String> {
    let mut written = Vec::new();
    convert(mapping, bodies, ids, stored, |json| written.push(json))?;
    Ok(written)
}

/// The resources of each group of a window, as a server's ids look.
fn resource_ids(bodies: &[Vec<u8>]) -> Result<Vec<ResourceIds>, String> {
    let measurements = bodies.iter().map(|body| Measurement::read(body)).collect::<Result<Vec<_>, _>>();
    let measurements = measurements.map_err(|error| error.to_string())?;
    let grouping = group::group(&measurements, &Compatibility::default());
    let ids = grouping.groups.iter().enumerate().map(|(at, _)| ResourceIds {
        device: format!("6f1cbb7e-93d4-4a51-8c7a-{at:012x}"),
        patient: format!("0b6a7d7c-54f2-4d0e-b1ce-{at:012x}"),
        encounter: None,
    });
    Ok(ids.collect())
}

/// An Observation with the `meta` that a server gives it.
fn as_a_server_sends(json: &[u8]) -> Vec<u8> {
    let json = String::from_utf8_lossy(json);
    let meta = r#","meta":{"versionId":"1","lastUpdated":"2026-11-20T10:15:02.123+00:00"},"identifier":"#;
    json.replacen(r#","identifier":"#, meta, 1).into_bytes()
}

impl Figures {
    fn text(&self) -> String {
        format!(
            "{}: {} Observations of {:.0} bytes, {} measurements each\n  convert {:.0} ns an Observation, serde_json reading and writing it {:.0} ns\n  ratio {:.2}, peak memory {:.1} MiB",
            self.row,
            self.observations,
            self.bytes_per_observation,
            self.readings,
            self.turns.ours,
            self.turns.yardstick,
            self.turns.ratio(),
            self.peak_rss_mib,
        )
    }

    fn json(&self) -> String {
        serde_json::json!({
            "row": self.row,
            "ns_per_observation": rounded(self.turns.ours),
            "yardstick_ns_per_observation": rounded(self.turns.yardstick),
            "ratio": (self.turns.ratio() * 1e3).round() / 1e3,
            "observations": self.observations,
            "measurements_per_observation": self.readings,
            "bytes_per_observation": rounded(self.bytes_per_observation),
            "peak_rss_mib": rounded(self.peak_rss_mib),
        })
        .to_string()
    }
}
