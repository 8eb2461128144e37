//! Group-convert as a process that opens the FHIR server as the connector's
//! external identity: its certificate comes from a key vault that the internal
//! identity opens, both over https with a private CA.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use end_to_end::process::{Running, free_port};
use local::fhir_server::{BearerCheck, FhirServer, FhirServerConfig, Personality};
use local::identity::{ClientCertificate, KeyVault, PrivateCa, TokenEndpoint};
use reqwest::Client;
use serde_json::{Value, json};

const TENANT: &str = "00000000-0000-0000-0000-000000000001";
const LIMIT: Duration = Duration::from_secs(60);

const FHIR_MAPPING: &str = r#"{ "templateType": "CollectionFhir", "template": [ { "templateType": "CodeValueFhir", "template": {
    "typeName": "heartrate", "periodInterval": 0, "codes": [ { "code": "8867-4", "system": "http://loinc.org" } ],
    "value": { "valueType": "Quantity", "valueName": "hr", "unit": "count/min" } } } ] }"#;

/// Everything that group-convert talks to.
struct Surroundings {
    folder: tempfile::TempDir,
    endpoint: TokenEndpoint,
    vault: KeyVault,
    fhir: FhirServer,
}

impl Surroundings {
    async fn start() -> Surroundings {
        let folder = tempfile::tempdir().unwrap();
        let ca = PrivateCa::new().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &ca.pem());
        write("token", "service account");
        write("fhirmapping.json", FHIR_MAPPING);
        // As long as real ones last: group-convert keeps them.
        let endpoint = TokenEndpoint::start(&ca, TENANT, Duration::from_secs(3600)).await.unwrap();
        endpoint.federate("internal", "service account");
        let given_to = |client: &'static str| {
            let endpoint = endpoint.clone();
            move |token: &str| endpoint.issued(token).is_some_and(|issued| issued.client_id == client)
        };
        let vault = KeyVault::start(&ca, given_to("internal")).await.unwrap();
        let bearer = Some(BearerCheck::new(given_to("external")));
        let config = FhirServerConfig { bearer, ..FhirServerConfig::new(Personality::Azure) };
        let fhir = FhirServer::start(config).await.unwrap();
        Surroundings { folder, endpoint, vault, fhir }
    }

    fn new_certificate(&self) -> ClientCertificate {
        let certificate = ClientCertificate::new("mi-c1").unwrap();
        self.endpoint.register("external", &certificate);
        self.vault.put("mi-c1", &certificate.pem());
        certificate
    }

    fn start_group_convert(&self, port: u16) -> Running {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let settings = [
            ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
            ("Template__FhirMapping", file("fhirmapping.json")),
            ("DeadLetters__Folder", file("dead-letters")),
            ("FhirService__Url", self.fhir.url().to_owned()),
            ("ResourceIdentity__ResourceIdentityServiceType", "Create".to_owned()),
            ("Answer__Fates", "true".to_owned()),
            ("ExternalIdentity__ClientId", "external".to_owned()),
            ("ExternalIdentity__TenantId", TENANT.to_owned()),
            ("ExternalIdentity__CertificateUri", self.vault.certificate_uri("mi-c1")),
            ("InternalIdentity__ClientId", "internal".to_owned()),
            ("InternalIdentity__AuthenticationType", "WorkloadIdentity".to_owned()),
            ("AZURE_AUTHORITY_HOST", self.endpoint.url()),
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE", file("token")),
            ("SSL_CERT_FILE", file("ca.pem")),
            ("RUST_LOG", "debug".to_owned()),
        ];
        let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "stack").join("group-convert"));
        Running::start("group-convert", command.env_clear().envs(settings))
    }
}

/// A batch of one measurement, as the host posts it.
fn invocation(minute: usize) -> String {
    let time = format!("2020-11-01T12:{minute:02}:00Z");
    let measurement = json!({
        "Type": "heartrate", "OccurrenceTimeUtc": time, "IngestionTimeUtc": time, "DeviceId": "d1", "PatientId": "p1",
        "EncounterId": null, "CorrelationId": null, "Properties": [{ "Name": "hr", "Value": "78" }],
    });
    let context = json!({
        "FullyQualifiedNamespace": "localhost", "EventHubName": "normalizeddata", "ConsumerGroup": "$default",
        "PartitionId": "0",
    });
    let body = BASE64_STANDARD.encode(measurement.to_string());
    json!({
        "Data": { "events": format!("[\"{body}\"]") },
        "Metadata": {
            "TriggerPartitionContext": context, "PartitionContext": context,
            "PartitionKeyArray": "[null]", "OffsetArray": "[\"0\"]", "SequenceNumberArray": format!("[{minute}]"),
            "EnqueuedTimeUtcArray": "[\"2026-11-20T12:00:00.123\"]",
            "PropertiesArray": "[{}]", "SystemPropertiesArray": "[{}]",
        },
    })
    .to_string()
}

async fn post(address: &str, minute: usize) -> (u16, String) {
    let client = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    let started = Instant::now();
    loop {
        match client.post(format!("{address}/group-convert")).body(invocation(minute)).send().await {
            Ok(answer) => return (answer.status().as_u16(), answer.text().await.unwrap()),
            Err(error) if error.is_connect() && started.elapsed() < LIMIT => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Posts a batch and gives the fate of its measurement.
async fn fate(address: &str, minute: usize, handler: &Running) -> String {
    let (status, text) = post(address, minute).await;
    assert_eq!(status, 200, "{text}\n{}", handler.printed());
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["ReturnValue"]["fates"][0][0]["fate"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn files(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_convert_opens_the_server_as_the_external_identity_and_follows_its_certificate() {
    let around = Surroundings::start().await;
    let first = around.new_certificate();
    let port = free_port();
    let address = format!("http://127.0.0.1:{port}");
    let handler = around.start_group_convert(port);
    assert_eq!(fate(&address, 0, &handler).await, "created");
    // With a token in hand neither the vault nor the endpoint is asked.
    around.vault.set_away(true);
    assert_eq!(fate(&address, 1, &handler).await, "created");
    around.vault.set_away(false);
    assert_eq!(around.vault.reads(), 1);

    // The certificate is renewed, and the old one and its tokens end.
    let second = around.new_certificate();
    around.endpoint.withdraw(&first);
    assert_eq!(fate(&address, 2, &handler).await, "created");
    assert_eq!(around.vault.reads(), 2);

    // Nothing of a key is printed, with every log there is, or kept in a file.
    let (printed, kept) = (handler.printed(), files(around.folder.path()));
    assert!(printed.contains("A certificate of the external identity is in use"), "{printed}");
    for certificate in [first, second] {
        for line in certificate.pem().lines().filter(|line| line.len() == 64) {
            assert!(!printed.contains(line) && !kept.contains(line), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_knows_fails_the_batch_and_is_said() {
    let around = Surroundings::start().await;
    around.vault.put("mi-c1", &ClientCertificate::new("mi-c1").unwrap().pem());
    let port = free_port();
    let handler = around.start_group_convert(port);
    let (status, text) = post(&format!("http://127.0.0.1:{port}"), 0).await;
    assert_eq!(status, 500, "{text}");
    let said = format!("{text}\n{}", handler.printed());
    assert!(said.contains("the certificate is not registered"), "{said}");
}
