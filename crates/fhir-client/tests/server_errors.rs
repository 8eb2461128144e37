//! A server that fails on one request for ever stops no partition; a server
//! that fails rejects nothing (design.md promise 4, D5).

#![allow(clippy::unwrap_used)] // A test may fail by it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use delivery::Unfenced;
use fhir_client::client::Client;
use fhir_client::identity::{IdentityOptions, Mode, Resolver, Subject};
use fhir_client::save::{SaveOptions, Saver, Window};
use serde_json::{Value, json};
use support::samples::{Samples, samples, words};
use support::{HAPI, Habits, Reply, SEKMET, Seen, Server, outcome, soon, start};

/// Ours to the server, which judges at once unless `patience` says otherwise.
fn client(server: &Server, patience: Duration) -> Arc<Client> {
    let mut options = server.options();
    options.server_error_patience = patience;
    Arc::new(Client::new(options, None).unwrap())
}

fn saver(server: &Server, patience: Duration) -> Saver {
    Saver::new(client(server, patience), SaveOptions::default())
}

async fn save(saver: &Saver, drafts: &[Samples]) -> String {
    words(saver.save(drafts, Window::until(soon())).await)
}

fn window(count: usize) -> Vec<Samples> {
    (0..count).map(|n| samples(&format!("d{n}"), &[(0, "60")])).collect()
}

fn fails() -> Option<Reply> {
    Some((500, vec![], outcome()))
}

const AWAY: &str = "away: the FHIR server answers with status 500";

/// Whether `seen` is a write of the Observation at `path`, or a bundle with one.
fn writes(seen: &Seen, path: &str) -> bool {
    let is_put = |entry: &Value| entry["request"]["method"] == "PUT" && entry["request"]["url"] == path;
    (seen.method == "PUT" && seen.path == path) || seen.body["entry"].as_array().into_iter().flatten().any(is_put)
}

#[tokio::test]
async fn an_observation_the_server_fails_on_ends_as_rejected_and_the_others_are_saved() {
    for (whole_bundle, batch) in [(false, true), (true, true), (false, false)] {
        let server = start(Habits { batch, ..SEKMET }).await;
        let drafts = window(10);
        let path = drafts[7].path();
        server.before(move |_, seen| {
            let fails_here = (whole_bundle || seen.method == "PUT") && writes(seen, &path);
            if fails_here { fails() } else { None }
        });
        let saved = save(&saver(&server, Duration::ZERO), &drafts).await;
        let expected: Vec<_> = (0..10).map(|n| if n == 7 { "FhirServerError" } else { "created" }).collect();
        assert_eq!(saved, expected.join(";"), "whole bundle {whole_bundle}, batch {batch}");
    }
}

/// Nothing else is written, so that the server has to be asked.
#[tokio::test]
async fn an_observation_that_is_alone_is_told_from_an_outage_by_a_write_of_our_own() {
    let server = start(HAPI).await;
    server.before(|_, seen| if seen.path.starts_with("Observation") && seen.method == "PUT" { fails() } else { None });
    assert_eq!(save(&saver(&server, Duration::ZERO), &window(1)).await, "FhirServerError");
    assert!(server.get("Basic/iot-connector-probe").is_some());
}

#[tokio::test]
async fn a_server_that_fails_on_every_write_rejects_nothing() {
    for (count, batch) in [(1, true), (10, true), (10, false)] {
        let server = start(Habits { batch, ..HAPI }).await;
        server.before(|_, seen| if seen.method == "PUT" { fails() } else { None });
        assert_eq!(save(&saver(&server, Duration::ZERO), &window(count)).await, AWAY, "{count} batch {batch}");
        server.before(|_, _| None);
    }
}

/// It fails on one Observation, works when asked, and is then gone.
#[tokio::test]
async fn a_server_that_goes_down_in_between_rejects_nothing() {
    for down in [500, 503] {
        let server = start(HAPI).await;
        let mut is_down = false;
        server.before(move |state, seen| {
            if seen.method == "PUT" && seen.path.starts_with("Basic") && !is_down {
                is_down = true;
                state.write(seen.body.clone());
                return Some((200, vec![], json!(null)));
            }
            let fails_here = is_down || (seen.method == "PUT" && seen.path.starts_with("Observation"));
            fails_here.then(|| (if is_down { down } else { 500 }, vec![], outcome()))
        });
        let saved = save(&saver(&server, Duration::ZERO), &window(1)).await;
        assert_eq!(saved, format!("away: the FHIR server answers with status {down}"));
        server.before(|_, _| None);
        assert_eq!(save(&saver(&server, Duration::ZERO), &window(1)).await, "created");
    }
}

#[tokio::test]
async fn a_failure_that_may_pass_is_waited_for_and_the_others_are_saved_meanwhile() {
    let server = start(SEKMET).await;
    let drafts = window(10);
    let path = drafts[7].path();
    server.before(move |_, seen| if seen.method == "PUT" && seen.path == path { fails() } else { None });
    let saver = saver(&server, Duration::from_secs(3600));
    assert_eq!(save(&saver, &drafts).await, AWAY);
    let saved = drafts.iter().filter(|draft| server.get(&draft.path()).is_some()).count();
    assert_eq!(saved, 9);
    server.before(|_, _| None);
    let again = save(&saver, &drafts).await;
    assert_eq!(again.matches("unchanged").count(), 9, "{again}");
    assert!(again.contains("created"), "{again}");
}

#[tokio::test]
async fn an_identifier_the_server_fails_on_ends_as_rejected() {
    for batch in [true, false] {
        let server = start(Habits { batch, ..HAPI }).await;
        for device in ["d1", "d2"] {
            server.put(json!({
                "resourceType": "Device", "id": device, "identifier": [{ "value": device }],
                "patient": { "reference": "Patient/p1" },
            }));
        }
        server.before(|_, seen| if seen.path == "Device?identifier=bad" { fails() } else { None });
        let resolver = Resolver::new(client(&server, Duration::ZERO), IdentityOptions::new(Mode::Lookup));
        let subject = |device_id| Subject { device_id, patient_id: None, encounter_id: None };
        let subjects = ["d1", "bad", "d2"].map(subject);
        let codes =
            resolver.resolve_all(&subjects, soon(), &Unfenced).await.unwrap().into_iter().map(|answer| match answer {
                Ok(identity) => identity.ids.device,
                Err(unresolved) => unresolved.code().to_owned(),
            });
        assert_eq!(codes.collect::<Vec<_>>(), ["d1", "FhirServerError", "d2"], "batch {batch}");
    }
}

/// As while its search index is away.
#[tokio::test]
async fn a_server_that_fails_on_every_search_rejects_nothing() {
    let server = start(HAPI).await;
    server.before(|_, seen| if seen.path.contains("identifier=") { fails() } else { None });
    let resolver = Resolver::new(client(&server, Duration::ZERO), IdentityOptions::new(Mode::Lookup));
    let subject = Subject { device_id: "d1", patient_id: None, encounter_id: None };
    let answer = resolver.resolve_all(&[subject], soon(), &Unfenced).await;
    assert_eq!(answer.unwrap_err().to_string(), "the FHIR server answers with status 500");
}
