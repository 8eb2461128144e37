//! The operator may do what it needs, and nothing else: what the API server
//! noted of it is laid beside the rules of `helm/platform`.

use std::collections::BTreeSet;

use end_to_end::process::free_port;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use serde_json::{Value, json};

use crate::site::{LIMIT, SYSTEM, Site, WARD, connector, path};

const USER: &str = "system:serviceaccount:iot-connector-system:iot-connector-operator";

/// What no cluster of a test serves: Secrets Store CSI driver, AAD Pod Identity
/// and the Prometheus operator. Their rules are those of the other kinds.
const NOT_SERVED: [&str; 3] = ["secrets-store.csi.x-k8s.io", "aadpodidentity.k8s.io", "monitoring.coreos.com"];

/// Group, resource with subresource, and verb.
type Right = (String, String, String);

#[test]
fn nothing_is_forbidden_and_nothing_is_spare() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
    let rule = json!({"level": "Metadata", "users": [USER], "omitStages": ["RequestReceived", "ResponseStarted"]});
    let text = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule, {"level": "None"}]});
    std::fs::write(&policy, text.to_string()).unwrap();
    let flags = [
        format!("--audit-policy-file={}", path(&policy)),
        format!("--audit-log-path={}", path(&log)),
        // Asks for the right to be an owner whose deletion waits.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let site = Site::start(&flags, &json!({"lag": {"enabled": true}}));
    live(&site);

    let noted: Vec<Value> =
        std::fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let forbidden: Vec<&Value> = noted.iter().filter(|event| event["responseStatus"]["code"] == 403).collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
    let used: BTreeSet<Right> = noted.iter().filter_map(right).collect();
    let spare: Vec<Right> = given(&site).into_iter().filter(|right| !used.contains(right)).collect();
    let is_known = |(group, resource, verb): &Right| {
        // Asked for by admission on behalf of the operator, not by a request of its own.
        NOT_SERVED.contains(&group.as_str()) || resource.ends_with("/finalizers") && verb == "update"
    };
    let spare: Vec<Right> = spare.into_iter().filter(|right| !is_known(right)).collect();
    assert!(spare.is_empty(), "rights that were not used: {spare:#?}");
}

/// Everything that the operator does: all kinds, made, changed and pruned, and
/// the lag, whose reading fails for want of Azure after it asked the cluster.
fn live(site: &Site) {
    let port = free_port();
    let lag = [
        ("LAG_LISTEN_ADDRESS", format!("127.0.0.1:{port}")),
        ("LAG_URL", format!("https://localhost:{port}")),
    ];
    let lag: Vec<(&str, &str)> = lag.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut operator = site.operator("operator-1", &lag);
    site.wait_leads(&mut operator, LIMIT);
    site.plane.kubectl(&["-n", WARD, "create", "secret", "generic", "ingest", "--from-literal=token=t"]).unwrap();
    let mut full = connector("c1");
    full["spec"]["scaling"] = json!({"source": "operator"});
    full["spec"]["ingest"] = json!({"http": {
        "enabled": true, "host": "ingest.example.com", "tlsSecretName": "tls",
        "token": {"secretName": "ingest", "secretKey": "token"},
    }});
    site.apply(&full);
    site.wait_condition("c1", "Applied", "Applied");
    asks_for_the_lag(site, port);

    // The same with less, so that each kind is pruned.
    let mut less = connector("c1");
    less["spec"]["scaling"] = json!({"enabled": false});
    less["spec"]["mappings"]["device"] = json!({"blob": "devicecontent.json"});
    less["spec"]["serviceAccount"] = json!({"create": false, "name": "default"});
    less["spec"]["source"]["epoch"] = json!(2);
    site.apply(&less);
    for kind in ["scaledobjects", "triggerauthentications", "secrets", "ingresses", "services", "serviceaccounts", "configmaps"] {
        end_to_end::poll::until(kind, LIMIT, || site.names(kind).is_empty().then_some(()));
    }
    let fhir = json!({
        "apiVersion": "iotconnector.health/v1alpha1", "kind": "Fhir", "metadata": {"name": "f1", "namespace": WARD},
        "spec": {"authentication": {"enabled": false}},
    });
    site.apply(&fhir);
    end_to_end::poll::until("the FHIR server is made", LIMIT, || site.names("deployments").contains(&"f1".to_owned()).then_some(()));
    // An event that comes again is a series, which is a patch.
    for spec in [json!({"replicas": 2}), json!({"replicas": 3})] {
        let mut bad = fhir.clone();
        bad["spec"] = json!({"authentication": {"enabled": true}, "replicas": spec["replicas"]});
        site.apply(&bad);
        site.plane.kubectl(&["-n", WARD, "wait", "fhir/f1", "--for=condition=Ready=False", "--timeout=60s"]).unwrap();
        let mut good = fhir.clone();
        good["spec"]["replicas"] = spec["replicas"].clone();
        site.apply(&good);
        site.plane.kubectl(&["-n", WARD, "wait", "fhir/f1", "--for=condition=Rendered=True", "--timeout=60s"]).unwrap();
    }
    // The Lease is renewed, and given back.
    end_to_end::process::signal(operator.pid(), "TERM");
    assert!(operator.wait(LIMIT).success(), "{}", operator.printed());
}

fn asks_for_the_lag(site: &Site, port: u16) {
    let token = site.plane.kubectl(&[
        "-n", WARD, "get", "secret", "-l", "app.kubernetes.io/managed-by=iot-connector-operator",
        "-o", "jsonpath={.items[0].data.token}",
    ]);
    let token = site.plane.block_on(async { decode(&token.unwrap()) });
    let url = format!("https://localhost:{port}/lag/v1/namespaces/{WARD}/workloads/c1-normalize");
    let ca = site.plane.kubectl(&["-n", SYSTEM, "get", "secret", "iot-connector-operator-lag", "-o", "jsonpath={.data.ca\\.crt}"]);
    let ca = reqwest::Certificate::from_pem(decode(&ca.unwrap()).as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    let get = |token: String| {
        let request = client.get(&url).bearer_auth(token).send();
        site.plane.block_on(request).unwrap().status().as_u16()
    };
    assert_eq!(get("wrong".to_owned()), 401);
    // There is no Azure here: KEDA gets an error, and falls back.
    assert_eq!(get(token), 503);
}

fn decode(base64: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(base64.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn right(event: &Value) -> Option<Right> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reference = &event["objectRef"];
    let resource = match reference["subresource"].as_str() {
        Some(subresource) => format!("{}/{subresource}", text(&reference["resource"])),
        None => text(&reference["resource"]),
    };
    // A server-side apply that makes an object needs the right to create it.
    let is_made = event["verb"] == "patch" && event["responseStatus"]["code"] == 201;
    let verb = if is_made { "create".to_owned() } else { text(&event["verb"]) };
    (!resource.is_empty()).then(|| (text(&reference["apiGroup"]), resource, verb))
}

/// All that the rules give.
fn given(site: &Site) -> BTreeSet<Right> {
    let cluster: Api<ClusterRole> = Api::all(site.plane.client());
    let cluster = site.plane.block_on(cluster.get("iot-connector-operator")).unwrap();
    let own: Api<Role> = site.plane.api(SYSTEM);
    let own = site.plane.block_on(own.get("iot-connector-operator-replicas")).unwrap();
    let rules = cluster.rules.unwrap_or_default().into_iter().chain(own.rules.unwrap_or_default());
    rules.flat_map(|rule: PolicyRule| {
        let groups = rule.api_groups.unwrap_or_default();
        let resources = rule.resources.unwrap_or_default();
        assert!(!groups.iter().chain(&resources).chain(&rule.verbs).any(|name| name == "*"), "a wildcard");
        let mut rights = Vec::new();
        for group in &groups {
            for resource in &resources {
                rights.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
            }
        }
        rights
    })
    .collect()
}
