//! A batch that is given again, through delivery's converter and over HTTP:
//! what was half done the first time loses nothing.

#![allow(clippy::unwrap_used)] // A test may fail by it.

mod support;

use std::time::{Duration, SystemTime};

use delivery::{Away, Batch, BatchEvent, Compiled, Converter, DeadLetter, DeadLetters, Source, Turn};
use expressions::{Properties, UtcTime};
use fhir_client::destination::FhirDestination;
use fhir_client::identity::{IdentityOptions, Mode, Resolver};
use fhir_client::save::{SaveOptions, Saver};
use mapping::{Compatibility, FhirMapping};
use serde_json::json;
use support::samples::{MAPPING, samples};
use support::{AZURE, HAPI, Habits, SEKMET, Server, UUID, outcome, start};

struct NoLetters;

impl DeadLetters for NoLetters {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        panic!("{} dead letters", letters.len())
    }
}

type Convert = Converter<FhirDestination, NoLetters>;

/// A process that has just started.
fn converter(server: &Server) -> Convert {
    let client = server.client();
    let destination = FhirDestination {
        resolver: Resolver::new(client.clone(), IdentityOptions::new(Mode::Lookup)),
        saver: Saver::new(client, SaveOptions::default()),
        time_limit: Duration::from_secs(20),
    };
    Converter::new(destination, NoLetters, Compatibility::default())
}

/// Gives the reading "60" of the hour's begin; the fates, or that something is
/// away.
async fn convert(converter: &Convert, begun_before: Option<SystemTime>) -> String {
    let body = json!({
        "Type": "hr", "OccurrenceTimeUtc": "2023-10-09T19:00:07Z", "DeviceId": "d1",
        "Properties": [{ "Name": "hr", "Value": "60" }],
    })
    .to_string();
    let event = BatchEvent {
        body: body.as_bytes(),
        properties: Properties::NONE,
        system_properties: Properties::NONE,
        sequence_number: Some(1),
        enqueued_time: UtcTime::MIN,
    };
    let mapping = FhirMapping::load(MAPPING.as_bytes(), &Compatibility::default()).unwrap();
    let mapping = Compiled { version: "v1".to_owned(), mapping };
    let batch = Batch { source: &Source::default(), events: vec![event] };
    match converter.convert(&mapping, &batch, UtcTime::MIN, Turn { begun_before, ..Turn::UNFENCED }).await {
        Ok(conversion) => conversion.fates().map(ToString::to_string).collect(),
        Err(away) => away.to_string(),
    }
}

#[tokio::test]
async fn an_overwrite_whose_repair_failed_is_repaired_by_the_next_delivery() {
    for habits in [HAPI, SEKMET, AZURE, Habits { keeps_if_none_match: false, ..UUID }] {
        for restarted in [false, true] {
            let server = start(habits).await;
            server.put(json!({
                "resourceType": "Device", "id": "d1", "identifier": [{ "value": "d1" }],
                "patient": { "reference": "Patient/p1" },
            }));
            let (first, expected) = (converter(&server), samples("d1", &[]));
            // Somebody else creates the Observation between our read and our
            // write, and the server is away from our write on.
            let (other, path, mut written) = (samples("d1", &[(3, "63")]).alone(), expected.path(), false);
            server.before(move |state, seen| {
                let away = written;
                if seen.method == "PUT" && seen.path == path && !written {
                    written = true;
                    state.write(other.clone());
                }
                away.then(|| (503, vec![], outcome()))
            });
            assert_eq!(convert(&first, None).await, "the FHIR server is away");
            assert_eq!(server.versions(&expected.path()), 2, "{habits:?}");
            server.before(|_, _| None);
            let again = if restarted { converter(&server) } else { first };
            assert_eq!(convert(&again, Some(SystemTime::UNIX_EPOCH)).await, "unchanged");
            let stored = server.get(&expected.path()).unwrap();
            assert_eq!(stored["valueSampledData"]["data"], "60 E E 63 E E", "{habits:?}");
        }
    }
}
