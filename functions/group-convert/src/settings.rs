//! The app settings of group-convert (docs/settings.md).

use std::sync::Arc;
use std::time::Duration;

use fhir_client::auth::CachedTokens;
use fhir_client::client::ClientOptions;
use fhir_client::identity::{IdentityOptions, Mode, PatientCheck};
use fhir_client::save::SaveOptions;
use serde::Deserialize;
use settings::{
    Checks, ExternalIdentitySettings, Function, FunctionSettings, HostOwnership, HostStorageSettings, NativeOptions,
    NativeSettings, NormalizationHubSettings, ParkingOptions, ParkingSettings, PositionOptions, Profile, SettingsError,
    SourceTexts, check_different, non_blank,
};

use crate::function::NAME;
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
    #[serde(flatten)]
    caches: CacheSettings,
    #[serde(flatten)]
    parking: ParkingSettings,
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
    input: NormalizationHubSettings,
    #[serde(rename = "normalizationeventhub__eventhubconsumergroup")]
    group: Option<String>,
    #[serde(rename = "normalizationeventhub__connectionstring")]
    connection_string: Option<String>,
    #[serde(flatten)]
    native: NativeSettings,
    #[serde(flatten)]
    host_storage: HostStorageSettings,
    #[serde(flatten)]
    function: FunctionSettings,
}

/// How much is remembered of the server, and for how long.
#[derive(Deserialize)]
struct CacheSettings {
    #[serde(rename = "observationcache__sizelimit")]
    observations: Option<String>,
    #[serde(rename = "observationcache__maxbytes")]
    observation_bytes: Option<String>,
    #[serde(rename = "observationcache__seconds")]
    observation_seconds: Option<String>,
    #[serde(rename = "resourceidentity__cachesizelimit")]
    identities: Option<String>,
    #[serde(rename = "resourceidentity__cacheseconds")]
    identity_seconds: Option<String>,
    #[serde(rename = "resourceidentity__notfoundcacheseconds")]
    not_found_seconds: Option<String>,
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
    #[serde(rename = "fhirservice__servererrorpatienceseconds")]
    server_error_patience: Option<String>,
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
    /// `Parking__…`.
    pub parking: ParkingOptions,
    /// Where tokens for the FHIR server come from; none for a server that
    /// wants none.
    pub tokens: Option<Arc<CachedTokens>>,
    /// `ResourceIdentity__…`.
    pub identity: IdentityOptions,
    /// How Observations are saved.
    pub save: SaveOptions,
    /// `FhirService__TimeLimitSeconds`.
    pub time_limit: Duration,
    /// Where the limits of windows are kept, and when one closes.
    pub positions: PositionOptions,
    /// The internal hub, when the process reads it itself.
    pub native: Option<NativeOptions>,
    /// Where the Functions host says who owns a partition.
    pub ownership: HostOwnership,
}

impl Settings {
    /// Reads and checks all settings; every problem is reported at once.
    pub fn read(pairs: impl Iterator<Item = (String, String)>) -> Result<Settings, SettingsError> {
        let raw: Raw = settings::read(pairs)?;
        let mut checks = Checks::default();
        let is_native = raw.function.is_native();
        let written = raw.function.dead_letters.named();
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
        let (identity, save) = raw.caches.apply(identity, &mut checks);
        let legacy_ids = checks.flag("Compatibility__LegacyIds", raw.legacy_ids, is_reference);
        let recreate_deleted = checks.flag("Compatibility__RecreateDeleted", raw.recreate_deleted, is_reference);
        // The host gives up a call at its `functionTimeout`; natively nobody does,
        // and a window that is begun again reads again what it has done.
        let (most, unset) = if is_native { (3600, 3600) } else { (280, 240) };
        let time_limit = checks.number("FhirService__TimeLimitSeconds", raw.fhir.time_limit.clone(), 1..=most, unset);
        let fhir = client_options(&raw.fhir, &mut checks);
        let client_id = function.as_ref().and_then(|function| function.client_id.clone());
        let parking = raw.parking.check(&client_id, &mut checks);
        if let Some(function) = &function {
            parking.check_apart(&function.dead_letters, &mut checks);
        }
        let positions = raw.native.check(&client_id, &mut checks);
        let ownership = raw.host_storage.check(&mut checks);
        let input = SourceTexts {
            hub: raw.input.texts(),
            consumer_group: raw.group,
            connection_string: raw.connection_string,
            // The hub is the connector's own.
            external: None,
        };
        check_different([input.named("NormalizationEventHub", &None), written], &mut checks);
        let native = is_native
            .then(|| input.check(("NormalizationEventHub", NAME), &client_id, positions.clone(), &mut checks))
            .flatten();
        let external = raw.external.check(&client_id, &mut checks);
        let tokens = tokens(raw.fhir, fhir.as_ref(), (client_id, external), &mut checks);
        let settings = function.zip(fhir).map(|(function, fhir)| Settings {
            function,
            fhir,
            parking,
            tokens,
            identity,
            save: SaveOptions { legacy_ids, recreate_deleted, ..save },
            time_limit: Duration::from_secs(time_limit),
            positions,
            native,
            ownership,
        });
        checks.finish(settings)
    }
}

impl CacheSettings {
    fn apply(self, identity: IdentityOptions, checks: &mut Checks) -> (IdentityOptions, SaveOptions) {
        const DAY: u64 = 86_400;
        const ENTRIES: std::ops::RangeInclusive<u64> = 0..=1_000_000;
        let save = SaveOptions {
            cache_entries: checks.number("ObservationCache__SizeLimit", self.observations, ENTRIES, 5000),
            cache_bytes: checks.number("ObservationCache__MaxBytes", self.observation_bytes, 0..=1 << 32, 16 << 20),
            cache_for: seconds(checks.number("ObservationCache__Seconds", self.observation_seconds, 0..=DAY, 3600)),
            ..SaveOptions::default()
        };
        let keep_found = checks.number("ResourceIdentity__CacheSeconds", self.identity_seconds, 0..=DAY, 600);
        let keep_unresolved =
            checks.number("ResourceIdentity__NotFoundCacheSeconds", self.not_found_seconds, 0..=DAY, 30);
        let identity = IdentityOptions {
            cache_entries: checks.number("ResourceIdentity__CacheSizeLimit", self.identities, ENTRIES, 5000),
            keep_found: seconds(keep_found),
            keep_unresolved: seconds(keep_unresolved),
            ..identity
        };
        (identity, save)
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
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
    let patience = settings.server_error_patience.clone();
    let patience = checks.number("FhirService__ServerErrorPatienceSeconds", patience, 0..=86_400, 30);
    Some(ClientOptions {
        bundle_entries_max: entries as usize,
        server_error_patience: Duration::from_secs(patience),
        ..ClientOptions::new(url?)
    })
}

#[cfg(test)]
mod error_page;

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
    fn remembers_as_much_as_it_is_told_to() {
        let summary = |changes: &[(&str, &str)]| {
            let Settings { save, identity, .. } = read(changes).unwrap();
            let seconds = [save.cache_for, identity.keep_found, identity.keep_unresolved].map(|time| time.as_secs());
            (save.cache_entries, save.cache_bytes, identity.cache_entries, seconds)
        };
        assert_eq!(summary(&[]), (5000, 16 * 1024 * 1024, 5000, [3600, 600, 30]));
        let changes = [
            ("ObservationCache__SizeLimit", "1"),
            ("ObservationCache__MaxBytes", "2"),
            ("ObservationCache__Seconds", "3"),
            ("ResourceIdentity__CacheSizeLimit", "4"),
            ("ResourceIdentity__CacheSeconds", "5"),
            ("ResourceIdentity__NotFoundCacheSeconds", "6"),
        ];
        assert_eq!(summary(&changes), (1, 2, 4, [3, 5, 6]));
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
