//! What runs in the pods, and what is mounted there.

use serde_json::{Value, json};

use crate::chart::{Objects, Values, container};

/// A probe as `path:port every period, failures`.
fn probe(container: &Value, name: &str) -> String {
    let probe = &container[name];
    let get = &probe["httpGet"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}:{} every {} s, {} times",
        text(&get["path"]),
        text(&get["port"]),
        probe["periodSeconds"],
        probe["failureThreshold"]
    )
}

/// The Functions host answers at `/` whether or not the function lives; so the function is asked where it serves its
/// metrics, if it does.
#[test]
fn probes_ask_what_makes_progress() {
    let cases = [
        ("front=native", "telemetry.prometheus.enabled=true", ["/readyz:http", "/healthz:http", "/readyz:http"]),
        ("front=native", "telemetry.prometheus.enabled=false", ["/readyz:http", "/healthz:http", "/readyz:http"]),
        ("front=functions", "telemetry.prometheus.enabled=true", ["/metrics:metrics", "/metrics:metrics", "/:http"]),
        ("front=functions", "telemetry.prometheus.enabled=false", ["/:http", "/:http", "/:http"]),
    ];
    for (front, metrics, expected) in cases {
        let objects = Values::default().set(&[front, metrics]).objects();
        for deployment in objects.kind("Deployment") {
            let container = container(deployment);
            let probes = ["startupProbe", "livenessProbe", "readinessProbe"].map(|name| probe(container, name));
            for (actual, expected) in probes.iter().zip(expected) {
                assert!(actual.starts_with(&format!("{expected} every")), "{front} {metrics}: {actual}");
            }
            // Ten minutes for a hub that is away at the start.
            assert!(probes[0].ends_with("every 5 s, 120 times"), "{}", probes[0]);
        }
    }
}

#[test]
fn each_front_has_its_image_and_its_program() {
    let summary = |values: &[&str], workload: &str| {
        let objects = Values::default().set(values).objects();
        let container = container(objects.get("Deployment", workload)).clone();
        let variables = container["env"].as_array().expect("an environment").clone();
        let root = variables.iter().find(|variable| variable["name"] == "AzureWebJobsScriptRoot");
        let started = root.map_or(container["command"].to_string(), |root| root["value"].to_string());
        format!("{} {started}", container["image"].as_str().unwrap_or_default())
    };
    let registry = "image.registry=contoso.azurecr.io/iot";
    let digest = format!("image.functions.digest=sha256:{}", "0".repeat(64));
    let cases = [
        (vec![], "rel-normalize", r#"iot-connector-for-fhir/native:0.1.0 ["normalize"]"#.to_owned()),
        (
            vec![registry, "image.native.tag=1.2.3"],
            "rel-convert-fhir",
            r#"contoso.azurecr.io/iot/iot-connector-for-fhir/native:1.2.3 ["group-convert"]"#.to_owned(),
        ),
        (
            vec!["front=functions"],
            "rel-normalize",
            r#"iot-connector-for-fhir/functions:0.1.0 "/home/site/normalize""#.to_owned(),
        ),
        (
            vec!["front=functions", registry, &digest],
            "rel-convert-fhir",
            format!(
                "contoso.azurecr.io/iot/iot-connector-for-fhir/functions@sha256:{} \"/home/site/group-convert\"",
                "0".repeat(64)
            ),
        ),
    ];
    for (values, workload, expected) in cases {
        assert_eq!(summary(&values, workload), expected, "{values:?}");
    }
}

/// A ConfigMap that is mounted whole changes in the pod; one mounted by `subPath` never would.
#[test]
fn mappings_are_blobs_or_files_that_can_change() {
    let objects = Values::example("destinations").objects();
    let cases = [
        ("rel-normalize", "rel-normalize-mapping", "/etc/iot-connector/devicecontent.json"),
        ("rel-convert-research", "rel-convert-research-mapping", "/etc/iot-connector/fhirmapping.json"),
        ("rel-convert-ward", "ward-mapping", "/etc/iot-connector/fhirmapping.json"),
        ("archive-writer", "", "archive/fhirmapping.json"),
    ];
    for (workload, config_map, mapping) in cases {
        let deployment = objects.get("Deployment", workload);
        let env = crate::chart::env(deployment);
        let setting = env.iter().find(|(name, _)| name.starts_with("Template__")).expect("a mapping");
        assert_eq!(setting.1, mapping, "{workload}");
        let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes").iter();
        let mounted = volumes.filter_map(|volume| volume["configMap"]["name"].as_str()).next().unwrap_or_default();
        assert_eq!(mounted, config_map, "{workload}");
        let mounts = container(deployment)["volumeMounts"].as_array().expect("mounts").iter();
        assert!(mounts.into_iter().all(|mount| mount["subPath"].is_null()), "{workload}");
        let of_storage = env.iter().any(|(name, _)| name == "TemplateStorage__BlobStorageContainerUri");
        assert_eq!(of_storage, config_map.is_empty(), "{workload}");
    }
    let content = &objects.get("ConfigMap", "rel-normalize-mapping")["data"]["devicecontent.json"];
    let content: Value = serde_json::from_str(content.as_str().expect("a text")).expect("the document as it was");
    assert_eq!(content["templateType"], "CollectionContent");
}

/// The resource provider makes a connector first, and its destinations later.
#[test]
fn without_destinations_there_is_normalize_alone() {
    let objects = Values::default().json("destinations=[]").objects();
    for kind in ["Deployment", "ScaledObject", "TriggerAuthentication", "NetworkPolicy", "PodDisruptionBudget"] {
        let names: Vec<_> = objects.kind(kind).map(|object| object["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["rel-normalize"], "{kind}");
    }
}

#[test]
fn what_is_suspended_has_no_pods_and_keda_waits() {
    let suspended = Values::example("destinations").set(&["suspended=true"]).objects();
    let objects = Values::example("destinations").objects();
    for (objects, replicas, paused) in [(&suspended, json!(0), json!("0")), (&objects, Value::Null, Value::Null)] {
        for deployment in objects.kind("Deployment") {
            assert_eq!(deployment["spec"]["replicas"], replicas);
        }
        for scaled in objects.kind("ScaledObject") {
            assert_eq!(scaled["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"], paused);
        }
    }
    assert_eq!(suspended.kind("ScaledObject").count(), objects.kind("Deployment").count());
}

/// A pod reads its mapping when it starts; another text in its template makes another pod.
#[test]
fn a_version_of_a_mapping_is_in_the_pods_that_read_it() {
    let versions = ["mappings.device.version=sha256:0a", "destinations[1].mapping.version=sha256:0b"];
    let objects = Values::example("destinations").set(&versions).objects();
    let version = |workload: &str| {
        let template = &objects.get("Deployment", workload)["spec"]["template"];
        template["metadata"]["annotations"]["iot-connector/mapping-version"].clone()
    };
    let second = Values::example("destinations").objects();
    let names: Vec<_> = second.kind("Deployment").map(|object| object["metadata"]["name"].clone()).collect();
    let of_all: Vec<_> = names.iter().filter_map(|name| name.as_str()).map(version).collect();
    assert_eq!(version("rel-normalize"), "sha256:0a");
    assert_eq!(of_all.iter().filter(|version| **version == "sha256:0b").count(), 1);
    assert_eq!(of_all.iter().filter(|version| version.is_null()).count(), names.len() - 2);
}

/// Each workload mounts the secrets that it reads itself, and its environment refers to what the driver makes of them.
#[test]
fn secrets_of_the_key_vault_are_mounted_where_they_are_read() {
    let objects = Values::example("full").objects();
    let read = |objects: &Objects, workload: &str| {
        let class = &objects.get("SecretProviderClass", workload)["spec"];
        let made = &class["secretObjects"][0];
        assert_eq!(made["secretName"], format!("{workload}-keyvault").as_str());
        let keys = made["data"].as_array().expect("keys").iter();
        let keys: Vec<_> = keys.map(|data| data["key"].as_str().unwrap_or_default().to_owned()).collect();
        let objects_text = class["parameters"]["objects"].as_str().expect("objects of the vault");
        assert!(keys.iter().all(|key| objects_text.contains(&format!("objectName: \"{key}\"\n"))), "{objects_text}");
        keys.join(" ")
    };
    assert_eq!(read(&objects, "ward-normalize-e2"), "storage-sas");
    assert_eq!(read(&objects, "rel-convert-partner"), "partner-client storage-sas");
    let deployment = objects.get("Deployment", "rel-convert-partner");
    let variables = container(deployment)["env"].as_array().expect("an environment");
    let secret = variables.iter().find(|variable| variable["name"] == "FhirService__ClientSecret").expect("a secret");
    assert_eq!(
        secret["valueFrom"]["secretKeyRef"],
        json!({ "name": "rel-convert-partner-keyvault", "key": "partner-client" })
    );
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes");
    let mounted = volumes.iter().find(|volume| volume["csi"].is_object()).expect("the vault is mounted");
    assert_eq!(mounted["csi"]["volumeAttributes"]["secretProviderClass"], "rel-convert-partner");
    assert_eq!(Values::default().objects().kind("SecretProviderClass").count(), 0);
}

#[test]
fn identities_of_pods() {
    let labels = |values: &Values| {
        let objects = values.objects();
        let pod = &objects.get("Deployment", "rel-normalize")["spec"]["template"];
        let label = |name: &str| pod["metadata"]["labels"][name].as_str().unwrap_or("-").to_owned();
        let account = &objects.get("ServiceAccount", "rel")["metadata"]["annotations"];
        let client = account["azure.workload.identity/client-id"].as_str().unwrap_or("-").to_owned();
        let pair = objects.kind("AzureIdentity").count() + objects.kind("AzureIdentityBinding").count();
        format!("{} {} {client} {pair}", label("azure.workload.identity/use"), label("aadpodidbinding"))
    };
    let client = "11111111-1111-1111-1111-111111111111";
    assert_eq!(labels(&Values::example("native")), format!("true - {client} 0"));
    assert_eq!(labels(&Values::example("aad-pod-identity")), "- iot-rel - 2");
    assert_eq!(labels(&Values::example("sas")), "- - - 0");
    let objects = Values::example("aad-pod-identity").objects();
    let identity = &objects.get("AzureIdentity", "rel")["metadata"];
    assert_eq!(identity["annotations"]["aadpodidentity.k8s.io/Behavior"], "namespaced");
    let selector = &objects.get("AzureIdentityBinding", "rel")["spec"]["selector"];
    assert_eq!(
        *selector,
        objects.get("Deployment", "rel-normalize")["spec"]["template"]["metadata"]["labels"]["aadpodidbinding"]
    );
}
