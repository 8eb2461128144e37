//! Saving a window of 1000 measurements of 1000 devices through the converter
//! of group-convert and its FHIR client, against three FHIR servers that are
//! started empty: HAPI, sekmet and our own.
//!
//! ```text
//! save [--json] [--server hapi|sekmet|local]
//! ```
//!
//! Counted are the HTTP requests that the client sent, of whatever kind:
//! looking up the Devices, reading, writing, and every repetition. The *cold*
//! window is the first of a process that knows nothing, of devices that have no
//! Observation yet; it is the one that the target of design.md 5 is held by. The
//! *warm* one is the next window of the same devices and hour, which changes
//! each of the Observations. `--json` prints one object a server. The fates of
//! both windows are verified, and so are the Observations on the server.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use benches::window::{self, device_id};
use delivery::{Away, Batch, BatchEvent, Compiled, Converter, DeadLetter, DeadLetters, Source, Tally, Turn};
use end_to_end::fhir::Fhir;
use end_to_end::hapi::Hapi;
use end_to_end::sekmet::Sekmet;
use expressions::{Properties, UtcTime};
use fhir_client::client::{Client, ClientOptions, base_url};
use fhir_client::{FhirDestination, IdentityOptions, Mode, Resolver, SaveOptions, Saver};
use local::fhir_server::{FhirServer, FhirServerConfig, Personality};
use mapping::{Compatibility, FhirMapping};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const SERVERS: [&str; 3] = ["hapi", "sekmet", "local"];

/// Round trips for each Observation of the cold window (design.md 5).
const TARGET: f64 = 0.04;

fn main() -> ExitCode {
    benches::end_with(run())
}

fn run() -> Result<(), String> {
    let (mut json, mut servers) = (false, SERVERS.to_vec());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            "--server" => {
                let named = words.next().unwrap_or_default();
                servers.retain(|server| *server == named);
                if servers.is_empty() {
                    return Err(format!("--server needs one of {}", SERVERS.join(", ")));
                }
            }
            // Cargo's own.
            "--bench" => {}
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    let runtime = Runtime::new().map_err(|error| format!("the runtime: {error}"))?;
    if !json {
        println!("1000 measurements of 1000 devices; cold is the first window of a process, warm the next one");
        println!("server   round trips an Observation, cold (target {TARGET})   warm   Observations/s, cold   warm");
    }
    for server in servers {
        let figures = measure(server, &runtime)?;
        println!("{}", if json { figures.json() } else { figures.text() });
    }
    Ok(())
}

struct Figures {
    server: &'static str,
    cold: Saved,
    warm: Saved,
}

/// What one window took.
struct Saved {
    observations: usize,
    round_trips: u64,
    seconds: f64,
}

impl Saved {
    fn round_trips_each(&self) -> f64 {
        self.round_trips as f64 / self.observations as f64
    }

    fn per_second(&self) -> f64 {
        (self.observations as f64 / self.seconds).round()
    }
}

impl Figures {
    fn json(&self) -> String {
        json!({
            "server": self.server,
            "round_trips_per_observation": self.cold.round_trips_each(),
            "observations_per_s": self.cold.per_second(),
            "warm_round_trips_per_observation": self.warm.round_trips_each(),
            "warm_observations_per_s": self.warm.per_second(),
        })
        .to_string()
    }

    fn text(&self) -> String {
        let (cold, warm) = (&self.cold, &self.warm);
        let (of_cold, of_warm) = (cold.round_trips_each(), warm.round_trips_each());
        format!("{:8} {of_cold:47.3} {of_warm:6.3} {:22} {:6}", self.server, cold.per_second(), warm.per_second())
    }
}

/// Starts a server and saves two windows to it.
fn measure(server: &'static str, runtime: &Runtime) -> Result<Figures, String> {
    match server {
        "hapi" => figures(server, &Hapi::start().fhir, runtime),
        "sekmet" => figures(server, &Sekmet::start().fhir, runtime),
        _ => {
            let started = runtime.block_on(FhirServer::start(FhirServerConfig::new(Personality::Hapi)));
            let started = started.map_err(|error| format!("our FHIR server: {error}"))?;
            figures(server, &Fhir::new(started.url()), runtime)
        }
    }
}

fn figures(server: &'static str, fhir: &Fhir, runtime: &Runtime) -> Result<Figures, String> {
    let window = window::thousand_devices();
    fhir.put_all(&patients(window.before.len()));
    fhir.put_all(&devices(window.before.len()));
    let process = Process::new(&fhir.url)?;
    let cold = runtime.block_on(process.save(&window.before, |tally| tally.created))?;
    let warm = runtime.block_on(process.save(&window.bodies, |tally| tally.merged))?;
    let found = fhir.observations().len();
    if found != window.bodies.len() {
        return Err(format!("{server} has {found} Observations instead of {}", window.bodies.len()));
    }
    Ok(Figures { server, cold, warm })
}

fn patients(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "resourceType": "Patient", "id": format!("patient-{n:05}") })).collect()
}

fn devices(count: usize) -> Vec<Value> {
    let device = |n| {
        let patient = json!({ "reference": format!("Patient/patient-{n:05}") });
        let identifier = json!([{ "system": "urn:example:serial", "value": device_id(n) }]);
        json!({ "resourceType": "Device", "id": format!("d-{n:05}"), "identifier": identifier, "patient": patient })
    };
    (0..count).map(device).collect()
}

/// Group-convert without its front.
struct Process {
    client: Arc<Client>,
    converter: Converter<FhirDestination, NoLetters>,
    mapping: Compiled<FhirMapping>,
}

struct NoLetters;

impl DeadLetters for NoLetters {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        let codes: Vec<&str> = letters.iter().map(|letter| &*letter.reason.code).collect();
        Err(Away::new("a place for dead letters", format!("nothing should be rejected, but was: {codes:?}")))
    }
}

impl Process {
    fn new(url: &str) -> Result<Process, String> {
        let options = ClientOptions::new(base_url(url).map_err(|error| error.to_string())?);
        let client = Arc::new(Client::new(options, None).map_err(|error| error.to_string())?);
        let destination = FhirDestination {
            resolver: Resolver::new(client.clone(), IdentityOptions::new(Mode::Lookup)),
            saver: Saver::new(client.clone(), SaveOptions::default()),
            time_limit: Duration::from_secs(120),
        };
        let compatibility = Compatibility::default();
        let mapping = FhirMapping::load(window::FHIR_MAPPING.as_bytes(), &compatibility);
        let mapping = mapping.map_err(|findings| format!("the FHIR mapping: {findings}"))?;
        let mapping = Compiled { version: "bench".to_owned(), mapping };
        Ok(Process { client, converter: Converter::new(destination, NoLetters, compatibility), mapping })
    }

    /// Saves a window; all of its measurements must have the fate that
    /// `expected` counts.
    async fn save(&self, bodies: &[Vec<u8>], expected: impl Fn(&Tally) -> usize) -> Result<Saved, String> {
        let now = UtcTime::from(SystemTime::now());
        let events = bodies.iter().enumerate().map(|(number, body)| BatchEvent {
            body,
            properties: Properties::NONE,
            system_properties: Properties::NONE,
            sequence_number: i64::try_from(number).ok(),
            enqueued_time: now,
        });
        let batch = Batch { source: &Source::default(), events: events.collect() };
        let (before, start) = (self.client.round_trips(), Instant::now());
        let conversion = self.converter.convert(&self.mapping, &batch, now, Turn::UNFENCED).await;
        let seconds = start.elapsed().as_secs_f64();
        let conversion = conversion.map_err(|away| delivery::away::error_chain(&away))?;
        let tally = Tally::of_measurements(conversion.fates());
        if expected(&tally) != bodies.len() {
            return Err(format!("the window ended otherwise than it should: {tally:?}"));
        }
        Ok(Saved { observations: bodies.len(), round_trips: self.client.round_trips() - before, seconds })
    }
}
