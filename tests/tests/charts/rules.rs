//! Rules that hold for every chart and every example: what the operator relies on (design.md D8), and what a security
//! review asks for.

use std::collections::BTreeSet;
use std::fs;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::chart::{Objects, Values, charts, container, examples, objects_of_all};

/// Every chart with its own values and with each example.
fn all() -> &'static [(String, Objects)] {
    static ALL: OnceLock<Vec<(String, Objects)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        for chart in charts() {
            for file in std::iter::once(None).chain(examples(&chart).into_iter().map(Some)) {
                let values = file.iter().fold(Values::default(), |values, file| values.file(file));
                let manifests = values.render(&chart, "1.33").unwrap_or_else(|error| panic!("{file:?}: {error}"));
                all.push((format!("{} {file:?}", chart.display()), manifests));
            }
        }
        objects_of_all(&all)
    })
}

/// The pod templates among the objects.
fn pods(objects: &Objects) -> impl Iterator<Item = &Value> {
    objects
        .0
        .iter()
        .map(|object| &object["spec"]["template"])
        .filter(|template| template["spec"]["containers"].is_array())
}

#[test]
fn templates_use_nothing_that_asks_the_cluster_or_chance() {
    // Functions, by their whole name.
    const FORBIDDEN: [&str; 26] = [
        "ago",
        "bcrypt",
        "date",
        "dateInZone",
        "derivePassword",
        "encryptAES",
        "env",
        "expandenv",
        "genCA",
        "genCAWithKey",
        "genPrivateKey",
        "genSelfSignedCert",
        "genSelfSignedCertWithKey",
        "genSignedCert",
        "genSignedCertWithKey",
        "getHostByName",
        "htpasswd",
        "lookup",
        "now",
        "randAlpha",
        "randAlphaNum",
        "randAscii",
        "randBytes",
        "randInt",
        "randNumeric",
        "shuffle",
    ];
    for chart in charts() {
        let templates = fs::read_dir(chart.join("templates")).expect("a chart has templates");
        for template in templates {
            let path = template.expect("an entry of templates/").path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let code = text.split("{{").skip(1).filter_map(|part| part.split("}}").next());
            let code = code
                .filter(|code| !code.trim_start_matches(['-', ' ']).starts_with("/*"))
                .collect::<Vec<_>>()
                .join("\n");
            assert!(!text.contains("helm.sh/hook"), "`{}` has a hook", path.display());
            // Neither texts nor names of values are functions.
            let code: String = code.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            let words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.' && c != '$');
            for word in words {
                let forbidden = FORBIDDEN.contains(&word) || word.starts_with("uuid");
                assert!(!forbidden, "`{}` has `{word}`", path.display());
            }
        }
    }
}

#[test]
fn objects_say_neither_replicas_nor_namespace_nor_run_once() {
    for (name, objects) in all() {
        for object in &objects.0 {
            let kind = object["kind"].as_str().expect("a kind");
            assert!(!["Job", "CronJob", "Pod"].contains(&kind), "{name}: {kind}");
            // Of our connectors KEDA says how many; the operator and FHIR servers are not scaled by lag.
            if name.contains("iot-connector ") {
                assert!(object["spec"]["replicas"].is_null(), "{name}: {kind} has replicas");
                assert!(object["metadata"]["namespace"].is_null(), "{name}: {kind} has a namespace");
            }
        }
    }
}

#[test]
fn rendering_twice_gives_the_same() {
    for chart in charts() {
        let render = || Values::default().render(&chart, "1.33").expect("the default values are good");
        assert_eq!(render(), render(), "{}", chart.display());
    }
}

/// Pod Security Standards, *restricted*, and a read-only root.
#[test]
fn pods_are_restricted() {
    let mut seen = 0;
    for (name, objects) in all() {
        for pod in pods(objects) {
            let spec = &pod["spec"];
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            for field in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(spec[field].is_null(), "{name}: {field}");
            }
            for volume in spec["volumes"].as_array().into_iter().flatten() {
                let kinds =
                    ["configMap", "csi", "downwardAPI", "emptyDir", "projected", "secret", "persistentVolumeClaim"];
                assert!(kinds.iter().any(|kind| volume.get(kind).is_some()), "{name}: {volume}");
            }
            let sets = ["containers", "initContainers"].map(|set| spec[set].as_array().cloned().unwrap_or_default());
            for container in sets.concat() {
                let context = &container["securityContext"];
                let expected = (json!(false), json!(["ALL"]), json!(true));
                let actual = (
                    context["allowPrivilegeEscalation"].clone(),
                    context["capabilities"]["drop"].clone(),
                    context["readOnlyRootFilesystem"].clone(),
                );
                assert_eq!(actual, expected, "{name}");
                assert!(context["privileged"].is_null() && context["capabilities"]["add"].is_null(), "{name}");
                assert!(context["runAsUser"] != 0 && spec["securityContext"]["runAsUser"] != 0, "{name}");
                for port in container["ports"].as_array().into_iter().flatten() {
                    assert!(
                        port["hostPort"].is_null() && port["containerPort"].as_u64() > Some(1023),
                        "{name}: {port}"
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen}");
}

#[test]
fn connectors_hold_no_token_of_the_cluster_and_no_secret_in_the_open() {
    let values = Values::example("full").set(&[
        "ingest.http.tokenValue=s3cret-0123456789abcdef0123456789abcdef",
        // The operator reads no SAS out of a key vault.
        "storage.authentication.type=WorkloadIdentity",
        "scaling.source=operator",
        "scaling.operator.tokenValue=t0ken",
    ]);
    for (name, objects) in [("full".to_owned(), values.objects())] {
        for pod in pods(&objects) {
            assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "{name}");
        }
        for object in objects.0.iter().filter(|object| object["kind"] != "Secret") {
            let text = object.to_string();
            assert!(!text.contains("s3cret") && !text.contains("t0ken"), "{name}: {text}");
        }
        // The trap of functions-eventhubs-keda.md 3.3.
        for deployment in objects.kind("Deployment") {
            let names = container(deployment)["env"].as_array().expect("an environment").iter();
            assert!(names.into_iter().all(|variable| variable["name"] != "POD_NAMESPACE"), "{name}");
        }
    }
}

/// Each workload's objects are its own: nothing selects two, and all select one.
#[test]
fn selectors_match_the_pods_of_one_workload() {
    for (name, objects) in all() {
        if !name.contains("iot-connector ") {
            continue;
        }
        let pods: Vec<_> = objects
            .kind("Deployment")
            .map(|deployment| {
                (deployment["metadata"]["name"].clone(), deployment["spec"]["template"]["metadata"]["labels"].clone())
            })
            .collect();
        for kind in ["Deployment", "PodDisruptionBudget", "NetworkPolicy"] {
            let mut selected = BTreeSet::new();
            for object in objects.kind(kind) {
                let selector =
                    &object["spec"][if kind == "NetworkPolicy" { "podSelector" } else { "selector" }]["matchLabels"];
                let selector = selector.as_object().expect("labels to match");
                let matching: Vec<_> = pods
                    .iter()
                    .filter(|(_, labels)| selector.iter().all(|(label, value)| labels.get(label) == Some(value)))
                    .map(|(name, _)| name.as_str().unwrap_or_default())
                    .collect();
                assert_eq!(matching, [object["metadata"]["name"].as_str().expect("a name")], "{name}: {kind}");
                selected.extend(matching.into_iter().map(str::to_owned));
            }
            assert_eq!(selected.len(), pods.len(), "{name}: {kind}");
        }
    }
}

#[test]
fn labels_are_the_usual_ones_and_short_enough() {
    for (name, objects) in all() {
        for object in &objects.0 {
            let labels =
                object["metadata"]["labels"].as_object().unwrap_or_else(|| panic!("{name}: no labels: {object}"));
            for label in [
                "app.kubernetes.io/name",
                "app.kubernetes.io/instance",
                "app.kubernetes.io/managed-by",
                "app.kubernetes.io/version",
            ] {
                assert!(labels.contains_key(label), "{name}: {} without {label}", object["kind"]);
            }
            for value in labels.values() {
                assert!(value.as_str().expect("a text").len() <= 63, "{name}: {value}");
            }
        }
    }
}

/// A changed mapping is taken over by the running process. A changed token is not, and needs `kubectl rollout restart`:
/// what tells one token from another would have to stand in the pod, where more people read than in a Secret.
#[test]
fn pods_tell_nothing_of_a_mapping_or_a_token() {
    let template = |values: &[&str]| {
        let base = Values::default()
            .set(&["ingest.http.enabled=true", "ingest.http.tokenValue=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
            .json(r#"mappings.device.content="{}""#);
        base.set(values).objects().get("Deployment", "rel-normalize")["spec"]["template"].clone()
    };
    let other =
        Values::default().set(&["ingest.http.enabled=true", "ingest.http.tokenValue=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    let other = other.json(r#"mappings.device.content="{\"template\": []}""#).objects();
    assert_eq!(template(&[]), other.get("Deployment", "rel-normalize")["spec"]["template"]);
    assert_eq!(template(&[]), template(&["ingest.http.tokenValue=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]));
}

/// What a pod may reach without DNS, as `port`, `cidr:port`, or `namespace:port`, where `null` is every port.
fn egress(objects: &Objects, workload: &str) -> String {
    let rules = objects.get("NetworkPolicy", workload)["spec"]["egress"].as_array().expect("rules").clone();
    let mut reached: Vec<String> = Vec::new();
    for rule in rules.iter().filter(|rule| rule["ports"][0]["port"] != 53) {
        let peers = match rule["to"].as_array() {
            None => vec![String::new()],
            Some(peers) => peers
                .iter()
                .map(|peer| {
                    let labels = &peer["namespaceSelector"]["matchLabels"];
                    let namespace = labels["kubernetes.io/metadata.name"].as_str();
                    let peer = namespace.or(peer["ipBlock"]["cidr"].as_str());
                    format!("{}:", peer.expect("a namespace or a block of addresses"))
                })
                .collect(),
        };
        for to in peers {
            reached.extend(rule["ports"].as_array().into_iter().flatten().map(|port| format!("{to}{}", port["port"])));
        }
    }
    reached.join(" ")
}

#[test]
fn pods_reach_what_their_addresses_name_and_nothing_else() {
    let cases = [
        (Values::default(), "rel-normalize", "443 5671"),
        (Values::default(), "rel-convert-fhir", "443 5671"),
        (Values::example("destinations"), "rel-convert-ward", "443 5671 8080 ward:null"),
        (Values::example("destinations"), "rel-convert-research", "443 5671 8443"),
        (Values::example("sas"), "rel-normalize", "10000 443 5671 5672"),
        (Values::example("aad-pod-identity"), "rel-normalize", "443 5671 169.254.169.254/32:80"),
        (Values::example("full"), "ward-normalize-e2", "4318 443 5671 observability:8080 10.1.2.0/24:8200"),
        (Values::example("full"), "rel-convert-partner", "4318 443 5671 9443 observability:8080 10.1.2.0/24:8200"),
    ];
    for (values, workload, expected) in cases {
        assert_eq!(egress(&values.objects(), workload), expected, "{workload} {values:?}");
    }
}

/// Policies see a Service's request with the port of the pod that it went to, such as 8080 for the Service 80 of
/// `helm/fhir-service`.
#[test]
fn pods_of_services_are_reached_on_their_own_ports() {
    let cases = [
        ("http://fhir", "443 5671 80 iot:null"),
        ("http://fhir:81/r4", "443 5671 81 iot:null"),
        ("http://fhir.ward.svc/r4", "443 5671 80 ward:null"),
        ("http://FHIR.Ward.svc.cluster.local", "443 5671 80 ward:null"),
        ("http://fhir-0.fhir.ward.svc.cluster.local.:8080", "443 5671 80 8080 ward:null"),
        // None of the cluster.
        ("http://localhost", "443 5671 80"),
        ("http://10.0.0.1", "443 5671 80"),
        ("http://[fd00::1]:8080", "443 5671 8080"),
        ("https://fhir.contoso.com", "443 5671"),
        // Public names have two labels too.
        ("https://contoso.health", "443 5671"),
        ("http://fhir.ward", "443 5671 80"),
        ("http://fhir.cluster.local", "443 5671 80"),
        ("http://ward.svc", "443 5671 80"),
        ("https://ward.svc.contoso.com", "443 5671"),
    ];
    for (url, expected) in cases {
        let destination = format!(r#"destinations=[{{"name": "fhir", "fhir": {{"url": "{url}"}}}}]"#);
        let values = Values::default().json(&destination);
        // 80 is there for a Service that is another name of something outside.
        let expected = if url.ends_with(":8080") { expected.replace(" 80 ", " ") } else { expected.to_owned() };
        assert_eq!(egress(&values.objects(), "rel-convert-fhir"), expected, "{url}");
        let narrow = values.json("networkPolicy.podPorts=[8080, 8443]").objects();
        let expected = match expected.split_once(':') {
            None => expected,
            Some((others, _)) => {
                let namespace = others.rsplit(' ').next().unwrap_or_default();
                format!("{others}:8080 {namespace}:8443")
            }
        };
        assert_eq!(egress(&narrow, "rel-convert-fhir"), expected, "{url}");
    }
}

#[test]
fn pods_let_in_metrics_and_ingest_only() {
    let ingress = |values: &Values, workload: &str| {
        let objects = values.objects();
        let policy = &objects.get("NetworkPolicy", workload)["spec"];
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
        let rules = policy["ingress"].as_array().expect("rules").iter();
        rules.map(|rule| rule["ports"][0]["port"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let ingest = Values::example("ingest");
    assert_eq!(ingress(&Values::default(), "rel-normalize"), "metrics");
    assert_eq!(ingress(&ingest, "rel-normalize"), "metrics http");
    assert_eq!(ingress(&ingest, "rel-convert-fhir"), "metrics");
    let silent = Values::default().set(&["telemetry.prometheus.enabled=false"]);
    assert_eq!(ingress(&silent, "rel-normalize"), "");
}

#[test]
fn ingest_has_its_service_ingress_and_token() {
    let objects = Values::example("ingest")
        .set(&["ingest.http.token=null", "ingest.http.tokenValue=0123456789abcdef0123456789abcdef"])
        .objects();
    let service = &objects.get("Service", "rel-ingest")["spec"];
    let ingress = &objects.get("Ingress", "rel-ingest")["spec"];
    assert_eq!(service["ports"][0]["targetPort"], "http");
    assert_eq!(service["selector"]["iot-connector/workload"], "rel-normalize");
    assert_eq!(ingress["tls"][0], json!({ "hosts": ["ingest.contoso.example"], "secretName": "ingest-tls" }));
    let path = &ingress["rules"][0]["http"]["paths"][0];
    assert_eq!((&path["path"], &path["backend"]["service"]["name"]), (&json!("/api/ingest"), &json!("rel-ingest")));
    assert_eq!(objects.get("Secret", "rel-ingest")["stringData"]["token"], "0123456789abcdef0123456789abcdef");
    let env = container(objects.get("Deployment", "rel-normalize"))["env"].as_array().expect("an environment");
    let token = env.iter().find(|variable| variable["name"] == "Ingest__Token").expect("normalize has the token");
    assert_eq!(token["valueFrom"]["secretKeyRef"], json!({ "name": "rel-ingest", "key": "token" }));
    assert_eq!(Values::default().objects().kind("Service").count(), 0);
}
