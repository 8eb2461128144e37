//! Searches for Device, Patient and Encounter by identifier.

use std::time::Instant;

use mapping::identifier::{ResourceIds, resource_id};
use serde_json::Value;

use super::reference::{id_of, patient_of};
use super::{DEVICE, ENCOUNTER, Identity, PATIENT, PatientCheck, ResolveError, Resolver, Subject, Unresolved};
use crate::client::SearchError;
use crate::search::Identifier;

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
        subject: Subject<'_>,
        deadline: Instant,
    ) -> Result<Result<(String, String), Missing>, ResolveError> {
        let found = self.find_one(DEVICE, self.device_identifier(subject), deadline).await?;
        let Some(device) = found else { return Ok(Err(Missing::Device)) };
        Ok(match (id_of(&device), patient_of(&device)) {
            (Some(id), Some(patient)) => Ok((id.to_owned(), patient.to_owned())),
            (Some(_), None) => Err(Missing::PatientOf(device)),
            (None, _) => Err(Missing::Device),
        })
    }

    pub(super) async fn look_up_encounter(
        &self,
        encounter_id: &str,
        deadline: Instant,
    ) -> Result<String, ResolveError> {
        let identifier = Identifier { system: None, value: encounter_id };
        let found = self.find_one(ENCOUNTER, identifier, deadline).await?;
        let id = found.as_ref().and_then(id_of);
        Ok(id.ok_or(Unresolved::NotFound { kind: ENCOUNTER })?.to_owned())
    }

    /// Compares the Patient of the Device with the one that the message names.
    pub(super) async fn check_patient(
        &self,
        subject: Subject<'_>,
        device: String,
        patient: String,
        deadline: Instant,
    ) -> Result<Identity, ResolveError> {
        let patient_differs = match (self.options.patient_check, subject.patient_id) {
            (PatientCheck::Off, _) | (_, None) => false,
            // The Patient we would have created needs no request.
            (_, Some(named)) if resource_id("", named) == patient => false,
            (_, Some(named)) => {
                let identifier = Identifier { system: None, value: named };
                let found = self.find(PATIENT, identifier, deadline).await?;
                !found.iter().any(|found| id_of(found) == Some(&patient))
            }
        };
        if patient_differs && self.options.patient_check == PatientCheck::Reject {
            return Err(Unresolved::PatientDeviceMismatch.into());
        }
        Ok(Identity { ids: ResourceIds { device, patient, encounter: None }, patient_differs })
    }

    pub(super) fn device_identifier<'s>(&'s self, subject: Subject<'s>) -> Identifier<'s> {
        let system = self.options.device_system.as_deref().filter(|system| !system.is_empty());
        Identifier { system, value: subject.device_id }
    }

    /// The one resource with this identifier, if there is one.
    async fn find_one(
        &self,
        kind: &'static str,
        identifier: Identifier<'_>,
        deadline: Instant,
    ) -> Result<Option<Value>, ResolveError> {
        let found = self.find(kind, identifier, deadline).await?;
        Ok(only_one(kind, found)?)
    }

    async fn find(
        &self,
        kind: &'static str,
        identifier: Identifier<'_>,
        deadline: Instant,
    ) -> Result<Vec<Value>, ResolveError> {
        match self.client.search(kind, identifier, deadline).await {
            Ok(found) => Ok(matching(found, identifier)),
            Err(SearchError::Away(away)) => Err(away.into()),
            // Something in the identifier; all else would be the server's fault.
            Err(SearchError::Refused { status: status @ (400 | 414 | 422) }) => {
                Err(Unresolved::Refused { kind, status }.into())
            }
            Err(SearchError::Refused { status }) => {
                Err(crate::client::ServerAway::Status { status, retry_after: None }.into())
            }
            Err(SearchError::TooManyPages) => Err(Unresolved::Multiple { kind, count: usize::MAX }.into()),
        }
    }
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
