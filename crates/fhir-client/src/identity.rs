//! Finds the Device, Patient and Encounter that an Observation refers to
//! (fhir-conversion.md 7).
//!
//! ```text
//! Subject (identifiers of a message) --resolve--> ResourceIds (logical ids on the server)
//!                                                 or Unresolved, about the data
//!                                                 or ServerAway
//! ```
//!
//! Answers are kept for a while under everything that decides them, the bad
//! ones for a shorter while (design.md D7), and whoever asks for what is being
//! asked for already waits for that answer. Parking what is unresolved is for
//! the caller: [`Unresolved::is_parkable`] says when it makes sense.

mod create;
mod lookup;
mod reference;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use delivery::Fence;
use futures::future::join_all;
use mapping::identifier::ResourceIds;
use moka::Expiry;
use moka::future::Cache;
use serde_json::Value;

pub use self::reference::reference_id;
use crate::client::{Client, ServerAway, Until};

/// How resources are resolved: `ResourceIdentity__ResourceIdentityServiceType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Device and Patient must be on the server; the default.
    #[default]
    Lookup,
    /// Device and Patient are created when they are not there.
    Create,
    /// Like `Lookup`, and every message must name an Encounter.
    LookupWithEncounter,
}

/// A name stands for no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `Lookup`, `Create` or `LookupWithEncounter`")]
pub struct UnknownMode;

impl Mode {
    /// Reads a mode's name, in any letter case, or the class name that old
    /// settings of the reference connector have (fhir-conversion.md 7.1).
    pub fn from_name(name: &str) -> Result<Mode, UnknownMode> {
        let names = [
            ("Lookup", Mode::Lookup),
            ("R4DeviceAndPatientLookupIdentityService", Mode::Lookup),
            ("Create", Mode::Create),
            ("R4DeviceAndPatientCreateIdentityService", Mode::Create),
            ("LookupWithEncounter", Mode::LookupWithEncounter),
            ("R4DeviceAndPatientWithEncounterLookupIdentityService", Mode::LookupWithEncounter),
        ];
        let found = names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
        found.map(|(_, mode)| *mode).ok_or(UnknownMode)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Lookup => "Lookup",
            Mode::Create => "Create",
            Mode::LookupWithEncounter => "LookupWithEncounter",
        })
    }
}

/// What happens when a message names another patient than its device does on
/// the server (fhir-conversion.md quirk 45). The patient of the device counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatientCheck {
    /// Nobody looks, as in the reference connector.
    Off,
    /// It is reported, see [`Identity::patient_differs`]; the default.
    #[default]
    Report,
    /// It is rejected.
    Reject,
}

/// How a [`Resolver`] works.
#[derive(Clone, Debug)]
pub struct IdentityOptions {
    /// What to do when something is not on the server.
    pub mode: Mode,
    /// `ResourceIdentity__DefaultDeviceIdentifierSystem`: the system of device
    /// identifiers, and of nothing else. Without one, any system matches.
    pub device_system: Option<String>,
    /// `Compatibility__PatientIdentifierSystem`: the system of patient
    /// identifiers. Without one, as with the reference connector, any matches,
    /// and Patients are created without (fhir-conversion.md quirk 37).
    pub patient_system: Option<String>,
    /// `Compatibility__EncounterIdentifierSystem`: the same for encounters.
    pub encounter_system: Option<String>,
    /// What to do about a patient who is not the device's.
    pub patient_check: PatientCheck,
    /// How many answers are kept. Defaults to 5000, as in the reference
    /// connector.
    pub cache_entries: u64,
    /// How long an answer is kept, however often it is used. Defaults to 10
    /// minutes: so long does a device that was given to another patient write
    /// to the old one.
    pub keep_found: Duration,
    /// How long it is kept that something is not there. Defaults to 30 s.
    pub keep_unresolved: Duration,
}

impl IdentityOptions {
    /// The defaults for `mode`.
    pub fn new(mode: Mode) -> IdentityOptions {
        IdentityOptions {
            mode,
            device_system: None,
            patient_system: None,
            encounter_system: None,
            patient_check: PatientCheck::default(),
            cache_entries: 5000,
            keep_found: Duration::from_secs(600),
            keep_unresolved: Duration::from_secs(30),
        }
    }
}

/// The identifiers in a message. A blank one counts as none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Subject<'s> {
    /// `Device.identifier`.
    pub device_id: &'s str,
    /// `Patient.identifier`.
    pub patient_id: Option<&'s str>,
    /// `Encounter.identifier`.
    pub encounter_id: Option<&'s str>,
}

impl fmt::Debug for Subject<'_> {
    /// Leaves the identifiers out: they are a patient's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// What a subject is on the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The logical ids.
    pub ids: ResourceIds,
    /// The message names another patient than the device does.
    pub patient_differs: bool,
}

impl fmt::Debug for Identity {
    /// Leaves the ids out: they are a patient's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("patient_differs", &self.patient_differs).finish_non_exhaustive()
    }
}

/// Why a subject is nothing on the server. About the data: the same message
/// gives the same answer until somebody changes something on the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is no such resource, or the Device names no Patient.
    #[error("{kind} not found on the FHIR server")]
    NotFound {
        /// The resource type.
        kind: &'static str,
    },
    /// The message lacks an identifier that the mode needs.
    #[error("the message has no identifier of a {kind}, which this way of resolving needs")]
    NotDefined {
        /// The resource type.
        kind: &'static str,
    },
    /// The Device belongs to another Patient than the message says.
    #[error("the Device belongs to another Patient")]
    PatientDeviceMismatch,
    /// Several resources have the identifier.
    #[error("{count} resources of type {kind} have the same identifier")]
    Multiple {
        /// The resource type.
        kind: &'static str,
        /// How many.
        count: usize,
    },
    /// The server does not take a search for, or a resource with, such an
    /// identifier.
    #[error("the FHIR server answers with status {status} about a {kind}")]
    Refused {
        /// The resource type.
        kind: &'static str,
        /// The HTTP status.
        status: u16,
    },
}

impl Unresolved {
    /// A stable name for metrics, filters and the documentation: the reference
    /// connector's metric without `Exception` (fhir-conversion.md 7.6).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { kind: DEVICE } => "DeviceNotFound",
            Self::NotFound { kind: PATIENT } => "PatientNotFound",
            Self::NotFound { .. } => "EncounterNotFound",
            Self::NotDefined { kind: DEVICE } => "DeviceIdentityNotDefined",
            Self::NotDefined { kind: PATIENT } => "PatientIdentityNotDefined",
            Self::NotDefined { .. } => "EncounterIdentityNotDefined",
            Self::PatientDeviceMismatch => "PatientDeviceMismatch",
            Self::Multiple { kind: DEVICE, .. } => "MultipleDeviceFound",
            Self::Multiple { kind: PATIENT, .. } => "MultiplePatientFound",
            Self::Multiple { .. } => "MultipleEncounterFound",
            Self::Refused { status: 500.., .. } => "FhirServerError",
            Self::Refused { .. } => "IdentityRefused",
        }
    }

    /// The kind of error in the conformance cases.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "fhir-resource-not-found",
            Self::NotDefined { .. } => "resource-identity-not-defined",
            Self::PatientDeviceMismatch => "patient-device-mismatch",
            Self::Multiple { .. } => "multiple-resources-found",
            Self::Refused { .. } => "fhir-client",
        }
    }

    /// The type of the resource that it is about; none when it is about two.
    pub fn resource_type(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { kind }
            | Self::NotDefined { kind }
            | Self::Multiple { kind, .. }
            | Self::Refused { kind, .. } => Some(kind),
            Self::PatientDeviceMismatch => None,
        }
    }

    /// Whether waiting may help, because somebody may still register what is
    /// missing (design.md D7).
    pub fn is_parkable(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Whether [`Unresolved::code`] `code` is one of what may still be registered.
pub fn may_appear(code: &str) -> bool {
    let not_found = [DEVICE, PATIENT, ENCOUNTER].map(|kind| Unresolved::NotFound { kind });
    not_found.iter().any(|unresolved| unresolved.is_parkable() && unresolved.code() == code)
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Because of the data.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// Because of the server.
    #[error(transparent)]
    Away(#[from] Arc<ServerAway>),
}

impl From<ServerAway> for ResolveError {
    fn from(away: ServerAway) -> Self {
        ResolveError::Away(Arc::new(away))
    }
}

const DEVICE: &str = "Device";
const PATIENT: &str = "Patient";
const ENCOUNTER: &str = "Encounter";

/// Resolves subjects and remembers the answers.
pub struct Resolver {
    client: Arc<Client>,
    options: IdentityOptions,
    cache: Cache<Key, Result<Identity, Unresolved>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Everything that decides an answer, beside the options.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    device_id: String,
    patient_id: Option<String>,
    encounter_id: Option<String>,
}

/// Found is kept longer than not found.
struct KeepFor {
    found: Duration,
    unresolved: Duration,
}

impl Expiry<Key, Result<Identity, Unresolved>> for KeepFor {
    fn expire_after_create(&self, _: &Key, value: &Result<Identity, Unresolved>, _: Instant) -> Option<Duration> {
        Some(if value.is_ok() { self.found } else { self.unresolved })
    }
}

impl Resolver {
    /// A resolver with an empty memory.
    pub fn new(client: Arc<Client>, options: IdentityOptions) -> Resolver {
        let keep = KeepFor { found: options.keep_found, unresolved: options.keep_unresolved };
        let cache = Cache::builder().max_capacity(options.cache_entries).expire_after(keep).build();
        Resolver { client, options, cache }
    }

    /// What `subject` is on the server, from memory or by asking. Requests end
    /// before `deadline`.
    pub async fn resolve(&self, subject: Subject<'_>, deadline: Instant) -> Result<Identity, ResolveError> {
        self.resolve_knowing(subject, &Known::new(), deadline.into()).await
    }

    /// What each of `subjects` is on the server. What memory does not have is
    /// searched for in batches, so that a thousand devices that have not been
    /// seen before do not take a thousand round trips. Nothing is created once
    /// `fence` does not hold (design.md D13).
    pub async fn resolve_all(
        &self,
        subjects: &[Subject<'_>],
        deadline: Instant,
        fence: &dyn Fence,
    ) -> Result<Vec<Result<Identity, Unresolved>>, ResolveError> {
        let known = self.look_ahead(subjects, deadline).await?;
        let until = Until::new(deadline, fence);
        let answers = subjects.iter().map(|subject| self.resolve_knowing(*subject, &known, until));
        let settle = |answer: Result<Identity, ResolveError>| match answer {
            Ok(identity) => Ok(Ok(identity)),
            Err(ResolveError::Unresolved(unresolved)) => Ok(Err(unresolved)),
            Err(away) => Err(away),
        };
        join_all(answers).await.into_iter().map(settle).collect()
    }

    async fn resolve_knowing(
        &self,
        subject: Subject<'_>,
        known: &Known,
        until: Until<'_>,
    ) -> Result<Identity, ResolveError> {
        let question = Question { subject: subject.without_blanks(), known, until };
        let ask = async {
            match self.ask(question).await {
                Ok(identity) => Ok(Ok(identity)),
                Err(ResolveError::Unresolved(unresolved)) => Ok(Err(unresolved)),
                Err(ResolveError::Away(away)) => Err(away),
            }
        };
        let key = question.subject.key();
        // The library wraps the error once more for those who wait.
        let answer = self.cache.try_get_with(key, ask).await.map_err(|away| Arc::clone(away.as_ref()))?;
        Ok(answer?)
    }

    async fn ask(&self, question: Question<'_>) -> Result<Identity, ResolveError> {
        if question.subject.device_id.is_empty() {
            return Err(Unresolved::NotDefined { kind: DEVICE }.into());
        }
        let found = self.look_up_device(question).await?;
        let identity = match (found, self.options.mode) {
            (Ok((device, patient)), _) => self.check_patient(question, device, patient).await?,
            (Err(missing), Mode::Create) => self.create(question, missing).await?,
            (Err(missing), _) => return Err(missing.unresolved().into()),
        };
        self.add_encounter(question, identity).await
    }

    /// Looks the Encounter up after everything else, in every mode, also for
    /// what was just created (quirk 44).
    async fn add_encounter(&self, question: Question<'_>, mut identity: Identity) -> Result<Identity, ResolveError> {
        match question.subject.encounter_id {
            Some(encounter_id) => {
                identity.ids.encounter = Some(self.look_up_encounter(question, encounter_id).await?);
            }
            None if self.options.mode == Mode::LookupWithEncounter => {
                return Err(Unresolved::NotDefined { kind: ENCOUNTER }.into());
            }
            None => {}
        }
        Ok(identity)
    }
}

/// Results of searches that were made ahead, by their address.
type Known = HashMap<String, Vec<Value>>;

/// One subject to be resolved.
#[derive(Clone, Copy)]
struct Question<'q> {
    subject: Subject<'q>,
    known: &'q Known,
    until: Until<'q>,
}

impl<'s> Subject<'s> {
    fn without_blanks(self) -> Subject<'s> {
        let given = |id: Option<&'s str>| id.filter(|id| !id.trim().is_empty());
        let device_id = given(Some(self.device_id)).unwrap_or_default();
        Subject { device_id, patient_id: given(self.patient_id), encounter_id: given(self.encounter_id) }
    }

    fn key(&self) -> Key {
        Key {
            device_id: self.device_id.to_owned(),
            patient_id: self.patient_id.map(str::to_owned),
            encounter_id: self.encounter_id.map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_modes_by_all_their_names() {
        let cases = [
            ("Lookup", Some(Mode::Lookup)),
            ("lookup", Some(Mode::Lookup)),
            ("R4DeviceAndPatientLookupIdentityService", Some(Mode::Lookup)),
            ("create", Some(Mode::Create)),
            ("R4DeviceAndPatientCreateIdentityService", Some(Mode::Create)),
            ("LookupWithEncounter", Some(Mode::LookupWithEncounter)),
            ("R4DeviceAndPatientWithEncounterLookupIdentityService", Some(Mode::LookupWithEncounter)),
            ("Mystery", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(Mode::from_name(name).ok(), expected, "{name}");
        }
    }

    #[test]
    fn names_no_identifier_in_errors() {
        let unresolved = Unresolved::Multiple { kind: DEVICE, count: 2 };
        assert_eq!(unresolved.code(), "MultipleDeviceFound");
        assert_eq!(unresolved.to_string(), "2 resources of type Device have the same identifier");
        assert!(!unresolved.is_parkable());
        assert!(Unresolved::NotFound { kind: PATIENT }.is_parkable());
        assert!(!may_appear("MultipleDeviceFound") && may_appear("EncounterNotFound"));
    }
}
