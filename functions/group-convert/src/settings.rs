//! The app settings of group-convert (docs/settings.md).

use std::sync::Arc;
use std::time::Duration;

use fhir_client::auth::CachedTokens;
use fhir_client::client::ClientOptions;
use fhir_client::identity::{IdentityOptions, Mode, PatientCheck};
use fhir_client::save::SaveOptions;
use serde::Deserialize;
use settings::{Checks, ExternalIdentitySettings, Function, FunctionSettings, Profile, SettingsError, non_blank};

use crate::tokens::tokens;

/// The settings as they are.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "template__fhirmapping")]
    fhir_mapping: Option<String>,
    #[serde(rename = "resourceidentity__resourceidentityservicetype")]
    identity: Option<String>,
    #[serde(rename = "resourceidentity__defaultdeviceidentifiersystem")]
    device_system: Option<String>,
    #[serde(rename = "compatibility__legacyids")]
    legacy_ids: Option<String>,
    #[serde(rename = "compatibility__recreatedeleted")]
    recreate_deleted: Option<String>,
    #[serde(rename = "compatibility__patientcheck")]
    patient_check: Option<String>,
    #[serde(rename = "compatibility__patientidentifiersystem")]
    patient_system: Option<String>,
    #[serde(rename = "compatibility__encounteridentifiersystem")]
    encounter_system: Option<String>,
    #[serde(flatten)]
    fhir: FhirSettings,
    #[serde(flatten)]
    external: ExternalIdentitySettings,
    #[serde(flatten)]
    function: FunctionSettings,
}

/// What says where the FHIR server is and who we are to it.
#[derive(Deserialize)]
pub struct FhirSettings {
    #[serde(rename = "fhirservice__url")]
    pub(crate) url: Option<String>,
    #[serde(rename = "fhirservice__authenticationtype")]
    pub(crate) authentication: Option<String>,
    #[serde(rename = "fhirservice__authority")]
    pub(crate) authority: Option<String>,
    #[serde(rename = "fhirservice__clientid")]
    pub(crate) client_id: Option<String>,
    #[serde(rename = "fhirservice__clientsecret")]
    pub(crate) client_secret: Option<String>,
    #[serde(rename = "fhirservice__resource")]
    pub(crate) resource: Option<String>,
    #[serde(rename = "fhirservice__batchentries")]
    batch_entries: Option<String>,
    #[serde(rename = "fhirservice__timelimitseconds")]
    time_limit: Option<String>,
    #[serde(rename = "fhirclient__usemanagedidentity")]
    pub(crate) managed_identity: Option<String>,
}

/// Everything group-convert needs to start, checked.
pub struct Settings {
    /// What both functions need; the mapping is the FHIR mapping,
    /// `Template__FhirMapping`.
    pub function: Function,
    /// `FhirService__Url` and what belongs to it.
    pub fhir: ClientOptions,
    /// Where tokens for the FHIR server come from; none for a server that
    /// wants none.
    pub tokens: Option<Arc<CachedTokens>>,
    /// `ResourceIdentity__…`.
    pub identity: IdentityOptions,
    /// How Observations are saved.
    pub save: SaveOptions,
    /// `FhirService__TimeLimitSeconds`.
    pub time_limit: Duration,
}

impl Settings {
    /// Reads and checks all settings; every problem is reported at once.
    pub fn read(pairs: impl Iterator<Item = (String, String)>) -> Result<Settings, SettingsError> {
        let raw: Raw = settings::read(pairs)?;
        let mut checks = Checks::default();
        let function = Function::check(raw.function, ("Template__FhirMapping", raw.fhir_mapping), &mut checks);
        let mode = checks.optional(
            "ResourceIdentity__ResourceIdentityServiceType",
            raw.identity,
            "`Lookup`, `Create` or `LookupWithEncounter`",
            |name| Mode::from_name(name).ok(),
        );
        let is_reference = function.as_ref().is_some_and(|function| function.switches.profile == Profile::Reference);
        let patient_check = checks
            .optional("Compatibility__PatientCheck", raw.patient_check, "`off`, `report` or `reject`", patient_check)
            .unwrap_or(if is_reference { PatientCheck::Off } else { PatientCheck::Report });
        let identity = IdentityOptions {
            device_system: non_blank(raw.device_system),
            patient_system: non_blank(raw.patient_system),
            encounter_system: non_blank(raw.encounter_system),
            patient_check,
            ..IdentityOptions::new(mode.unwrap_or(Mode::Lookup))
        };
        let legacy_ids = checks.flag("Compatibility__LegacyIds", raw.legacy_ids, is_reference);
        let recreate_deleted = checks.flag("Compatibility__RecreateDeleted", raw.recreate_deleted, is_reference);
        let time_limit = checks.number("FhirService__TimeLimitSeconds", raw.fhir.time_limit.clone(), 1..=280, 240);
        let fhir = client_options(&raw.fhir, &mut checks);
        let client_id = function.as_ref().and_then(|function| function.client_id.clone());
        let external = raw.external.check(&client_id, &mut checks);
        let tokens = tokens(raw.fhir, fhir.as_ref(), (client_id, external), &mut checks);
        let settings = function.zip(fhir).map(|(function, fhir)| Settings {
            function,
            fhir,
            tokens,
            identity,
            save: SaveOptions { legacy_ids, recreate_deleted, ..SaveOptions::default() },
            time_limit: Duration::from_secs(time_limit),
        });
        checks.finish(settings)
    }
}

fn patient_check(text: &str) -> Option<PatientCheck> {
    match text.to_ascii_lowercase().as_str() {
        "off" => Some(PatientCheck::Off),
        "report" => Some(PatientCheck::Report),
        "reject" => Some(PatientCheck::Reject),
        _ => None,
    }
}

fn client_options(settings: &FhirSettings, checks: &mut Checks) -> Option<ClientOptions> {
    const EXPECTED: &str = "an absolute URL with http or https";
    let url = checks.required("FhirService__Url", settings.url.clone(), EXPECTED);
    let url = checks.optional("FhirService__Url", Some(url), EXPECTED, |text| fhir_client::client::base_url(text).ok());
    let entries = checks.number("FhirService__BatchEntries", settings.batch_entries.clone(), 1..=5000, 100);
    Some(ClientOptions { bundle_entries_max: entries as usize, ..ClientOptions::new(url?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let good = [
            ("FUNCTIONS_CUSTOMHANDLER_PORT", "7001"),
            ("Template__FhirMapping", "fhirmapping.json"),
            ("FhirService__Url", "https://fhir.example/r4"),
            ("DeadLetters__Folder", "dead-letters"),
        ];
        // Later pairs win, as in a map.
        let all: std::collections::BTreeMap<_, _> = good.iter().chain(changes).copied().collect();
        Settings::read(all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn problems(changes: &[(&str, &str)]) -> String {
        match read(changes) {
            Ok(settings) => format!("{} {}", settings.identity.mode, settings.tokens.is_some()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn asks_for_tokens_only_when_told_where() {
        assert_eq!(problems(&[]), "Lookup false");
        let client = [
            ("FhirService__Authority", "https://login.example/tenant"),
            ("FhirService__ClientId", "id"),
            ("FhirService__ClientSecret", "s3cret"),
            ("ResourceIdentity__ResourceIdentityServiceType", "create"),
        ];
        assert_eq!(problems(&client), "Create true");
        assert_eq!(problems(&[("FhirClient__UseManagedIdentity", "true")]), "Lookup true");
        let problem = problems(&[("FhirService__AuthenticationType", "ExternalIdentity")]);
        assert!(problem.contains("expected `ExternalIdentity__ClientId`"), "{problem}");
    }

    #[test]
    fn switches_are_those_of_the_profile_unless_they_are_set() {
        let summary = |changes: &[(&str, &str)]| {
            let Settings { save, identity, .. } = read(changes).unwrap();
            let systems = (identity.patient_system, identity.encounter_system);
            (save.legacy_ids, save.recreate_deleted, identity.patient_check, systems)
        };
        let reference = ("Compatibility__Profile", "reference");
        assert_eq!(summary(&[]), (false, false, PatientCheck::Report, (None, None)));
        assert_eq!(summary(&[reference]), (true, true, PatientCheck::Off, (None, None)));
        let overruled = [
            reference,
            ("Compatibility__LegacyIds", "false"),
            ("Compatibility__RecreateDeleted", "false"),
            ("Compatibility__PatientCheck", "Reject"),
            ("Compatibility__PatientIdentifierSystem", "urn:p"),
            ("Compatibility__EncounterIdentifierSystem", "urn:e"),
        ];
        let systems = (Some("urn:p".to_owned()), Some("urn:e".to_owned()));
        assert_eq!(summary(&overruled), (false, false, PatientCheck::Reject, systems));
    }

    #[test]
    fn names_every_bad_setting_at_once_and_no_secret() {
        let problems = problems(&[
            ("FhirService__Url", "fhir"),
            ("ResourceIdentity__ResourceIdentityServiceType", "Mystery"),
            ("FhirService__BatchEntries", "0"),
            ("FhirService__Authority", "https://login.example/tenant"),
            ("FhirService__ClientSecret", "s3cret"),
        ]);
        let expected = [
            "app setting `ResourceIdentity__ResourceIdentityServiceType` is `Mystery`; \
             expected `Lookup`, `Create` or `LookupWithEncounter`",
            "app setting `FhirService__Url` is `fhir`; expected an absolute URL with http or https",
            "app setting `FhirService__BatchEntries` is `0`; expected a whole number from 1 to 5000",
            "app setting `FhirService__ClientId` is not set; expected the client id of an app registration",
        ];
        assert_eq!(problems, expected.join("\n"));
    }
}
