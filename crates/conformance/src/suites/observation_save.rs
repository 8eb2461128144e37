//! The suite `observation-save`: how an Observation is read, merged and
//! written, against a FHIR server that answers as the case says.
//!
//! A search answer of a case stands for what the server holds, so that our read
//! by id finds the same (design.md D6). Outcome, merges and facts hold; the list
//! of requests is the reference connector's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use delivery::{Reason, SaveOutcome, reference_metrics};
use fhir_client::{Draft, SaveOptions, Saver, ServerAway, Window};
use mapping::identifier::{SERVICE_SYSTEM, observation_id, observation_identifier};
use mapping::{Observation, ResourceIds};
use serde_json::{Value, json};

use super::fhir::differing_fact;
use super::{case, delivered};
use crate::Outcome;
use crate::scripted_server::{Asked, Reply, Script, ScriptedServer, against, soon};

/// What the server holds and answers.
struct Stored {
    identifier: String,
    /// What it holds at each read in turn; the last stays.
    reads: VecDeque<Vec<Value>>,
    held: Vec<Value>,
    /// The answers to writes in turn.
    replies: VecDeque<Value>,
    /// While the memory of the saver is filled.
    seeding: bool,
    written: Vec<Value>,
}

impl Script for Stored {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match (asked.method.as_str(), asked.path.as_slice()) {
            ("GET", [_]) => Reply::page(&self.held),
            ("GET", [_, _]) if self.seeding => Reply::refusal(404),
            ("GET", [_, id]) => {
                self.held = self.reads.pop_front().unwrap_or_else(|| self.held.clone());
                let is_it = |held: &&Value| held["id"] == id.as_str();
                self.held.iter().find(is_it).cloned().map_or(Reply::refusal(404), Reply::found)
            }
            // What another writer wrote that was faster. A higher version than
            // the second follows a deletion, and takes nobody's place.
            ("GET", [_, id, _, version]) if version == "1" => {
                Reply::found(observation(id, &self.identifier, "preliminary"))
            }
            ("GET", [_, _, _, _]) => Reply::refusal(410),
            ("PUT", [_, _]) => self.write(asked),
            _ => Reply::refusal(404),
        }
    }
}

impl Stored {
    fn write(&mut self, asked: &Asked) -> Reply {
        let scripted = if self.seeding { None } else { self.replies.pop_front() };
        let reply = scripted.unwrap_or_else(|| json!({ "status": if self.seeding { 201 } else { 200 } }));
        let status = reply["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
        if status >= 300 {
            return Reply::refusal(status);
        }
        self.written.push(asked.body.clone());
        // A server counts, whether the case says so or not.
        let before = asked.if_match.as_deref().and_then(|tag| tag.trim_matches(['W', '/', '"']).parse::<u64>().ok());
        let next = before.map_or(1, |before| before + 1).to_string();
        let version = reply["versionId"].as_str().map_or(next, str::to_owned);
        Reply { status, version: Some(version), body: asked.body.clone() }
    }
}

/// An Observation that counts how often it was merged.
struct CaseDraft {
    id: String,
    identifier: String,
    /// What it is where there is none.
    new: Value,
    merge_changes: bool,
    merges: AtomicUsize,
    /// What it was merged into last.
    existing: Mutex<Option<Value>>,
}

impl CaseDraft {
    fn new(identifier: &str, new: Option<Value>, merge_changes: bool) -> CaseDraft {
        let id = observation_id(identifier);
        let new = new.unwrap_or_else(|| observation(&id, identifier, "final"));
        let (merges, existing) = (AtomicUsize::new(0), Mutex::new(None));
        CaseDraft { id, identifier: identifier.to_owned(), new, merge_changes, merges, existing }
    }

    fn merged_into(&self) -> Option<Value> {
        self.existing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Draft for CaseDraft {
    fn id(&self) -> &str {
        &self.id
    }

    fn identifier(&self) -> &str {
        &self.identifier
    }

    fn create(&self) -> Result<Observation, Reason> {
        read(&self.new)
    }

    fn merge(&self, existing: &Observation) -> Result<Option<Observation>, Reason> {
        self.merges.fetch_add(1, Ordering::Relaxed);
        let mut merged: Value = serde_json::from_slice(&existing.to_json()).unwrap_or_default();
        *self.existing.lock().unwrap_or_else(PoisonError::into_inner) = Some(merged.clone());
        merged["status"] = json!("amended");
        self.merge_changes.then(|| read(&merged)).transpose()
    }

    fn absorb(&self, _: &Observation, _: &Observation) -> Result<Option<Observation>, Reason> {
        Ok(None)
    }
}

fn observation(id: &str, identifier: &str, status: &str) -> Value {
    let identifier = json!([{ "system": SERVICE_SYSTEM, "value": identifier }]);
    json!({ "resourceType": "Observation", "id": id, "status": status, "identifier": identifier })
}

fn read(observation: &Value) -> Result<Observation, Reason> {
    Observation::read(observation.to_string().as_bytes()).map_err(|error| Reason::new("CorpusError", error.to_string()))
}

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    if let Some(groups) = case.get("groups").and_then(Value::as_u64) {
        return delivered::one_save_a_group(usize::try_from(groups).unwrap_or_default(), &case["expect"]);
    }
    let text = |value: &Value, name: &str| case::text(value, name).to_owned();
    let ids = &case["ids"];
    let ids = ResourceIds { device: text(ids, "Device"), patient: text(ids, "Patient"), encounter: None };
    let group = &case["group"];
    let identifier = observation_identifier(&ids, case::text(group, "name"), case::text(group, "idSegment"));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let stored = Stored {
        identifier: identifier.clone(),
        reads: list(&case["searchResults"]).iter().map(list).collect(),
        held: Vec::new(),
        replies: list(&case["updateResponses"]).into(),
        seeding: false,
        written: Vec::new(),
    };
    let done = against(stored, async |server: &ScriptedServer<Stored>| save(case, &identifier, server).await);
    done.unwrap_or_else(|error| Outcome::failed("a server", error.to_string()))
}

async fn save(case: &Value, identifier: &str, server: &ScriptedServer<Stored>) -> Outcome {
    // The reference connector finds Observations by a search, whatever their id.
    // It tries three times in all, we ten times (docs/compatibility.md, a conflict).
    let options = SaveOptions { legacy_ids: true, rounds_max: 3, ..SaveOptions::default() };
    let saver = Saver::new(server.client(), options);
    if let Some(cached) = case.get("cached").filter(|cached| !cached.is_null()) {
        server.script(|stored| stored.seeding = true);
        let seeded =
            saver.save(&[CaseDraft::new(identifier, Some(cached.clone()), false)], Window::until(soon())).await;
        server.script(|stored| (stored.seeding, stored.written) = (false, Vec::new()));
        if !matches!(seeded.as_deref(), Ok([SaveOutcome::Created])) {
            return Outcome::Skipped(format!("the cached Observation cannot be put into the memory: {seeded:?}"));
        }
    }
    let before = server.request_count();
    let draft = CaseDraft::new(identifier, None, case["mergeChanges"].as_bool().unwrap_or(true));
    let drafts = [draft];
    let saved = saver.save(&drafts, Window::until(soon())).await;
    let outcome = saved.map(|outcomes| outcomes.into_iter().next());
    let expect = &case["expect"];
    let checks = [
        check_outcome(expect, &outcome),
        check_counts(expect, &drafts[0], server.request_count() - before),
        check_written(expect, server),
        check_contention(expect, &saver),
    ];
    if let Some(failure) = checks.into_iter().find(|check| *check != Outcome::Passed) {
        return failure;
    }
    check_memory(expect, identifier, &saver, server).await
}

/// What a save came to, in the words of the corpus.
#[derive(Debug, Default)]
struct Came {
    /// The `Name` of the reference connector's metric, and so the outcome.
    metric: Option<&'static str>,
    error: Option<Refused>,
}

/// An error and the status for which the server's answer is the reason.
#[derive(Debug)]
struct Refused {
    kind: &'static str,
    status: Option<u64>,
}

fn came(got: &Result<Option<SaveOutcome>, ServerAway>) -> Came {
    let refused = |kind, status| Came { metric: None, error: Some(Refused { kind, status }) };
    match got {
        Ok(Some(SaveOutcome::Rejected(reason))) => {
            let record = reference_metrics::of_reason(&reason.code);
            refused(record.map_or("fhir-client", |record| record.kind), status_of(reason))
        }
        Ok(outcome) => Came { metric: outcome.as_ref().and_then(reference_metrics::saved), error: None },
        Err(ServerAway::Status { status, .. }) => refused("fhir-client", Some(u64::from(*status))),
        Err(_) => refused("fhir-client", None),
    }
}

fn check_outcome(expect: &Value, got: &Result<Option<SaveOutcome>, ServerAway>) -> Outcome {
    let came = came(got);
    let is_met = match (expect.get("error"), &came.error) {
        (Some(expected), Some(error)) => {
            expected["kind"] == error.kind
                && expected.get("status").is_none_or(|status| status.as_u64() == error.status)
        }
        (None, None) => {
            let word = came.metric.map(|metric| metric.trim_start_matches("Observation"));
            expect["outcome"].as_str() == word
                && expect.get("metric").is_none_or(|expected| expected.as_str() == came.metric)
        }
        _ => false,
    };
    if is_met { Outcome::Passed } else { Outcome::failed(expect.to_string(), format!("{got:?}")) }
}

/// The status that the reason's text names, or that its code stands for.
fn status_of(reason: &Reason) -> Option<u64> {
    match reason.code.as_ref() {
        "WriteConflict" => Some(409),
        "ReferenceNotFound" => Some(404),
        "ObservationTooLarge" => Some(413),
        _ => reason.message.rsplit(' ').next()?.parse().ok(),
    }
}

fn check_counts(expect: &Value, draft: &CaseDraft, requests: usize) -> Outcome {
    let merges = draft.merges.load(Ordering::Relaxed);
    if let Some(expected) = expect.get("merges").and_then(Value::as_u64)
        && u64::try_from(merges).ok() != Some(expected)
    {
        return Outcome::failed(format!("{expected} merges"), merges.to_string());
    }
    // Without one of theirs there must be none of ours.
    match expect.get("requests").and_then(Value::as_array) {
        Some(expected) if expected.is_empty() && requests > 0 => {
            Outcome::failed("no request", format!("{requests} requests"))
        }
        _ => Outcome::Passed,
    }
}

fn check_written(expect: &Value, server: &ScriptedServer<Stored>) -> Outcome {
    let written = server.script(|stored| stored.written.last().cloned()).unwrap_or_default();
    for (pointer, expected) in expect["facts"].as_object().into_iter().flatten() {
        if let Some(got) = differing_fact(&written, pointer, expected) {
            return Outcome::failed(format!("{pointer} {expected}"), got);
        }
    }
    Outcome::Passed
}

/// The reference connector counts that somebody else created the Observation at
/// the same time; ours also brings back what they wrote.
fn check_contention(expect: &Value, saver: &Saver) -> Outcome {
    let is_expected = expect.get("extraMetric").is_some();
    Outcome::compare(&is_expected, &(saver.counts().overwrites > 0))
}

/// What the memory holds afterwards: what was saved.
async fn check_memory(expect: &Value, identifier: &str, saver: &Saver, server: &ScriptedServer<Stored>) -> Outcome {
    if expect.get("cacheHolds").is_none() {
        return Outcome::Passed;
    }
    let before = server.request_count();
    let probe = [CaseDraft::new(identifier, None, false)];
    let again = saver.save(&probe, Window::until(soon())).await;
    if !matches!(again.as_deref(), Ok([SaveOutcome::Unchanged])) || server.request_count() != before {
        return Outcome::failed("what was saved in the memory", format!("{again:?}"));
    }
    Outcome::compare(&server.script(|stored| stored.written.last().cloned()), &probe[0].merged_into())
}
