//! What KEDA is told: read with KEDA's own rules, not with the chart's.

use serde_json::Value;

use crate::chart::{Objects, Values, charts, env, examples};

/// What KEDA 2.21's scalers read of `metadata` (azure_eventhub_scaler.go, metrics_api_scaler.go).
const AZURE_EVENTHUB: [&str; 13] = [
    "activationUnprocessedEventThreshold",
    "blobContainer",
    "checkpointStrategy",
    "cloud",
    "connectionFromEnv",
    "consumerGroup",
    "endpointSuffix",
    "eventHubName",
    "eventHubNamespace",
    "stalePartitionInfoThreshold",
    "storageAccountName",
    "storageEndpointSuffix",
    "unprocessedEventThreshold",
];
const METRICS_API: [&str; 7] =
    ["activationTargetValue", "authModes", "format", "targetValue", "timeout", "url", "valueLocation"];

/// What they take from a TriggerAuthentication.
const PARAMETERS: [&str; 6] = ["ca", "cert", "connection", "key", "storageConnection", "token"];

fn trigger(objects: &Objects, workload: &str) -> Value {
    objects.get("ScaledObject", workload)["spec"]["triggers"][0].clone()
}

/// The metadata of a trigger in one line, sorted by name.
fn metadata(trigger: &Value) -> String {
    let pairs = trigger["metadata"].as_object().expect("metadata is a map").iter();
    pairs.map(|(name, value)| format!("{name}={}", value.as_str().expect("a text"))).collect::<Vec<_>>().join(" ")
}

/// How KEDA opens what it reads.
fn access(objects: &Objects, workload: &str) -> String {
    let spec = &objects.get("TriggerAuthentication", workload)["spec"];
    let mut parts = Vec::new();
    if let Some(provider) = spec["podIdentity"]["provider"].as_str() {
        parts.push(format!("{provider} {}", spec["podIdentity"]["identityId"].as_str().unwrap_or("as itself")));
    }
    for reference in spec["secretTargetRef"].as_array().into_iter().flatten() {
        let text = |name: &str| reference[name].as_str().unwrap_or_default().to_owned();
        parts.push(format!("{}={}/{}", text("parameter"), text("name"), text("key")));
    }
    for secret in spec["azureKeyVault"]["secrets"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let vault = text(&spec["azureKeyVault"]["vaultUri"]);
        parts.push(format!("{}={vault}/{}", text(&secret["parameter"]), text(&secret["name"])));
    }
    parts.join(" ")
}

#[test]
fn triggers_have_only_what_the_scalers_read() {
    let mut seen = 0;
    for chart in charts() {
        for file in examples(&chart) {
            let Ok(manifests) = Values::default().file(&file).render(&chart, "1.33") else { panic!("{file:?}") };
            let objects = Objects::of(&manifests);
            for scaled in objects.kind("ScaledObject") {
                let trigger = &scaled["spec"]["triggers"][0];
                let known: &[&str] = match trigger["type"].as_str() {
                    Some("azure-eventhub") => &AZURE_EVENTHUB,
                    Some("metrics-api") => &METRICS_API,
                    other => panic!("{file:?}: a trigger {other:?}"),
                };
                for (name, value) in trigger["metadata"].as_object().expect("metadata is a map") {
                    assert!(known.contains(&name.as_str()) && value.is_string(), "{file:?}: {name}: {value}");
                }
                // KEDA opens hub and storage the same way, both with secrets or both by identity.
                let authentication = trigger["authenticationRef"]["name"].as_str().expect("it has an authentication");
                let spec = &objects.get("TriggerAuthentication", authentication)["spec"];
                let of_secrets = spec["secretTargetRef"].as_array().into_iter().flatten();
                let of_vault = spec["azureKeyVault"]["secrets"].as_array().into_iter().flatten();
                let mut parameters: Vec<_> =
                    of_secrets.chain(of_vault).filter_map(|reference| reference["parameter"].as_str()).collect();
                parameters.sort_unstable();
                assert!(parameters.iter().all(|name| PARAMETERS.contains(name)), "{file:?}: {parameters:?}");
                let by_identity = spec["podIdentity"]["provider"] == "azure-workload";
                assert!(by_identity == parameters.is_empty(), "{file:?}: {spec}");
                assert!(
                    by_identity || parameters == ["connection", "storageConnection"] || parameters == ["token"],
                    "{file:?}: {parameters:?}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen}");
}

/// Where KEDA looks is where the workload stores: the container in its settings, natively, and the path inside, which
/// both make of the lower-case names.
#[test]
fn keda_looks_where_the_workload_stores() {
    for front in ["native", "functions"] {
        let objects = Values::example("functions").set(&[&format!("front={front}")]).objects();
        for workload in ["rel-normalize", "rel-convert-fhir"] {
            let env = env(objects.get("Deployment", workload));
            let setting = |name: &str| {
                let found = env.iter().find(|(key, _)| key == name);
                found.unwrap_or_else(|| panic!("{front}: {workload} has no `{name}`")).1.clone()
            };
            let container = match front {
                "native" => setting("CheckpointStorage__BlobContainerName"),
                _ => "azure-webjobs-eventhub".to_owned(),
            };
            let prefix = if workload == "rel-normalize" { "InputEventHub" } else { "NormalizationEventHub" };
            let namespace = setting(&format!("{prefix}__EventHubNamespaceFQDN"));
            let (hub, group) =
                (setting(&format!("{prefix}__EventHubName")), setting(&format!("{prefix}__EventHubConsumerGroup")));
            for name in [&namespace, &hub, &group] {
                assert_eq!(*name, name.to_lowercase());
            }
            let metadata = &trigger(&objects, workload)["metadata"];
            assert_eq!(metadata["blobContainer"], container.as_str(), "{front} {workload}");
            assert_eq!(metadata["checkpointStrategy"], "blobMetadata");
            assert_eq!(metadata["eventHubName"], hub.as_str());
            assert_eq!(metadata["consumerGroup"], group.as_str());
            // As KEDA puts it together again.
            let short = metadata["eventHubNamespace"].as_str().expect("a namespace");
            assert_eq!(format!("{short}.servicebus.windows.net"), namespace);
            assert!(
                setting("CheckpointStorage__BlobStorageContainerUri").starts_with("https://contosoiotconnector.blob.")
            );
        }
    }
}

#[test]
fn each_way_of_opening_gives_its_trigger() {
    let cases = [
        (
            Values::default(),
            "rel-normalize",
            "activationUnprocessedEventThreshold=0 blobContainer=rel-normalize-e1 checkpointStrategy=blobMetadata \
             consumerGroup=$default eventHubName=devicedata eventHubNamespace=contoso \
             storageAccountName=contosoiotconnector unprocessedEventThreshold=2000",
            "azure-workload as itself",
        ),
        (
            // Upper-case names, and a workload that is its second.
            Values::example("full"),
            "ward-normalize-e2",
            "activationUnprocessedEventThreshold=0 blobContainer=ward-normalize-e2 checkpointStrategy=blobMetadata \
             consumerGroup=consumergroupa eventHubName=devicedata unprocessedEventThreshold=4000",
            "connection=source-hub/connection storageConnection=https://contoso-vault.vault.azure.net/storage-connection",
        ),
        (
            // The hub without a connection string, though the storage has one: by identity, both.
            Values::example("full"),
            "ward-fhir",
            "activationUnprocessedEventThreshold=0 blobContainer=ward-fhir checkpointStrategy=blobMetadata \
             consumerGroup=dst-fhir eventHubName=nd-ward-monitors eventHubNamespace=contoso-internal \
             storageAccountName=contosoiotconnector unprocessedEventThreshold=16000",
            "azure-workload 44444444-4444-4444-4444-444444444444",
        ),
        (
            Values::example("aad-pod-identity"),
            "rel-convert-fhir",
            "activationUnprocessedEventThreshold=0 blobContainer=rel-convert-fhir checkpointStrategy=blobMetadata \
             cloud=AzureUSGovernmentCloud consumerGroup=dst-fhir eventHubName=normalizeddata \
             eventHubNamespace=contoso-internal storageAccountName=contosoiotconnector unprocessedEventThreshold=4000",
            "azure-workload 44444444-4444-4444-4444-444444444444",
        ),
        (
            Values::default().set(&[
                "source.eventHub.fullyQualifiedNamespace=ns1.servicebus.chinacloudapi.cn",
                "storage.endpointSuffix=core.chinacloudapi.cn",
            ]),
            "rel-normalize",
            "activationUnprocessedEventThreshold=0 blobContainer=rel-normalize-e1 checkpointStrategy=blobMetadata \
             cloud=AzureChinaCloud consumerGroup=$default eventHubName=devicedata eventHubNamespace=ns1 \
             storageAccountName=contosoiotconnector unprocessedEventThreshold=2000",
            "azure-workload as itself",
        ),
        (
            // Neither cloud by itself: both suffixes are said, which the platform has listed.
            Values::default().set(&[
                "source.eventHub.fullyQualifiedNamespace=ns1.hubs.stack.example",
                "scaling.keda.privateSuffixes={Hubs.stack.example}",
            ]),
            "rel-normalize",
            "activationUnprocessedEventThreshold=0 blobContainer=rel-normalize-e1 checkpointStrategy=blobMetadata \
             cloud=Private consumerGroup=$default endpointSuffix=hubs.stack.example eventHubName=devicedata \
             eventHubNamespace=ns1 storageAccountName=contosoiotconnector storageEndpointSuffix=core.windows.net \
             unprocessedEventThreshold=2000",
            "azure-workload as itself",
        ),
        (
            Values::example("operator-scaled"),
            "rel-convert-fhir",
            "activationTargetValue=0 authModes=bearer targetValue=4000 \
             url=https://iot-connector-operator.iot-connector-system.svc:8443/lag/v1/namespaces/iot/workloads/rel-convert-fhir \
             valueLocation=lag",
            "token=lag-token/token",
        ),
    ];
    for (values, workload, expected, opened) in cases {
        let objects = values.objects();
        let trigger = trigger(&objects, workload);
        assert_eq!(metadata(&trigger), expected, "{values:?}");
        assert_eq!(access(&objects, workload), opened, "{values:?}");
        assert_eq!(trigger["metricType"], "AverageValue");
    }
}

#[test]
fn the_operator_gives_its_token_and_its_authority_through_a_secret() {
    let given = ["tokenValue=t0ken", "caBundle=CA", "clientCertificate=CERT", "clientKey=KEY"];
    let given: Vec<_> = given.iter().map(|value| format!("scaling.operator.{value}")).collect();
    let values =
        Values::default().set(&["scaling.source=operator"]).set(&given.iter().map(String::as_str).collect::<Vec<_>>());
    let objects = values.objects();
    // KEDA takes an authority only beside a client certificate.
    assert_eq!(trigger(&objects, "rel-normalize")["metadata"]["authModes"], "tls,bearer");
    let opened = access(&objects, "rel-normalize");
    assert_eq!(
        opened,
        "ca=rel-scaling/ca.crt cert=rel-scaling/tls.crt key=rel-scaling/tls.key token=rel-scaling/token"
    );
    let secret = &objects.get("Secret", "rel-scaling")["stringData"];
    let expected = serde_json::json!({ "token": "t0ken", "ca.crt": "CA", "tls.crt": "CERT", "tls.key": "KEY" });
    assert_eq!(*secret, expected);
}

/// Replicas and thresholds: `min..max threshold`.
#[test]
fn replicas_are_at_most_the_partitions_and_open_windows_are_no_lag() {
    let destination =
        |window: &str| format!(r#"destinations=[{{"name":"fhir","fhir":{{"url":"https://f"}},"window":{window}}}]"#);
    let cases = [
        (Values::default(), "0..4 2000", "0..4 4000"),
        (Values::default().set(&["source.eventHub.partitionCount=32"]), "0..32 2000", "0..4 4000"),
        (Values::default().set(&["internalHub.eventHub.partitionCount=8"]), "0..4 2000", "0..8 8000"),
        (Values::default().json(&destination(r#"{"maxEvents":50}"#)), "0..4 2000", "0..4 200"),
        (Values::default().json(&destination(r#"{"maxEvents":100000}"#)), "0..4 2000", "0..4 400000"),
        (
            Values::default()
                .set(&["scaling.groupConvert.unprocessedEventThreshold=64", "scaling.groupConvert.maxReplicas=2"]),
            "0..4 2000",
            "0..2 64",
        ),
        // What a process may hold in all, where that is more; in whatever letter case.
        (
            Values::default().set_strings(&["settings.eventBatching__MAXEVENTSALLPARTITIONS=100000"]),
            "0..4 2000",
            "0..4 100000",
        ),
        (
            Values::default().set_strings(&["settings.EventBatching__MaxEventsAllPartitions=3999"]),
            "0..4 2000",
            "0..4 4000",
        ),
        (Values::default().set(&["scaling.normalize.minReplicas=3"]), "3..4 2000", "0..4 4000"),
        (
            Values::default()
                .set(&["ingest.http.enabled=true", "ingest.http.tokenValue=0123456789abcdef0123456789abcdef"]),
            "1..4 2000",
            "0..4 4000",
        ),
    ];
    let scale = |objects: &Objects, workload: &str| {
        let spec = &objects.get("ScaledObject", workload)["spec"];
        let threshold = &spec["triggers"][0]["metadata"]["unprocessedEventThreshold"];
        let threshold = threshold.as_str().expect("a threshold");
        format!("{}..{} {threshold}", spec["minReplicaCount"], spec["maxReplicaCount"])
    };
    for (values, normalize, convert) in cases {
        let objects = values.objects();
        assert_eq!(scale(&objects, "rel-normalize"), normalize, "{values:?}");
        assert_eq!(scale(&objects, "rel-convert-fhir"), convert, "{values:?}");
    }
}

/// Two replicas of one partition: one would have nothing to read.
#[test]
fn not_more_replicas_stand_in_than_there_may_be() {
    let values =
        ["scaling.fallbackReplicas=3", "source.eventHub.partitionCount=2", "scaling.groupConvert.maxReplicas=4"];
    let objects = Values::default().set(&values).objects();
    let fallback = |workload: &str| objects.get("ScaledObject", workload)["spec"]["fallback"]["replicas"].clone();
    assert_eq!((fallback("rel-normalize"), fallback("rel-convert-fhir")), (2.into(), 3.into()));
}

/// A new epoch is a new workload, so that one pod runs in any case and stores first positions.
#[test]
fn a_new_epoch_is_a_new_workload_with_positions_of_its_own() {
    let cases = [
        ("source.epoch=1", "normalize.workloadName=", "rel-normalize", "rel-normalize-e1"),
        ("source.epoch=2", "normalize.workloadName=", "rel-normalize-e2", "rel-normalize-e2"),
        ("source.epoch=1", "normalize.workloadName=iotn-c1", "iotn-c1", "iotn-c1-e1"),
        ("source.epoch=7", "normalize.workloadName=iotn-c1", "iotn-c1-e7", "iotn-c1-e7"),
    ];
    for (epoch, name, workload, container) in cases {
        let objects = Values::default().set(&[epoch, name]).objects();
        let metadata = trigger(&objects, workload)["metadata"].clone();
        assert_eq!(metadata["blobContainer"], container, "{epoch} {name}");
        let scaled = &objects.get("ScaledObject", workload)["spec"];
        assert_eq!(scaled["scaleTargetRef"]["name"], workload);
        assert_eq!(scaled["initialCooldownPeriod"], 300);
    }
}

#[test]
fn nothing_of_keda_without_scaling() {
    let objects = Values::default().set(&["scaling.enabled=false"]).objects();
    assert_eq!(objects.kind("ScaledObject").count() + objects.kind("TriggerAuthentication").count(), 0);
    assert_eq!(objects.kind("Deployment").count(), 2);
}
