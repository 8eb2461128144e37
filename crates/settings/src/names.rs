//! The names of all app settings, so that a name that nothing reads is told.
//!
//! ```text
//! names of the environment --remarks--> misspelt: the nearest name | without effect
//! ```
//!
//! `serde` passes by what it is not asked for, so a misspelt setting would
//! leave its default in place without a word: deployments of the reference
//! connector ran as `Lookup` that way (fhir-conversion.md 9.3). Only names are
//! looked at here, never values. A test holds the list to what the sources
//! read, and `docs/settings.md` to the list.

use std::collections::BTreeSet;
use std::fmt;

/// What the functions read, but for the standard variables of OpenTelemetry.
pub const READ: &[&str] = &[
    "APPINSIGHTS_INSTRUMENTATIONKEY",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_AUTHORITY_HOST",
    "Answer__Fates",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "CheckpointStorage__AuthenticationType",
    "CheckpointStorage__BlobStorageContainerUri",
    "CheckpointStorage__Folder",
    "Checkpoint__BlobPrefix",
    "Compatibility__BacktrackingPatterns",
    "Compatibility__CoercedComparisonErrors",
    "Compatibility__Dates",
    "Compatibility__EncounterIdentifierSystem",
    "Compatibility__IntegralFloatTimestamps",
    "Compatibility__KeepLastGoodMapping",
    "Compatibility__LegacyIds",
    "Compatibility__LenientMeasurements",
    "Compatibility__MatchedTokenTwice",
    "Compatibility__MergeEqualTimes",
    "Compatibility__Numbers",
    "Compatibility__OnMappingFailure",
    "Compatibility__OnUnmappedType",
    "Compatibility__OverwriteEnteredInError",
    "Compatibility__PatientCheck",
    "Compatibility__PatientIdentifierSystem",
    "Compatibility__Profile",
    "Compatibility__QuantityExponents",
    "Compatibility__RecreateDeleted",
    "Compatibility__SkipEmptyObservations",
    "Compatibility__StoredValuesWin",
    "Compatibility__SubsecondIdentifiers",
    "Connector__Name",
    "DeadLetters__AuthenticationType",
    "DeadLetters__BlobStorageContainerUri",
    "DeadLetters__CustomEndpoint",
    "DeadLetters__EventHubName",
    "DeadLetters__EventHubNamespaceFQDN",
    "DeadLetters__Folder",
    "EventBatching__FlushTimespan",
    "EventBatching__MaxBytes",
    "EventBatching__MaxEvents",
    "EventBatching__MaxEventsAllPartitions",
    "ExternalIdentity__AuthorityHost",
    "ExternalIdentity__CertificateUri",
    "ExternalIdentity__ClientId",
    "ExternalIdentity__TenantId",
    "FUNCTIONS_CUSTOMHANDLER_PORT",
    "FUNCTIONS_HTTPWORKER_PORT",
    "FhirClient__UseManagedIdentity",
    "FhirService__AuthenticationType",
    "FhirService__Authority",
    "FhirService__BatchEntries",
    "FhirService__ClientId",
    "FhirService__ClientSecret",
    "FhirService__Resource",
    "FhirService__ServerErrorPatienceSeconds",
    "FhirService__TimeLimitSeconds",
    "FhirService__Url",
    "HOSTNAME",
    "Http__Listen",
    "Ingest__Token",
    "InputEventHub",
    "InputEventHub__AuthenticationType",
    "InputEventHub__ConnectionString",
    "InputEventHub__CustomEndpoint",
    "InputEventHub__EventHubConsumerGroup",
    "InputEventHub__EventHubName",
    "InputEventHub__EventHubNamespaceFQDN",
    "InputEventHub__fullyQualifiedNamespace",
    "InternalIdentity__AuthenticationType",
    "InternalIdentity__ClientId",
    "LOG_FORMAT",
    "NormalizationEventHub__AuthenticationType",
    "NormalizationEventHub__ConnectionString",
    "NormalizationEventHub__CustomEndpoint",
    "NormalizationEventHub__EventHubConsumerGroup",
    "NormalizationEventHub__EventHubName",
    "NormalizationEventHub__EventHubNamespaceFQDN",
    "ObservationCache__MaxBytes",
    "ObservationCache__Seconds",
    "ObservationCache__SizeLimit",
    "Parking__AuthenticationType",
    "Parking__BlobStorageContainerUri",
    "Parking__Folder",
    "Parking__KeepForSeconds",
    "Parking__LookAgainSeconds",
    "Process__Name",
    "Process__StopOnStdinEnd",
    "RUST_LOG",
    "ResourceIdentity__CacheSeconds",
    "ResourceIdentity__CacheSizeLimit",
    "ResourceIdentity__DefaultDeviceIdentifierSystem",
    "ResourceIdentity__NotFoundCacheSeconds",
    "ResourceIdentity__ResourceIdentityServiceType",
    "Telemetry__PrometheusAddress",
    "Telemetry__PrometheusPort",
    "Telemetry__ShapesPerMinute",
    "TemplateStorage__AuthenticationType",
    "TemplateStorage__BlobStorageContainerUri",
    "Template__DeviceContent",
    "Template__FhirMapping",
];

/// What only the Functions host reads, of those whose names begin as ours do.
pub const HOST: &[&str] = &[
    "InputEventHub__clientId",
    "InputEventHub__clientSecret",
    "InputEventHub__credential",
    "InputEventHub__managedIdentityObjectId",
    "InputEventHub__managedIdentityResourceId",
    "InputEventHub__tenantId",
    "InputEventHub__tokenFilePath",
    "NormalizationEventHub",
    "NormalizationEventHub__clientId",
    "NormalizationEventHub__clientSecret",
    "NormalizationEventHub__credential",
    "NormalizationEventHub__fullyQualifiedNamespace",
    "NormalizationEventHub__managedIdentityObjectId",
    "NormalizationEventHub__managedIdentityResourceId",
    "NormalizationEventHub__tenantId",
    "NormalizationEventHub__tokenFilePath",
];

/// What the reference connector or a deployment made for it sets, and nothing
/// here reads; and what to know about it.
pub const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("CheckpointStorage__BlobContainerName", CONTAINER),
    ("CheckpointStorage__ConnectionString", STORAGE),
    ("Checkpoint__CheckpointBatchCount", "a batch or window is checkpointed when it is done"),
    ("CollectorOptions__UseCompressionOnSend", "measurements are sent one an event; compressed lists are read"),
    ("Console__ApplicationType", ROLE),
    ("Console__EventHub", ROLE),
    ("FhirVersion", "it is always R4"),
    ("Ingest__ConnectionType", "IoT Hub's built-in endpoint is read as any hub is"),
    ("Ingest__Epoch", "`CheckpointStorage__BlobStorageContainerUri` names another container for each epoch"),
    ("InternalIdentity__ObjectId", IDENTITY),
    ("InternalIdentity__ResourceId", IDENTITY),
    ("NormalizationService__ErrorHandlingPolicy", "`Compatibility__OnMappingFailure` is `drop` or `retry`"),
    ("NormalizationService__LogDeviceIngressSizeBytes", "bytes are not counted"),
    ("OutputEventHub", "the internal hub is `NormalizationEventHub__…`"),
    ("PartitionLocking__BlobContainerUri", LOCKS),
    ("PartitionLocking__Enabled", LOCKS),
    ("TemplateStorage__BlobContainerName", CONTAINER),
    ("TemplateStorage__ConnectionString", STORAGE),
];

const CONTAINER: &str = "`…__BlobStorageContainerUri` names the container";
const STORAGE: &str = "`…__BlobStorageContainerUri` with an identity or a SAS opens the container";
const ROLE: &str = "`normalize` and `group-convert` are two programs";
const IDENTITY: &str = "`InternalIdentity__ClientId` says which identity";
const LOCKS: &str = "partitions are always shared by ownership, in the container of the checkpoints";

/// The host has many more settings that begin so, which are not ours to judge.
const HOSTS_OWN: &str = "azurewebjobsstorage";

/// What is to be said about the name of a setting that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// Nothing reads it. It may be meant for this one.
    Unknown(Option<&'static str>),
    /// It is accepted, and nothing comes of it, for this reason.
    WithoutEffect(&'static str),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Unknown(Some(nearest)) => write!(f, "nothing reads it; perhaps `{nearest}` is meant"),
            Remark::Unknown(None) => f.write_str("nothing reads it"),
            Remark::WithoutEffect(reason) => write!(f, "it has no effect: {reason}"),
        }
    }
}

/// Logs what is to be said about the names of `pairs`.
pub fn report(pairs: impl Iterator<Item = (String, String)>) {
    // Sorted, and each once.
    let names: BTreeSet<String> = pairs.map(|(name, _)| name).collect();
    for name in names {
        match remark(&name) {
            Some(unknown @ Remark::Unknown(_)) => {
                tracing::warn!(setting = name, remark = %unknown, "An app setting has a name that is not known");
            }
            Some(remark @ Remark::WithoutEffect(_)) => {
                tracing::info!(setting = name, %remark, "An app setting has no effect");
            }
            None => {}
        }
    }
}

/// What is to be said about a name; nothing about what is read, and about what
/// looks like none of ours.
pub fn remark(name: &str) -> Option<Remark> {
    if READ.iter().chain(HOST).any(|known| known.eq_ignore_ascii_case(name)) {
        return None;
    }
    if let Some((_, reason)) = WITHOUT_EFFECT.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Some(Remark::WithoutEffect(reason));
    }
    let folded = name.to_ascii_lowercase();
    let nearest = nearest(&folded);
    let is_ours = folded.split_once("__").is_some_and(|(prefix, _)| is_ours(prefix));
    // Another prefix is somebody else's, unless it is almost one of ours.
    let is_misspelt = nearest.is_some_and(|(_, edits)| edits <= EDITS_MAX);
    (is_ours || is_misspelt).then_some(Remark::Unknown(nearest.map(|(known, _)| known)))
}

/// So many letters may differ where the prefix is not ours: two let a `:` or `_`
/// stand for `__`, and two letters be the wrong way round.
const EDITS_MAX: usize = 2;

fn is_ours(prefix: &str) -> bool {
    let names = READ.iter().copied().chain(WITHOUT_EFFECT.iter().map(|(name, _)| *name));
    let mut prefixes = names.filter_map(|name| Some(name.split_once("__")?.0));
    prefix != HOSTS_OWN && prefixes.any(|known| known.eq_ignore_ascii_case(prefix))
}

/// The known name with the fewest edits to `folded`, and how many, unless it is
/// about something else.
fn nearest(folded: &str) -> Option<(&'static str, usize)> {
    let candidates = READ.iter().filter(|name| name.contains("__"));
    let edits = |name: &str| strsim::osa_distance(&name.to_ascii_lowercase(), folded);
    let (name, edits) = candidates.map(|name| (*name, edits(name))).min_by_key(|(_, edits)| *edits)?;
    // Half of the letters are another word: no hint is better than a wrong one.
    (edits * 2 <= name.len()).then_some((name, edits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(remark(name).map(|remark| remark.to_string()).unwrap_or_default(), expected, "{name}");
    }

    #[test]
    fn says_nothing_of_what_is_read_in_any_case_and_of_what_is_not_ours() {
        let silent = [
            "FhirService__Url",
            "FHIRSERVICE__URL",
            "InputEventHub",
            "InputEventHub__fullyQualifiedNamespace",
            "AzureWebJobsStorage__queueServiceUri",
            "AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize",
            "PATH",
            "FHIRSERVICE_PORT_8080_TCP",
            "Logging__LogLevel__Default",
        ];
        silent.into_iter().for_each(|name| check(name, ""));
    }

    #[test]
    fn names_what_a_misspelt_setting_is_near_to() {
        let cases = [
            ("FhirService__Ulr", "FhirService__Url"),
            ("FhirServce__Url", "FhirService__Url"),
            ("FhirService:Url", "FhirService__Url"),
            ("FHIRSERVICE_URL", "FhirService__Url"),
            ("Compatibility__OnUnmapedType", "Compatibility__OnUnmappedType"),
            // Two that deployments of the reference connector have, and that nothing ever read.
            ("ResourceIdentity__ResourceIdentityResolutionType", "ResourceIdentity__ResourceIdentityServiceType"),
            ("FhirClient__UseManagedIdentityCredential", "FhirClient__UseManagedIdentity"),
        ];
        for (name, nearest) in cases {
            check(name, &format!("nothing reads it; perhaps `{nearest}` is meant"));
        }
        check("Parking__EverythingThatIsThereIsToBeParkedForSoLong", "nothing reads it");
    }

    #[test]
    fn says_why_a_setting_of_the_reference_connector_has_no_effect() {
        check("fhirversion", "it has no effect: it is always R4");
        let own: Vec<_> = WITHOUT_EFFECT.iter().filter(|(name, _)| READ.contains(name)).collect();
        assert!(own.is_empty(), "{own:?}");
    }
}
