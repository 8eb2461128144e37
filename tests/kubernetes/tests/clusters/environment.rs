//! The environment that pods get of a connector as the worker asks for it: what
//! resource-provider.md 4.11 lists, with these values, and of everything else the
//! names are known here.

use std::collections::{BTreeMap, BTreeSet};

use custom_resources::Charted;
use custom_resources::values::merge;
use kubernetes_tests::{Helm, checkout};
use operator::chart::Charts;
use operator::manifest;
use resource_provider::kubernetes::{ClusterSettings, resource};
use serde_json::{Value, json};

use crate::specs::{CERTIFICATE, CLIENT, CLUSTER, EXTERNAL, IDENTITY, OBJECT, TENANT, connector, destination, place};

/// What else there is: of the chart, for pods and telemetry, and what 4.11 leaves
/// to it.
const MORE: [&str; 16] = [
    "Connector__Name",
    "DeadLetters__AuthenticationType",
    "DeadLetters__BlobStorageContainerUri",
    "EventBatching__MaxBytes",
    "FhirService__AuthenticationType",
    "Http__Listen",
    "InternalIdentity__AuthenticationType",
    "K8S_NAMESPACE",
    "K8S_POD_NAME",
    "LOG_FORMAT",
    "OTEL_RESOURCE_ATTRIBUTES",
    "POD_IP",
    "Process__Name",
    "RUST_LOG",
    "Telemetry__PrometheusAddress",
    "Telemetry__PrometheusPort",
];

/// The environment of each Deployment.
fn environments(epoch: u32) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut spec = connector(1);
    spec.epoch = epoch;
    spec.destinations = vec![destination(2)];
    let settings = ClusterSettings { tenant_id: Some(TENANT.to_owned()), ..ClusterSettings::default() };
    let made = resource(&spec, &place(CLUSTER, 1), &settings).unwrap();
    // What a platform says, and what the operator adds for whoever it reads the lag for.
    let platform = json!({
        "telemetry": { "otlpEndpoint": "http://collector.telemetry.svc:4318" },
        "scaling": { "operator": { "url": "https://operator", "tokenValue": "a token of thirty-two characters." } },
    });
    let values = merge(platform, made.values().unwrap());
    let helm = Helm::without_cluster();
    let charts = Charts { helm: helm.program().clone(), folder: checkout().join("helm"), kube_version: None };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rendered = runtime.block_on(charts.render("iot-connector", "ioc-1", &spec.name, &values)).unwrap();
    let manifests = manifest::read(&rendered, "ioc-1", made.deployment_count()).unwrap();
    let deployments = manifests.into_iter().filter(|manifest| manifest.kind.kind == "Deployment");
    deployments.map(|deployment| (deployment.name.clone(), environment(&deployment.body))).collect()
}

fn environment(deployment: &Value) -> BTreeMap<String, String> {
    let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let variables = variables.as_array().unwrap().iter();
    variables.map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect()
}

/// The rows that both functions have.
fn of_both(container: &str) -> Vec<(&'static str, String)> {
    let blobs = |container: &str| format!("https://ioc1.blob.core.windows.net/{container}");
    vec![
        ("NormalizationEventHub__AuthenticationType", "WorkloadIdentity".to_owned()),
        ("NormalizationEventHub__EventHubNamespaceFQDN", "ehn-ioc-1.servicebus.windows.net".to_owned()),
        ("NormalizationEventHub__EventHubName", connector(1).internal_hub),
        ("CheckpointStorage__AuthenticationType", "WorkloadIdentity".to_owned()),
        ("CheckpointStorage__BlobStorageContainerUri", blobs(container)),
        ("CheckpointStorage__BlobContainerName", container.to_owned()),
        ("Checkpoint__BlobPrefix", String::new()),
        ("TemplateStorage__AuthenticationType", "WorkloadIdentity".to_owned()),
        ("TemplateStorage__BlobStorageContainerUri", blobs("mappings")),
        ("TemplateStorage__BlobContainerName", "mappings".to_owned()),
        // An exporter's setting in the place of APPINSIGHTS_INSTRUMENTATIONKEY.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.telemetry.svc:4318".to_owned()),
        ("InternalIdentity__ClientId", CLIENT.to_owned()),
        ("InternalIdentity__ObjectId", OBJECT.to_owned()),
        ("InternalIdentity__ResourceId", IDENTITY.to_owned()),
        ("ExternalIdentity__ClientId", EXTERNAL.to_owned()),
        ("ExternalIdentity__TenantId", TENANT.to_owned()),
        ("ExternalIdentity__CertificateUri", CERTIFICATE.to_owned()),
    ]
}

/// Normalize has no windows natively, so nothing of `EventBatching`.
fn of_normalize(epoch: u32) -> Vec<(&'static str, String)> {
    let spec = connector(1);
    let mut rows = of_both(&format!("{}-e{epoch}", spec.name));
    rows.extend([
        ("InputEventHub__AuthenticationType", "ExternalIdentity".to_owned()),
        ("InputEventHub__EventHubNamespaceFQDN", "hospital.servicebus.windows.net".to_owned()),
        ("InputEventHub__EventHubName", "devicedata".to_owned()),
        ("InputEventHub__EventHubConsumerGroup", "fhir".to_owned()),
        ("Template__DeviceContent", spec.device_mapping),
        ("Ingest__ConnectionType", "EventHub".to_owned()),
        ("Ingest__Epoch", epoch.to_string()),
    ]);
    rows
}

fn of_convert() -> Vec<(&'static str, String)> {
    let spec = destination(2);
    let mut rows = of_both(&spec.name);
    rows.extend([
        ("NormalizationEventHub__EventHubConsumerGroup", spec.consumer_group),
        ("Template__FhirMapping", spec.fhir_mapping),
        ("EventBatching__FlushTimespan", "300".to_owned()),
        ("EventBatching__MaxEvents", "1000".to_owned()),
        ("FhirService__Url", spec.fhir_url.clone()),
        ("FhirService__Resource", spec.fhir_url),
        ("FhirVersion", "R4".to_owned()),
        ("FhirClient__UseManagedIdentity", "true".to_owned()),
        ("ResourceIdentity__ResourceIdentityServiceType", "Create".to_owned()),
    ]);
    rows
}

#[track_caller]
fn check(environment: &BTreeMap<String, String>, rows: &[(&str, String)]) {
    for (name, expected) in rows {
        assert_eq!(environment.get(*name), Some(expected), "{name}");
    }
    let known: BTreeSet<&str> = rows.iter().map(|(name, _)| *name).chain(MORE).collect();
    let unknown: Vec<_> = environment.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_environment_of_pods_is_that_of_the_contract() {
    for epoch in [1, 2] {
        let environments = environments(epoch);
        assert_eq!(environments.len(), 2);
        let spec = connector(1);
        let normalize = if epoch == 1 { spec.name } else { format!("{}-e{epoch}", spec.name) };
        check(&environments[&normalize], &of_normalize(epoch));
        check(&environments[&destination(2).name], &of_convert());
    }
}
