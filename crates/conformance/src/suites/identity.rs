//! The suite `identity`: what Device, Patient and Encounter a measurement is
//! about, against a FHIR server that holds what the case says.
//!
//! The list of requests says what the reference connector sends. Ours may be
//! fewer, never more (design.md D7), and what is written has to be the same.

use std::collections::BTreeMap;

use fhir_client::identity::{ResolveError, UnknownMode};
use fhir_client::{Identity, IdentityOptions, Mode, PatientCheck, Resolver, Subject};
use mapping::ResourceIds;
use serde_json::{Value, json};

use super::case;
use crate::Outcome;
use crate::scripted_server::{Asked, Reply, Script, ScriptedServer, against, soon};

/// Holds what searches find, and what was written.
#[derive(Default)]
pub(super) struct Ward {
    /// From `Type?identifier=…` to what is found.
    found: BTreeMap<String, Vec<Value>>,
    /// A Device for every search that is not listed.
    knows_every_device: bool,
    written: Vec<Value>,
}

impl Script for Ward {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if let Some(search) = asked.search() {
            return Reply::page(&self.search(&search));
        }
        match (asked.method.as_str(), asked.resource()) {
            ("GET", Some((kind, id))) => self.get(kind, id).map_or(Reply::refusal(404), Reply::found),
            ("PUT", Some((kind, id))) => {
                let is_new = self.get(kind, id).is_none();
                self.written.push(asked.body.clone());
                let (status, version) = if is_new { (201, "1") } else { (200, "2") };
                Reply { status, version: Some(version.to_owned()), body: asked.body.clone() }
            }
            _ => Reply::refusal(404),
        }
    }
}

impl Ward {
    /// One that has a Device for every identifier.
    pub(super) fn knowing_every_device() -> Ward {
        Ward { knows_every_device: true, ..Ward::default() }
    }

    /// What the case lists.
    fn of(case: &Value) -> Ward {
        let results = case["fhir"]["searchResults"].as_object().into_iter().flatten();
        let list = |found: &Value| found.as_array().cloned().unwrap_or_default();
        let found = results.map(|(query, found)| (query.clone(), list(found))).collect();
        Ward { found, ..Ward::default() }
    }

    fn search(&self, search: &str) -> Vec<Value> {
        match (self.found.get(search), search.split_once("?identifier=")) {
            (Some(found), _) => found.clone(),
            (None, Some(("Device", identifier))) if self.knows_every_device => {
                let patient = json!({ "reference": "Patient/p" });
                vec![json!({ "resourceType": "Device", "id": format!("of-{identifier}"), "patient": patient })]
            }
            (None, _) => Vec::new(),
        }
    }

    fn get(&self, kind: &str, id: &str) -> Option<Value> {
        let all = self.written.iter().rev().chain(self.found.values().flatten());
        let is_it = |resource: &&Value| resource["resourceType"] == kind && resource["id"] == id;
        all.into_iter().find(is_it).cloned()
    }
}

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let outcome = match case::text(case, "operation") {
        "id-set" if case.get("measurementGroup").is_none() => Ok(id_set(case)),
        "" | "id-set" => against(Ward::of(case), async |server: &ScriptedServer<Ward>| resolve(case, server).await),
        "cache" => {
            let ward = Ward::knowing_every_device();
            against(ward, async |server: &ScriptedServer<Ward>| cache(case, server).await)
        }
        "mode-name" => Ok(mode_name(case)),
        other => Ok(Outcome::Skipped(format!("the operation `{other}` is not known"))),
    };
    outcome.unwrap_or_else(|error| Outcome::failed("a server", error.to_string()))
}

/// How the reference connector resolves: it does not look at the patient that
/// the message names when the device is found.
fn resolver(case: &Value, server: &ScriptedServer<Ward>) -> Result<Resolver, UnknownMode> {
    let mode = case.get("mode").and_then(Value::as_str).map_or(Ok(Mode::default()), Mode::from_name)?;
    let mut options = IdentityOptions::new(mode);
    options.patient_check = PatientCheck::Off;
    options.device_system = case["defaultDeviceIdentifierSystem"].as_str().map(str::to_owned);
    Ok(Resolver::new(server.client(), options))
}

async fn resolve(case: &Value, server: &ScriptedServer<Ward>) -> Outcome {
    let resolver = match resolver(case, server) {
        Ok(resolver) => resolver,
        Err(error) => return Outcome::Skipped(error.to_string()),
    };
    let group = &case["measurementGroup"];
    let subject = Subject {
        device_id: case::text(group, "deviceId"),
        patient_id: group["patientId"].as_str(),
        encounter_id: group["encounterId"].as_str(),
    };
    let got = resolver.resolve(subject, soon()).await;
    let expect = &case["expect"];
    let resolved = match (&got, expect.get("error")) {
        (Err(error), Some(expected)) => is_error(expected, error),
        (Ok(identity), None) => case::difference(&expect["ids"], &ids(identity), "").is_none(),
        _ => false,
    };
    if !resolved {
        let got = got.as_ref().map_or_else(|error| format!("{error:?}"), |identity| ids(identity).to_string());
        return Outcome::failed(expect.to_string(), got);
    }
    requests(expect, server)
}

/// What is known of the ids of a device and a patient: all three kinds, with
/// none for what was not looked for.
fn id_set(case: &Value) -> Outcome {
    let given = |kind: &str, name: &str| case["ids"][kind].as_str().or(case[name].as_str()).map(str::to_owned);
    let ids = ResourceIds {
        device: given("Device", "deviceId").unwrap_or_default(),
        patient: given("Patient", "patientId").unwrap_or_default(),
        encounter: given("Encounter", "encounterId"),
    };
    let (expected, got) = (&case["expect"]["ids"], ids_of(&ids));
    match case::difference(expected, &got, "") {
        None => Outcome::Passed,
        Some(_) => Outcome::failed(expected.to_string(), got.to_string()),
    }
}

fn ids(identity: &Identity) -> Value {
    ids_of(&identity.ids)
}

fn ids_of(ids: &ResourceIds) -> Value {
    json!({ "Device": ids.device, "Patient": ids.patient, "Encounter": ids.encounter })
}

/// Whether it is the error that a case expects: its kind, and of what.
pub(super) fn is_error(expected: &Value, error: &ResolveError) -> bool {
    let (kind, resource_type) = match error {
        ResolveError::Unresolved(unresolved) => (unresolved.kind(), unresolved.resource_type()),
        ResolveError::Away(_) => ("fhir-client", None),
    };
    let wanted = expected.get("resourceType").and_then(Value::as_str);
    expected["kind"] == kind && wanted.is_none_or(|wanted| Some(wanted) == resource_type)
}

/// Not more requests than the reference connector's, and the same writes.
fn requests(expect: &Value, server: &ScriptedServer<Ward>) -> Outcome {
    let Some(expected) = expect.get("requests").and_then(Value::as_array) else { return Outcome::Passed };
    let count = server.request_count();
    if count > expected.len() {
        return Outcome::failed(format!("at most {} requests", expected.len()), format!("{:?}", server.asked()));
    }
    let updates = expected.iter().filter(|request| request["method"] == "update");
    let expected: Vec<&Value> = updates.map(|request| &request["resource"]).collect();
    let asked = server.asked();
    let written: Vec<&Value> = asked.iter().filter(|asked| asked.method == "PUT").map(|asked| &asked.body).collect();
    Outcome::compare(&expected, &written)
}

/// Which of several resolutions in turn go to the server.
async fn cache(case: &Value, server: &ScriptedServer<Ward>) -> Outcome {
    let resolver = match resolver(case, server) {
        Ok(resolver) => resolver,
        Err(error) => return Outcome::Skipped(error.to_string()),
    };
    let mut resolved = Vec::new();
    for device_id in case["deviceIds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let before = server.request_count();
        let subject = Subject { device_id, patient_id: None, encounter_id: None };
        if let Err(error) = resolver.resolve(subject, soon()).await {
            return Outcome::failed("a Device", error.to_string());
        }
        resolved.push(server.request_count() > before);
    }
    Outcome::compare(&case["expect"]["resolved"], &json!(resolved))
}

fn mode_name(case: &Value) -> Outcome {
    let expect = &case["expect"];
    match (Mode::from_name(case::text(case, "value")), expect.get("error")) {
        (Ok(mode), None) => Outcome::compare(&expect["mode"], &json!(mode.to_string())),
        (Err(UnknownMode), Some(error)) => Outcome::compare(&error["kind"], &json!("not-supported")),
        (got, _) => Outcome::failed(expect.to_string(), format!("{got:?}")),
    }
}
