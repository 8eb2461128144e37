//! Searches for Device, Patient and Encounter by identifier.

use std::collections::HashSet;
use std::time::Instant;

use mapping::identifier::{ResourceIds, resource_id};
use reqwest::Method;
use serde_json::Value;

use super::reference::{id_of, patient_of};
use super::{
    DEVICE, ENCOUNTER, Identity, Known, PATIENT, PatientCheck, Question, ResolveError, Resolver, Subject, Unresolved,
};
use crate::client::{Answer, Request, SearchError, ServerAway, is_server_error};
use crate::search::{Identifier, next_link, resources_of};

/// What a lookup did not find.
pub(super) enum Missing {
    Device,
    /// The Device is there, but it names no Patient.
    PatientOf(Value),
}

impl Missing {
    pub(super) fn unresolved(&self) -> Unresolved {
        match self {
            Missing::Device => Unresolved::NotFound { kind: DEVICE },
            Missing::PatientOf(_) => Unresolved::NotFound { kind: PATIENT },
        }
    }
}

impl Resolver {
    /// The logical ids of the Device and its Patient.
    pub(super) async fn look_up_device(
        &self,
        question: Question<'_>,
    ) -> Result<Result<(String, String), Missing>, ResolveError> {
        let found = self.find_one(question, DEVICE, self.device_identifier(question.subject)).await?;
        let Some(device) = found else { return Ok(Err(Missing::Device)) };
        Ok(match (id_of(&device), patient_of(&device)) {
            (Some(id), Some(patient)) => Ok((id.to_owned(), patient.to_owned())),
            (Some(_), None) => Err(Missing::PatientOf(device)),
            (None, _) => Err(Missing::Device),
        })
    }

    pub(super) async fn look_up_encounter(
        &self,
        question: Question<'_>,
        encounter_id: &str,
    ) -> Result<String, ResolveError> {
        let found = self.find_one(question, ENCOUNTER, self.encounter_identifier(encounter_id)).await?;
        let id = found.as_ref().and_then(id_of);
        Ok(id.ok_or(Unresolved::NotFound { kind: ENCOUNTER })?.to_owned())
    }

    /// Compares the Patient of the Device with the one that the message names.
    pub(super) async fn check_patient(
        &self,
        question: Question<'_>,
        device: String,
        patient: String,
    ) -> Result<Identity, ResolveError> {
        let patient_differs = match (self.options.patient_check, question.subject.patient_id) {
            (PatientCheck::Off, _) | (_, None) => false,
            // The Patient we would have created needs no request.
            (_, Some(named)) if self.new_patient_id(named) == patient => false,
            (_, Some(named)) => {
                let found = self.find(question, PATIENT, self.patient_identifier(named)).await?;
                !found.iter().any(|found| id_of(found) == Some(&patient))
            }
        };
        if patient_differs && self.options.patient_check == PatientCheck::Reject {
            return Err(Unresolved::PatientDeviceMismatch.into());
        }
        Ok(Identity { ids: ResourceIds { device, patient, encounter: None }, patient_differs })
    }

    pub(super) fn device_identifier<'s>(&'s self, subject: Subject<'s>) -> Identifier<'s> {
        identifier(&self.options.device_system, subject.device_id)
    }

    pub(super) fn patient_identifier<'s>(&'s self, value: &'s str) -> Identifier<'s> {
        identifier(&self.options.patient_system, value)
    }

    /// The id of the Patient that we would create.
    pub(super) fn new_patient_id(&self, value: &str) -> String {
        resource_id(self.options.patient_system.as_deref().unwrap_or_default(), value)
    }

    fn encounter_identifier<'s>(&'s self, value: &'s str) -> Identifier<'s> {
        identifier(&self.options.encounter_system, value)
    }

    /// The one resource with this identifier, if there is one.
    async fn find_one(
        &self,
        question: Question<'_>,
        kind: &'static str,
        identifier: Identifier<'_>,
    ) -> Result<Option<Value>, ResolveError> {
        let found = self.find(question, kind, identifier).await?;
        Ok(only_one(kind, found)?)
    }

    async fn find(
        &self,
        question: Question<'_>,
        kind: &'static str,
        identifier: Identifier<'_>,
    ) -> Result<Vec<Value>, ResolveError> {
        if let Some(found) = question.known.get(&format!("{kind}?{}", identifier.query())) {
            return Ok(matching(found.clone(), identifier));
        }
        let asked = self.client.clock().now();
        match self.client.search(kind, identifier, question.until.deadline()).await {
            Ok(found) => Ok(matching(found, identifier)),
            Err(SearchError::Away(away)) => Err(away.into()),
            // Something in the identifier; all else would be the server's fault.
            Err(SearchError::Refused { status: status @ (400 | 414 | 422) }) => {
                self.client.prove(asked, question.until.deadline()).await?;
                Err(Unresolved::Refused { kind, status }.into())
            }
            // Found to be about this identifier alone.
            Err(SearchError::Refused { status }) if is_server_error(status) => {
                Err(Unresolved::Refused { kind, status }.into())
            }
            Err(SearchError::Refused { status }) => Err(ServerAway::Status { status, retry_after: None }.into()),
            Err(SearchError::TooManyPages) => Err(Unresolved::Multiple { kind, count: usize::MAX }.into()),
        }
    }

    /// Makes the searches that the first steps for `subjects` need, in batches.
    /// What is answered with anything but one page of results is left out, to be
    /// asked again and judged by itself.
    pub(super) async fn look_ahead(&self, subjects: &[Subject<'_>], deadline: Instant) -> Result<Known, ServerAway> {
        let mut seen = HashSet::new();
        let mut requests: Vec<Request> = Vec::new();
        for subject in subjects.iter().map(|subject| subject.without_blanks()) {
            if subject.device_id.is_empty() || self.cache.contains_key(&subject.key()) {
                continue;
            }
            let checked = subject.patient_id.filter(|_| self.options.patient_check != PatientCheck::Off);
            let wanted = [
                Some((DEVICE, self.device_identifier(subject))),
                checked.map(|id| (PATIENT, self.patient_identifier(id))),
                subject.encounter_id.map(|id| (ENCOUNTER, self.encounter_identifier(id))),
            ];
            for (kind, identifier) in wanted.into_iter().flatten() {
                let request = self.client.request(Method::GET, kind, Some(&identifier.query()));
                if seen.insert(request.relative.clone()) {
                    requests.push(request);
                }
            }
        }
        // One question alone is answered by whoever asks it.
        if requests.len() < 2 {
            return Ok(Known::new());
        }
        let batch = self.client.batch(&requests, deadline).await;
        if let Some(away) = batch.away {
            return Err(away);
        }
        let answers = requests.into_iter().zip(batch.answers);
        let page = |answer: Option<Answer>| {
            let page = answer.filter(Answer::is_success)?.json().ok()?;
            next_link(&page).is_none().then_some(page)
        };
        Ok(answers
            .filter_map(|(request, answer)| {
                let kind = request.relative.split('?').next().unwrap_or_default();
                let found = resources_of(page(answer)?, kind);
                Some((request.relative, found))
            })
            .collect())
    }
}

/// Of any system when there is none, or a blank one.
fn identifier<'s>(system: &'s Option<String>, value: &'s str) -> Identifier<'s> {
    Identifier { system: system.as_deref().filter(|system| !system.is_empty()), value }
}

/// Those of `found` that really have the identifier. A resource that comes
/// without any identifiers is taken at the server's word: it left them out.
pub(super) fn matching(mut found: Vec<Value>, identifier: Identifier<'_>) -> Vec<Value> {
    found.retain(|resource| resource.get("identifier").is_none() || identifier.is_of(resource));
    found
}

pub(super) fn only_one(kind: &'static str, found: Vec<Value>) -> Result<Option<Value>, Unresolved> {
    crate::search::only_one(kind, found).map_err(|several| Unresolved::Multiple { kind, count: several.count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn passes_over_what_only_resembles_the_identifier() {
        let identifier = Identifier { system: None, value: "d1" };
        let with = |value| json!({ "identifier": [{ "system": "s", "value": value }] });
        let found = matching(vec![with("d1"), with("D1"), with("d1x"), json!({ "id": "1" })], identifier);
        assert_eq!(found, [with("d1"), json!({ "id": "1" })]);
    }
}
