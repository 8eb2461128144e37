//! Creates what is not there: Patient first, then the Device that names it
//! (fhir-conversion.md 7.5).
//!
//! ```text
//! one batch: Patient by identifier, Patient by our id, Device by our id
//! PUT Patient, PUT Device        only what is still missing
//! ```
//!
//! Ids are computed, so that two processes create one resource. The read by our
//! own id comes before a create because a search can lag behind and a create
//! would then replace what somebody has added since. Where a create replaces
//! something all the same, the server's answer shows it, and what was there is
//! put back.

use mapping::identifier::{ResourceIds, resource_id};
use reqwest::Method;
use serde_json::{Value, json};

use super::lookup::{Missing, matching, only_one};
use super::reference::{id_of, patient_of};
use super::{DEVICE, Identity, PATIENT, Question, ResolveError, Resolver, Unresolved};
use crate::client::{Answer, Condition, Request, ServerAway, Until, is_server_error};
use crate::history::{Before, version_before};
use crate::search::{Identifier, next_link, resources_of};
use crate::version::Version;

/// Rounds of reading again after somebody else wrote the same Device; each
/// needs another writer, of whom there are few.
const ROUNDS_MAX: usize = 5;

impl Resolver {
    /// Creates what a lookup did not find.
    pub(super) async fn create(&self, question: Question<'_>, missing: Missing) -> Result<Identity, ResolveError> {
        let Question { subject, until, .. } = question;
        let patient_id = subject.patient_id.ok_or(Unresolved::NotDefined { kind: PATIENT })?;
        let patient_identifier = self.patient_identifier(patient_id);
        let device_identifier = self.device_identifier(subject);
        let new_patient = self.new_patient_id(patient_id);
        let new_device = resource_id(device_identifier.system.unwrap_or_default(), subject.device_id);

        let mut requests = vec![
            self.client.request(Method::GET, PATIENT, Some(&patient_identifier.query())),
            self.read_request(PATIENT, &new_patient),
        ];
        if matches!(missing, Missing::Device) {
            requests.push(self.read_request(DEVICE, &new_device));
        }
        let batch = self.client.batch(&requests, until).await;
        let answers: Option<Vec<Answer>> = batch.answers.into_iter().collect();
        let Some(answers) = answers else {
            return Err(batch.away.unwrap_or(ServerAway::DeadlinePassed).into());
        };

        let patient = match self.found_patient(&answers, patient_identifier, until).await? {
            Some(patient) => patient,
            None => {
                let body = json!({
                    "resourceType": PATIENT,
                    "id": new_patient,
                    "identifier": [identifier_element(patient_identifier)],
                });
                self.put_new(PATIENT, &new_patient, &body, until).await?
            }
        };
        let patient = id_of(&patient).ok_or(Unresolved::NotFound { kind: PATIENT })?.to_owned();
        let device = match (missing, answers.get(2)) {
            (Missing::PatientOf(device), _) => device,
            (Missing::Device, Some(answer)) if answer.is_success() => answer.json()?,
            (Missing::Device, _) => {
                let body = json!({
                    "resourceType": DEVICE,
                    "id": new_device,
                    "identifier": [identifier_element(device_identifier)],
                    "patient": { "reference": format!("Patient/{patient}") },
                });
                self.put_new(DEVICE, &new_device, &body, until).await?
            }
        };
        let device = self.link(device, &patient, until).await?;
        Ok(Identity { ids: ResourceIds { device, patient, encounter: None }, patient_differs: false })
    }

    /// The Patient in the answers to the search and to the read by our id.
    async fn found_patient(
        &self,
        answers: &[Answer],
        identifier: Identifier<'_>,
        until: Until<'_>,
    ) -> Result<Option<Value>, ResolveError> {
        let (Some(search), Some(read)) = (answers.first(), answers.get(1)) else { return Ok(None) };
        if !search.is_success() {
            return Err(match search.status {
                // A search that finds nothing is no 404.
                404 => search.away().into(),
                _ => self.refused(PATIENT, search, until).await,
            });
        }
        let page = search.json()?;
        // A second page is rare enough to start over without the batch.
        let found = match next_link(&page) {
            None => resources_of(page, PATIENT),
            Some(_) => match self.client.search(PATIENT, identifier, until.deadline()).await {
                Ok(found) => found,
                Err(crate::client::SearchError::Away(away)) => return Err(away.into()),
                Err(_) => return Err(Unresolved::Multiple { kind: PATIENT, count: usize::MAX }.into()),
            },
        };
        match only_one(PATIENT, matching(found, identifier))? {
            Some(patient) => Ok(Some(patient)),
            None if read.is_success() => Ok(Some(read.json()?)),
            None => Ok(None),
        }
    }

    /// Writes a resource that is not there and gives what is there afterwards,
    /// which is not ours when somebody was faster.
    async fn put_new(
        &self,
        kind: &'static str,
        id: &str,
        body: &Value,
        until: Until<'_>,
    ) -> Result<Value, ResolveError> {
        let answer = self.put(kind, id, body, Condition::Absent, until).await?;
        match answer.status {
            201 => Ok(body.clone()),
            // Somebody was faster, and the server kept what they wrote.
            409 | 412 => self.read(kind, id, until).await?.ok_or(Unresolved::NotFound { kind }.into()),
            200 => self.put_back(kind, id, body, &answer, until).await,
            _ => Err(self.refused(kind, &answer, until).await),
        }
    }

    /// After a create that was an update: what was there before counts, if it
    /// was anything. Before a deletion is nothing.
    async fn put_back(
        &self,
        kind: &'static str,
        id: &str,
        body: &Value,
        answer: &Answer,
        until: Until<'_>,
    ) -> Result<Value, ResolveError> {
        let Some(version) = &answer.version else { return Ok(body.clone()) };
        let before = version_before(&self.client, &format!("{kind}/{id}"), version, until.deadline()).await?;
        let Before::Content(before) = before else { return Ok(body.clone()) };
        let mut before: Value = serde_json::from_slice(&before).map_err(|_| ServerAway::NotFhir)?;
        if let Some(members) = before.as_object_mut() {
            members.remove("meta");
        }
        if before == *body {
            return Ok(before);
        }
        let answer = self.put(kind, id, &before, Condition::Version(version.clone()), until).await?;
        match answer.status {
            200 | 201 => Ok(before),
            // Somebody has written since; what they wrote is what counts.
            404 | 409 | 412 => self.read(kind, id, until).await?.ok_or(Unresolved::NotFound { kind }.into()),
            _ => Err(self.refused(kind, &answer, until).await),
        }
    }

    /// Makes `device` name the Patient if it names none. Gives the Device's id.
    async fn link(&self, mut device: Value, patient: &str, until: Until<'_>) -> Result<String, ResolveError> {
        for _ in 0..ROUNDS_MAX {
            let id = id_of(&device).ok_or(Unresolved::NotFound { kind: DEVICE })?.to_owned();
            if device.get("patient").is_some_and(|reference| !reference.is_null()) {
                let same = patient_of(&device) == Some(patient);
                return if same { Ok(id) } else { Err(Unresolved::PatientDeviceMismatch.into()) };
            }
            let condition = Version::of_resource(&device).map_or(Condition::None, Condition::Version);
            device["patient"] = json!({ "reference": format!("Patient/{patient}") });
            let answer = self.put(DEVICE, &id, &device, condition, until).await?;
            match answer.status {
                200 | 201 => return Ok(id),
                404 | 409 | 412 => {
                    let read = self.read(DEVICE, &id, until).await?;
                    device = read.ok_or(Unresolved::NotFound { kind: DEVICE })?;
                }
                _ => return Err(self.refused(DEVICE, &answer, until).await),
            }
        }
        Err(Unresolved::Refused { kind: DEVICE, status: 409 }.into())
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        body: &Value,
        condition: Condition,
        until: Until<'_>,
    ) -> Result<Answer, ServerAway> {
        let mut request = self.client.request(Method::PUT, &format!("{kind}/{id}"), None);
        request.body = Some(body.to_string().into_bytes());
        request.condition = condition;
        self.client.send(&request, until).await
    }

    async fn read(&self, kind: &'static str, id: &str, until: Until<'_>) -> Result<Option<Value>, ResolveError> {
        let answer = self.client.send(&self.read_request(kind, id), until).await?;
        match answer.status {
            404 | 410 => Ok(None),
            _ if answer.is_success() => Ok(Some(answer.json()?)),
            _ => Err(answer.away().into()),
        }
    }

    fn read_request(&self, kind: &str, id: &str) -> Request {
        self.client.request(Method::GET, &format!("{kind}/{id}"), None)
    }

    /// What a status means that came instead of a resource.
    async fn refused(&self, kind: &'static str, answer: &Answer, until: Until<'_>) -> ResolveError {
        match answer.status {
            status @ (400 | 404 | 413 | 414 | 422) => match self.client.prove(answer.asked, until.deadline()).await {
                Ok(()) => Unresolved::Refused { kind, status }.into(),
                Err(away) => away.into(),
            },
            status if is_server_error(status) => Unresolved::Refused { kind, status }.into(),
            _ => answer.away().into(),
        }
    }
}

fn identifier_element(identifier: Identifier<'_>) -> Value {
    match identifier.system {
        Some(system) => json!({ "system": system, "value": identifier.value }),
        None => json!({ "value": identifier.value }),
    }
}
