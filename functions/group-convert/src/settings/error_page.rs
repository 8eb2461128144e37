//! What is said of bad settings is in `docs/settings-errors.md`.

use settings::error_page::{BAD_CONNECTION_STRINGS, Pairs, Texts};

use super::Settings;

const HOST: &Pairs<'_> = &[
    ("FUNCTIONS_CUSTOMHANDLER_PORT", "7001"),
    ("Template__FhirMapping", "fhirmapping.json"),
    ("FhirService__Url", "https://fhir.example/r4"),
    ("FhirService__Authority", "https://login.example/tenant"),
    ("FhirService__ClientId", "id"),
    ("FhirService__ClientSecret", "s3cret"),
    ("DeadLetters__Folder", "dead-letters"),
    ("Parking__Folder", "parked"),
    ("Telemetry__PrometheusPort", "9464"),
    ("AzureWebJobsStorage__accountName", "account"),
];

/// In folders: each container costs two clients.
const NATIVE: &Pairs<'_> = &[
    ("Template__FhirMapping", "fhirmapping.json"),
    ("FhirService__Url", "https://fhir.example/r4"),
    ("NormalizationEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("NormalizationEventHub__EventHubName", "normalizeddata"),
    ("DeadLetters__Folder", "letters"),
    ("CheckpointStorage__Folder", "positions"),
];

const CONTAINERS: &Pairs<'_> = &[
    ("Template__FhirMapping", "fhirmapping.json"),
    ("TemplateStorage__BlobStorageContainerUri", "https://st1.example/mappings"),
    ("FhirService__Url", "https://fhir.example/r4"),
    ("NormalizationEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("NormalizationEventHub__EventHubName", "normalizeddata"),
    ("DeadLetters__BlobStorageContainerUri", "https://st1.example/letters"),
    ("Parking__BlobStorageContainerUri", "https://st1.example/parked"),
    ("CheckpointStorage__BlobStorageContainerUri", "https://st1.example/positions"),
];

/// With another place of dead letters.
const HUB: &Pairs<'_> = &[
    ("FUNCTIONS_HTTPWORKER_PORT", "7001"),
    ("Template__FhirMapping", "fhirmapping.json"),
    ("FhirService__Url", "https://fhir.example/r4"),
    ("DeadLetters__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("DeadLetters__EventHubName", "letters"),
];

#[test]
fn the_page_has_every_text() {
    let mut texts = Texts::of(|pairs| Settings::read(pairs.into_iter()).map(drop));
    texts.say(&[], &[]);
    [HOST, NATIVE, HUB].into_iter().for_each(|good| texts.say_each(good));
    texts.say_deciding(HOST, &[""]);
    texts.say(HOST, &[("Parking__Folder", "dead-letters")]);
    texts.say(CONTAINERS, &[("Parking__BlobStorageContainerUri", "https://st1.example/letters")]);
    texts.say_deciding(NATIVE, &["NormalizationEventHub", "CheckpointStorage", "FUNCTIONS"]);
    texts.say_each(CONTAINERS);
    texts.say_deciding(CONTAINERS, &["DeadLetters", "Parking", "CheckpointStorage", "TemplateStorage"]);
    for (base, hub) in [(NATIVE, "NormalizationEventHub"), (HUB, "DeadLetters")] {
        let (endpoint, kind) = (format!("{hub}__CustomEndpoint"), format!("{hub}__AuthenticationType"));
        texts.say(base, &[(&endpoint, "bad")]);
        texts.say(base, &[(&endpoint, "http://127.0.0.1:5672")]);
        texts.say(base, &[(&endpoint, "amqp://10.0.0.1:5672")]);
        texts.say(base, &[(&kind, "Development")]);
    }
    for text in BAD_CONNECTION_STRINGS {
        let changes = [("NormalizationEventHub__ConnectionString", text), ("NormalizationEventHub__EventHubName", "")];
        texts.say(NATIVE, &changes);
    }
    const IDENTITY: [(&str, &str); 3] = [
        ("ExternalIdentity__ClientId", "c1"),
        ("ExternalIdentity__TenantId", "t1"),
        ("ExternalIdentity__CertificateUri", "https://v1.vault.azure.net/certificates/mi-c1"),
    ];
    for missing in IDENTITY {
        texts.say(NATIVE, &[IDENTITY.as_slice(), &[(missing.0, "")]].concat());
    }
    texts.say(NATIVE, &[IDENTITY.as_slice(), &[("InternalIdentity__AuthenticationType", "Development")]].concat());
    for kind in ["ConnectionString", "ExternalIdentity"] {
        texts.say(NATIVE, &[("NormalizationEventHub__AuthenticationType", kind)]);
    }
    for kind in ["ExternalIdentity", "ClientCredentials"] {
        texts.say(NATIVE, &[("FhirService__AuthenticationType", kind)]);
    }
    const SAME: [(&str, &str); 4] = [
        ("NormalizationEventHub__EventHubNamespaceFQDN", "bad"),
        ("NormalizationEventHub__EventHubName", "bad"),
        ("DeadLetters__EventHubNamespaceFQDN", "bad"),
        ("DeadLetters__EventHubName", "bad"),
    ];
    texts.say(HUB, &SAME);
    texts.say(CONTAINERS, &[("DeadLetters__EventHubName", "letters")]);
    texts.say(CONTAINERS, &[("DeadLetters__Folder", "letters"), ("DeadLetters__EventHubName", "letters")]);
    texts.check_section("group-convert");
}
