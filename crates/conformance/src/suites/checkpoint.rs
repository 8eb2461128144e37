//! The suite `checkpoint`: which stored positions are forgotten when the
//! source changed. Run against the start of the delivery loop.
//!
//! The reference connector has a path `<prefix>/checkpoint/<namespace>/<hub>/`
//! for its positions and we have another one
//! ([`Layout`]); the paths of a case are translated.

use std::sync::Arc;
use std::time::Duration;

use delivery::{
    Away, Batch, Checkpoint, Consumer, ConsumerOptions, Layout, Positions, Processor, Source, Turn, Unobserved,
};
use expressions::UtcTime;
use futures::FutureExt;
use serde_json::{Value, json};
use simulator::{Machine, MemoryHub, MemoryPositions};

use super::case;
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let expect = &case["expect"];
    let source = source(case);
    let got = match Layout::new(&source) {
        Ok(_) => start(case, source),
        Err(error) => {
            let parameter = if error.0 == "namespace" { "eventHubNamespaceFQDN" } else { "eventHubName" };
            json!({ "error": { "kind": "argument-null", "parameter": parameter } })
        }
    };
    if got == *expect { Outcome::Passed } else { Outcome::failed(expect.to_string(), got.to_string()) }
}

/// The source that a case configures, by its names or by a connection string.
fn source(case: &Value) -> Source {
    let optional = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
    let mut source = Source {
        namespace: optional("eventHubNamespaceFQDN"),
        hub: optional("eventHubName"),
        consumer_group: "$default".to_owned(),
        partition: String::new(),
    };
    for part in optional("connectionString").split(';') {
        match part.split_once('=') {
            Some(("Endpoint", address)) => {
                let host = address.split("://").last().unwrap_or_default();
                source.namespace = host.trim_end_matches('/').to_owned();
            }
            Some(("EntityPath", hub)) => source.hub = hub.to_owned(),
            _ => {}
        }
    }
    source
}

fn start(case: &Value, source: Source) -> Value {
    let prefix = format!("{}/checkpoint/", case::text(case, "blobPrefix"));
    let path = format!("{prefix}{}/{}/", source.namespace, source.hub);
    let blobs: Vec<&str> = case["existingBlobs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();

    let mut machine = Machine::new(UtcTime::MIN, 1);
    let positions = MemoryPositions::new(machine.runtime(), source.clone());
    // Those of another app type are another reader's, which the contract of the
    // stores keeps apart (`simulator::contract`).
    let places: Vec<(&str, &str)> =
        blobs.iter().filter_map(|blob| Some((*blob, blob.strip_prefix(&prefix)?))).collect();
    for (_, place) in &places {
        store(&positions, place);
    }
    let hub = MemoryHub::new(source, &["1", "10", "20"]);
    let options = ConsumerOptions::new("us");
    let parts = (hub, positions.clone(), machine.runtime());
    let consumer = Consumer::new(parts, Nothing, Arc::new(Unobserved), options);
    machine.spawn(async move {
        // It reads until the machine is gone.
        let _never = consumer.run(std::future::pending()).await;
    });
    machine.advance(Duration::from_secs(1));

    let kept = positions.checkpoints();
    let is_kept = |place: &str| kept.iter().any(|kept| kept.eq_ignore_ascii_case(place));
    let deleted: Vec<&str> = places.into_iter().filter(|(_, place)| !is_kept(place)).map(|(blob, _)| blob).collect();
    json!({ "listPrefix": prefix, "checkpointPath": path, "deleted": deleted })
}

/// Stores a position at `<namespace>/<hub>/<partition>`.
fn store(positions: &MemoryPositions, place: &str) {
    let mut parts = place.split('/').map(str::to_owned);
    let (namespace, hub) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let source = Source { namespace, hub, consumer_group: "$default".to_owned(), partition: String::new() };
    let checkpoint = Checkpoint { sequence_number: -1, offset: String::new() };
    let positions = positions.of(source);
    let written = positions.write_checkpoint(&parts.next().unwrap_or_default(), &checkpoint, None).now_or_never();
    debug_assert!(written.is_some_and(|written| written.is_ok()), "memory is never away");
}

struct Nothing;

impl Processor for Nothing {
    async fn process(&self, _: &Batch<'_>, _: Turn<'_>) -> Result<(), Away> {
        Ok(())
    }
}
