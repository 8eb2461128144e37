//! What is said of bad settings is in `docs/settings-errors.md`.

use settings::error_page::{BAD_CONNECTION_STRINGS, Pairs, Texts};

use super::Settings;

const HOST: &Pairs<'_> = &[
    ("FUNCTIONS_CUSTOMHANDLER_PORT", "7001"),
    ("Template__DeviceContent", "devicecontent.json"),
    ("NormalizationEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("NormalizationEventHub__EventHubName", "normalizeddata"),
    ("DeadLetters__Folder", "dead-letters"),
    ("Telemetry__PrometheusPort", "9464"),
];

/// In folders: each container costs two clients.
const NATIVE: &Pairs<'_> = &[
    ("Template__DeviceContent", "devicecontent.json"),
    ("NormalizationEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("NormalizationEventHub__EventHubName", "normalizeddata"),
    ("DeadLetters__Folder", "letters"),
    ("InputEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("InputEventHub__EventHubName", "devicedata"),
    ("CheckpointStorage__Folder", "positions"),
];

const CONTAINERS: &Pairs<'_> = &[
    ("Template__DeviceContent", "devicecontent.json"),
    ("TemplateStorage__BlobStorageContainerUri", "https://st1.example/mappings"),
    ("NormalizationEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("NormalizationEventHub__EventHubName", "normalizeddata"),
    ("DeadLetters__BlobStorageContainerUri", "https://st1.example/letters"),
    ("InputEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("InputEventHub__EventHubName", "devicedata"),
    ("CheckpointStorage__BlobStorageContainerUri", "https://st1.example/positions"),
];

/// With another place of dead letters.
const HUB: &Pairs<'_> = &[
    ("FUNCTIONS_HTTPWORKER_PORT", "7001"),
    ("Template__DeviceContent", "devicecontent.json"),
    ("NormalizationEventHub__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("NormalizationEventHub__EventHubName", "normalizeddata"),
    ("DeadLetters__EventHubNamespaceFQDN", "ns1.servicebus.windows.net"),
    ("DeadLetters__EventHubName", "letters"),
];

#[test]
fn the_page_has_every_text() {
    let mut texts = Texts::of(|pairs| Settings::read(pairs.into_iter()).map(drop));
    texts.say(&[], &[]);
    [HOST, NATIVE, HUB].into_iter().for_each(|good| texts.say_each(good));
    texts.say_deciding(HOST, &[""]);
    texts.say_deciding(NATIVE, &["InputEventHub", "CheckpointStorage", "FUNCTIONS"]);
    texts.say_each(CONTAINERS);
    texts.say_deciding(CONTAINERS, &["DeadLetters", "Parking", "CheckpointStorage", "TemplateStorage"]);
    for (base, hub) in [(NATIVE, "InputEventHub"), (NATIVE, "NormalizationEventHub"), (HUB, "DeadLetters")] {
        let (endpoint, kind) = (format!("{hub}__CustomEndpoint"), format!("{hub}__AuthenticationType"));
        texts.say(base, &[(&endpoint, "bad")]);
        texts.say(base, &[(&endpoint, "http://127.0.0.1:5672")]);
        texts.say(base, &[(&endpoint, "amqp://10.0.0.1:5672")]);
        texts.say(base, &[(&kind, "Development")]);
    }
    for text in BAD_CONNECTION_STRINGS {
        texts.say(NATIVE, &[("InputEventHub__ConnectionString", text), ("InputEventHub__EventHubName", "")]);
    }
    const IDENTITY: [(&str, &str); 3] = [
        ("ExternalIdentity__ClientId", "c1"),
        ("ExternalIdentity__TenantId", "t1"),
        ("ExternalIdentity__CertificateUri", "https://v1.vault.azure.net/certificates/mi-c1"),
    ];
    texts.say(HOST, &IDENTITY);
    texts.say(HOST, &[("InputEventHub__AuthenticationType", "ConnectionString")]);
    for missing in IDENTITY {
        texts.say(NATIVE, &[IDENTITY.as_slice(), &[(missing.0, "")]].concat());
    }
    texts.say(NATIVE, &[IDENTITY.as_slice(), &[("InternalIdentity__AuthenticationType", "Development")]].concat());
    for kind in ["ConnectionString", "ExternalIdentity"] {
        texts.say(NATIVE, &[("InputEventHub__AuthenticationType", kind)]);
    }
    const SAME: [(&str, &str); 6] = [
        ("InputEventHub__EventHubNamespaceFQDN", "bad"),
        ("InputEventHub__EventHubName", "bad"),
        ("NormalizationEventHub__EventHubNamespaceFQDN", "bad"),
        ("NormalizationEventHub__EventHubName", "bad"),
        ("DeadLetters__EventHubNamespaceFQDN", "bad"),
        ("DeadLetters__EventHubName", "bad"),
    ];
    texts.say(NATIVE, &SAME[..4]);
    texts.say(HUB, &SAME[2..]);
    texts.say(HUB, &[&SAME[..2], &SAME[4..]].concat());
    texts.say(CONTAINERS, &[("DeadLetters__EventHubName", "letters")]);
    texts.say(CONTAINERS, &[("DeadLetters__Folder", "letters"), ("DeadLetters__EventHubName", "letters")]);
    texts.check_section("normalize");
}
