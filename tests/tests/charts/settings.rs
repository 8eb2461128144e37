//! The environment of the pods is what the functions read: by the manual, and by the functions themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use end_to_end::process::Running;
use serde_json::Value;

use crate::chart::{Values, connector, container, env, examples, objects_of_all, root};

/// What only the Functions host reads, beside what docs/settings.md says of it (functions-eventhubs-keda.md 3.3).
const HOST: [&str; 7] = [
    "ASPNETCORE_URLS",
    "AzureFunctionsJobHost__logging__console__isEnabled",
    "AzureFunctionsWebHost__hostid",
    "AzureWebJobsScriptRoot",
    "AzureWebJobsSecretStorageType",
    "AzureWebJobsStorage",
    "FUNCTIONS_WORKER_RUNTIME",
];

/// What others refer to by `$(NAME)`.
const REFERRED: [&str; 4] = ["K8S_NAMESPACE", "K8S_POD_NAME", "POD_IP", "STORAGE_SAS"];

/// Every Deployment of every example in both fronts, as far as it can be had.
fn deployments() -> &'static [(String, Value)] {
    static ALL: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut cases = Vec::new();
        for file in examples(&connector()) {
            for front in ["native", "functions"] {
                let values = Values::default().file(&file).set(&[&format!("front={front}")]);
                // `schemas.rs` says which one is refused.
                if let Ok(manifests) = values.render(&connector(), "1.33") {
                    cases.push((format!("{front} {}", file.display()), manifests));
                }
            }
        }
        let mut all = Vec::new();
        for (case, objects) in objects_of_all(&cases) {
            for deployment in objects.kind("Deployment") {
                all.push((format!("{case} {}", deployment["metadata"]["name"]), deployment.clone()));
            }
        }
        assert!(all.len() > 30, "only {}", all.len());
        all
    })
}

/// The environment as a pod gets it: `$(NAME)` of what stands before is put in, and secrets are made up.
fn environment(deployment: &Value) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = BTreeMap::new();
    for variable in container(deployment)["env"].as_array().expect("an environment") {
        let name = variable["name"].as_str().expect("a name");
        let mut value = match variable["value"].as_str() {
            Some(value) => value.to_owned(),
            None => made_up(name, variable),
        };
        for (earlier, text) in &environment {
            value = value.replace(&format!("$({earlier})"), text);
        }
        assert!(!value.contains("$("), "{name}={value}");
        assert!(environment.insert(name.to_owned(), value).is_none(), "{name} is there twice");
    }
    environment
}

fn made_up(name: &str, variable: &Value) -> String {
    if let Some(path) = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
        return if path == "status.podIP" { "127.0.0.1".to_owned() } else { "pod-1".to_owned() };
    }
    assert!(variable["valueFrom"]["secretKeyRef"]["name"].is_string(), "{variable}");
    match name {
        "STORAGE_SAS" => "sv=2026-01-01&sig=AAAA".to_owned(),
        "AzureWebJobsStorage" => "UseDevelopmentStorage=true".to_owned(),
        _ if name.starts_with("InputEventHub") || name.starts_with("NormalizationEventHub") => {
            "Endpoint=sb://ns1.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0;EntityPath=h"
                .to_owned()
        }
        _ => "made-up".to_owned(),
    }
}

#[test]
fn every_app_setting_is_in_the_manual() {
    let manual = fs::read_to_string(root().join("docs/settings.md")).expect("the manual of settings");
    let telemetry = fs::read_to_string(root().join("docs/telemetry.md")).expect("the manual of telemetry");
    for (name, deployment) in deployments() {
        for variable in environment(deployment).into_keys() {
            let quoted = format!("`{variable}`");
            let known = manual.contains(&quoted) || telemetry.contains(&quoted);
            assert!(known || HOST.contains(&&*variable) || REFERRED.contains(&&*variable), "{name}: {variable}");
        }
    }
}

/// Whatever the chart writes is refused as an app setting, so that it has one value only.
#[test]
fn what_the_chart_writes_is_no_setting_of_the_user() {
    let own = |deployment: &Value| {
        let variables = container(deployment)["env"].as_array().expect("an environment").iter();
        variables.map(|variable| variable["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    // What the examples themselves give as settings.
    const GIVEN: [&str; 5] =
        ["Compatibility__LegacyIds", "Compatibility__Profile", "FhirService__BatchEntries", "OTEL_SERVICE_NAME", "x"];
    let written: BTreeSet<String> = deployments().iter().flat_map(|(_, deployment)| own(deployment)).collect();
    let settings: serde_json::Map<String, Value> =
        written.iter().filter(|name| !GIVEN.contains(&&***name)).map(|name| (name.clone(), "x".into())).collect();
    assert!(settings.len() > 50, "only {}", settings.len());
    let refusal = Values::default().json(&format!("settings={}", Value::from(settings.clone()))).refusal();
    let taken: Vec<_> =
        settings.keys().filter(|name| !refusal.contains(&format!("value `settings.{name}` is set;"))).collect();
    assert_eq!(taken, Vec::<&String>::new(), "{refusal}");
}

/// What neither the chart writes nor positions hang on is the user's, also of the host.
#[test]
fn other_settings_of_the_host_are_taken() {
    let name = "AzureFunctionsJobHost__extensions__eventHubs__prefetchCount";
    let objects = Values::example("functions").set_strings(&[&format!("settings.{name}=50")]).objects();
    for workload in ["rel-normalize", "rel-convert-fhir"] {
        assert_eq!(environment(objects.get("Deployment", workload)).get(name).map(String::as_str), Some("50"));
    }
}

/// What resource-provider.md 4.11 gives to the pods of a connector has its place.
#[test]
fn everything_that_the_resource_provider_says_has_its_place() {
    const BOTH: [&str; 18] = [
        "CheckpointStorage__AuthenticationType",
        "CheckpointStorage__BlobContainerName",
        "CheckpointStorage__BlobStorageContainerUri",
        "Checkpoint__BlobPrefix",
        "ExternalIdentity__CertificateUri",
        "ExternalIdentity__ClientId",
        "ExternalIdentity__TenantId",
        "InternalIdentity__ClientId",
        "InternalIdentity__ObjectId",
        "InternalIdentity__ResourceId",
        "NormalizationEventHub__AuthenticationType",
        "NormalizationEventHub__EventHubName",
        "NormalizationEventHub__EventHubNamespaceFQDN",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "TemplateStorage__AuthenticationType",
        "TemplateStorage__BlobContainerName",
        "TemplateStorage__BlobStorageContainerUri",
        "Connector__Name",
    ];
    const NORMALIZE: [&str; 7] = [
        "Ingest__ConnectionType",
        "Ingest__Epoch",
        "InputEventHub__AuthenticationType",
        "InputEventHub__EventHubConsumerGroup",
        "InputEventHub__EventHubName",
        "InputEventHub__EventHubNamespaceFQDN",
        "Template__DeviceContent",
    ];
    const CONVERT: [&str; 10] = [
        "EventBatching__FlushTimespan",
        "EventBatching__MaxEvents",
        "FhirClient__UseManagedIdentity",
        "FhirService__Resource",
        "FhirService__Url",
        "FhirVersion",
        "NormalizationEventHub__EventHubConsumerGroup",
        "ResourceIdentity__DefaultDeviceIdentifierSystem",
        "ResourceIdentity__ResourceIdentityServiceType",
        "Template__FhirMapping",
    ];
    let values = Values::example("certificate")
        .set(&[
            "telemetry.otlpEndpoint=http://collector:4318",
            "destinations[0].identityResolution.deviceIdentifierSystem=urn:d",
        ])
        .set(&["destinations[0].name=fhir", "destinations[0].fhir.url=https://f"]);
    let objects = values.objects();
    for (workload, own) in [("rel-normalize-e3", &NORMALIZE[..]), ("rel-convert-fhir", &CONVERT[..])] {
        let environment = environment(objects.get("Deployment", workload));
        for name in BOTH.iter().chain(own) {
            assert!(environment.contains_key(*name), "{workload} has no {name}");
        }
    }
}

/// As whom things are opened, in each front: `setting=value`, of those that say so.
#[test]
fn identities_are_as_the_functions_and_the_host_read_them() {
    let cases = [
        (
            "native",
            "rel-normalize",
            "CheckpointStorage__AuthenticationType=WorkloadIdentity DeadLetters__AuthenticationType=WorkloadIdentity \
             InputEventHub__AuthenticationType=WorkloadIdentity InternalIdentity__AuthenticationType=WorkloadIdentity \
             NormalizationEventHub__AuthenticationType=WorkloadIdentity TemplateStorage__AuthenticationType=WorkloadIdentity",
        ),
        (
            // The function takes the pod's workload identity for the FHIR server as an external one of the same id.
            "native",
            "rel-convert-fhir",
            "CheckpointStorage__AuthenticationType=WorkloadIdentity DeadLetters__AuthenticationType=WorkloadIdentity \
             ExternalIdentity__ClientId=1 FhirClient__UseManagedIdentity=true FhirService__AuthenticationType=ExternalIdentity \
             InternalIdentity__AuthenticationType=WorkloadIdentity NormalizationEventHub__AuthenticationType=WorkloadIdentity \
             Parking__AuthenticationType=WorkloadIdentity TemplateStorage__AuthenticationType=WorkloadIdentity",
        ),
        (
            "functions",
            "rel-normalize",
            "AzureWebJobsStorage__clientId=1 AzureWebJobsStorage__credential=workloadidentity \
             CheckpointStorage__AuthenticationType=WorkloadIdentity DeadLetters__AuthenticationType=WorkloadIdentity \
             ExternalIdentity__ClientId=2 InputEventHub__AuthenticationType=ExternalIdentity InputEventHub__clientId=2 \
             InputEventHub__credential=workloadidentity InternalIdentity__AuthenticationType=WorkloadIdentity \
             NormalizationEventHub__AuthenticationType=WorkloadIdentity TemplateStorage__AuthenticationType=WorkloadIdentity",
        ),
        (
            "functions",
            "rel-convert-fhir",
            "AzureWebJobsStorage__clientId=1 AzureWebJobsStorage__credential=workloadidentity \
             CheckpointStorage__AuthenticationType=WorkloadIdentity DeadLetters__AuthenticationType=WorkloadIdentity \
             ExternalIdentity__ClientId=2 FhirClient__UseManagedIdentity=true FhirService__AuthenticationType=ExternalIdentity \
             InternalIdentity__AuthenticationType=WorkloadIdentity NormalizationEventHub__AuthenticationType=WorkloadIdentity \
             NormalizationEventHub__clientId=1 NormalizationEventHub__credential=workloadidentity \
             Parking__AuthenticationType=WorkloadIdentity TemplateStorage__AuthenticationType=WorkloadIdentity",
        ),
    ];
    for (front, workload, expected) in cases {
        let objects = Values::example(front).objects();
        let environment = environment(objects.get("Deployment", workload));
        let says = [
            "__AuthenticationType",
            "__UseManagedIdentity",
            "__credential",
            "__clientId",
            "ExternalIdentity__ClientId",
        ];
        let said = environment.iter().filter(|(name, _)| says.iter().any(|end| name.ends_with(end)));
        // Client ids are told apart by their first digit.
        let short = |value: &str| if value.len() == 36 { value[..1].to_owned() } else { value.to_owned() };
        let said: Vec<_> = said.map(|(name, value)| format!("{name}={}", short(value))).collect();
        assert_eq!(said.join(" "), expected, "{front} {workload}");
    }
}

/// As rendered, where `$(POD_IP)` is put in by the pod: an address of IPv6 stands in brackets before a port.
#[test]
fn both_families_of_addresses_can_be_listened_on() {
    let listens = |chart: &str, values: &[&str]| {
        let manifests = Values::default().set(values).render(&root().join("helm").join(chart), "1.33");
        let objects = crate::chart::Objects::of(&manifests.unwrap_or_else(|error| panic!("{values:?}: {error}")));
        let deployment = objects.kind("Deployment").next().expect("a Deployment");
        let env = crate::chart::env(deployment).into_iter();
        let names =
            ["ASPNETCORE_URLS", "Http__Listen", "Telemetry__PrometheusAddress", "LISTEN_ADDRESS", "LAG_LISTEN_ADDRESS"];
        env.filter(|(name, _)| names.contains(&&**name)).map(|(_, value)| value).collect::<Vec<_>>().join(" ")
    };
    let cases = [
        ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
        ("::", "[::]", "::"),
        ("[::]", "[::]", "::"),
        ("$(POD_IP)", "$(POD_IP)", "$(POD_IP)"),
        ("[$(POD_IP)]", "[$(POD_IP)]", "$(POD_IP)"),
    ];
    for (address, before_port, alone) in cases {
        let value = format!("http.listenAddress={address}");
        assert_eq!(listens("iot-connector", &[&value]), format!("{before_port}:8080 {alone}"));
        assert_eq!(
            listens("iot-connector", &["front=functions", &value]),
            format!("http://{before_port}:8080 {alone}")
        );
        let both = format!("{before_port}:8080 {before_port}:8443");
        assert_eq!(listens("platform", &["lag.enabled=true", "lag.everywhere=true", &value]), both);
        // What the functions and the operator make of it.
        let pod = if before_port.starts_with('[') { "fd00::1" } else { "10.0.0.1" };
        format!("{before_port}:8080").replace("$(POD_IP)", pod).parse::<SocketAddr>().expect("address and port");
        alone.replace("$(POD_IP)", pod).parse::<IpAddr>().expect("an address");
    }
}

/// The Functions host gathers what group-convert cuts into windows; normalize has none.
#[test]
fn the_host_gathers_as_long_as_a_window_lasts() {
    let objects = Values::example("functions").objects();
    let gathered = |workload: &str| {
        let environment = environment(objects.get("Deployment", workload));
        let own = environment.iter().filter_map(|(name, value)| {
            Some(format!("{}={value}", name.strip_prefix("AzureFunctionsJobHost__extensions__eventHubs__")?))
        });
        own.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(gathered("rel-normalize"), "maxEventBatchSize=500");
    assert_eq!(gathered("rel-convert-fhir"), "maxEventBatchSize=500 maxWaitTime=00:01:00 minEventBatchSize=500");
}

/// The functions take the environment as it is rendered: they find nothing wrong with it, and no name that nothing
/// reads. What they then look for is not there, so they are stopped.
#[test]
fn the_functions_take_their_environment() {
    let token = tempfile::NamedTempFile::new().expect("a file for a token");
    for (name, deployment) in deployments() {
        let function = container(deployment)["name"].as_str().expect("a name");
        let program = end_to_end::folder("IOTC_TEST_BIN", "charts").join(function);
        let mut environment = environment(deployment);
        // Read whether or not it is right, and ports of other tests are not taken.
        environment.retain(|setting, _| {
            !["OTEL_", "Http__Listen", "Telemetry__Prometheus"].iter().any(|own| setting.starts_with(own))
        });
        let mut command = Command::new(program);
        command.env_clear().envs(&environment).env("LOG_FORMAT", "text").env("RUST_LOG", "info");
        // What the webhook of workload identity adds.
        command.env("AZURE_TENANT_ID", "t").env("AZURE_CLIENT_ID", "c").env("AZURE_FEDERATED_TOKEN_FILE", token.path());
        if name.starts_with("functions") {
            command.env("FUNCTIONS_CUSTOMHANDLER_PORT", end_to_end::process::free_port().to_string());
        }
        let mut process = Running::start(name, &mut command);
        let started = process.wait_for("it has read its settings", Duration::from_secs(20), |stdout, stderr| {
            let lines: Vec<_> = stdout.iter().chain(stderr).cloned().collect();
            let begun = lines.iter().any(|line| STARTED.iter().any(|text| line.contains(text)));
            (begun || lines.iter().any(|line| line.contains("stopped"))).then_some(lines)
        });
        let text = started.join("\n");
        assert!(!text.contains("not usable") && !text.contains("nothing reads it"), "{name}: {text}\n{environment:?}");
    }
}

/// What a function says once its settings are good.
const STARTED: [&str; 2] = ["listens", "Reads natively"];

/// Values may be a customer's, and `$(NAME)` in one would send it whatever the pod has under that name.
#[test]
fn a_value_is_no_reference_to_what_the_pod_has() {
    for front in ["native", "functions"] {
        let values = Values::example("sas").set(&[&format!("front={front}")]).set_strings(&[
            "connector.name=a$(MARK)",
            "settings.Custom__One=$$(MARK)",
            "normalize.settings.Http__Own=$$$(MARK)$",
            "destinations[0].fhir.url=https://f.example/$(MARK)",
            "destinations[0].settings.Custom__Two=?$(STORAGE_SAS)",
            "storage.blobServiceUri=http://b.example/$(MARK)",
            "telemetry.otlpEndpoint=http://c.example/$(MARK)",
        ]);
        let mut marked = BTreeSet::new();
        for deployment in values.objects().kind("Deployment") {
            for (name, value) in env(deployment) {
                // Of two the kubelet makes one, and goes on behind them.
                let read = value.replace("$$", "");
                assert!(!read.contains("$(MARK)"), "{front} {name}={value}");
                if value.contains("(MARK)") {
                    marked.insert(name.clone());
                }
                let refers = read.contains("$(STORAGE_SAS)");
                assert_eq!(refers, name.ends_with("__BlobStorageContainerUri"), "{front} {name}={value}");
                let expected = match name.as_str() {
                    "Custom__One" => "$$$$(MARK)",
                    "Http__Own" => "$$$$$$(MARK)$$",
                    "Custom__Two" => "?$$(STORAGE_SAS)",
                    _ => continue,
                };
                assert_eq!(value, expected, "{front} {name}");
            }
        }
        for name in [
            "Connector__Name",
            "FhirService__Url",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "DeadLetters__BlobStorageContainerUri",
        ] {
            assert!(marked.contains(name), "{front} {name}: {marked:?}");
        }
    }
}
