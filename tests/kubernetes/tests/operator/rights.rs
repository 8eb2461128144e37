//! The operator may do what it needs, and nothing else: what the API server
//! noted of it is laid beside the rules of `helm/platform`.

use std::collections::BTreeSet;
use std::path::Path;

use end_to_end::hub::EventHub;
use end_to_end::poll::try_until;
use end_to_end::process::free_port;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kubernetes_tests::Helm;
use serde_json::{Value, json};

use crate::lag::{self, Asking, secret};
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
    let site = Site::start(&flags, &json!({"lag": {"enabled": true, "everywhere": true}}));
    live(&site);

    let given = given(&site);
    let is_known = |(group, resource, verb): &Right| {
        // Asked for by admission on behalf of the operator, not by a request of its own.
        NOT_SERVED.contains(&group.as_str()) || resource.ends_with("/finalizers") && verb == "update"
    };
    // A watch is noted when it has ended, which the API server sees after the operator.
    let mut spare = Vec::new();
    let all_used = try_until(LIMIT, || {
        let noted = noted(&log);
        let forbidden: Vec<&Value> = noted.iter().filter(|event| event["responseStatus"]["code"] == 403).collect();
        assert!(forbidden.is_empty(), "{forbidden:#?}");
        let used: BTreeSet<Right> = noted.iter().filter_map(right).collect();
        spare = given.iter().filter(|right| !used.contains(right) && !is_known(right)).collect();
        spare.is_empty().then_some(())
    });
    assert!(all_used.is_some(), "rights that were not used: {spare:#?}");
}

/// What the audit log has; a line that is being written is left out.
fn noted(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    let (lines, _) = text.rsplit_once('\n').unwrap_or_default();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rights on Secrets follow the switch, and what was made with them goes when
/// they are back.
#[test]
fn without_the_lag_it_may_do_nothing_with_secrets() {
    let site = Site::start(&[], &json!({"lag": {"enabled": true, "everywhere": true}}));
    let port = free_port();
    let flags = lag::flags(port);
    let flags: Vec<(&str, &str)> = flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut operator = site.operator("with-lag", &flags);
    let mut resource = connector("c1");
    resource["spec"]["scaling"] = json!({"source": "operator"});
    site.apply(&resource);
    site.wait_condition("c1", "Applied", "Applied");
    assert_eq!(site.names("secrets"), ["c1-scaling"]);
    operator.kill();

    let platform = Helm::new(&site.plane, SYSTEM);
    let may = |verb: &str| {
        let user = format!("--as={USER}");
        // An answer of no is an exit code too.
        site.plane.kubectl(&["-n", WARD, "auth", "can-i", verb, "secrets", &user]).is_ok()
    };
    assert!(may("get") && may("create") && may("patch") && may("delete"));
    platform.upgrade("platform", "helm/platform", &json!({"lag": {"enabled": false}}).to_string()).unwrap();
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
        end_to_end::poll::until(verb, LIMIT, || (!may(verb)).then_some(()));
    }
    let mut operator = site.operator("without-lag", &[]);
    site.apply(&connector("c1"));
    let status = site.wait_condition("c1", "Applied", "Applied").status.unwrap();
    assert!(status.inventory.iter().any(|item| item.kind == "Secret" && item.name == "c1-scaling"), "it is remembered");
    assert_eq!(site.names("secrets"), ["c1-scaling"]);
    operator.kill();

    platform
        .upgrade("platform", "helm/platform", &json!({"lag": {"enabled": true, "everywhere": true}}).to_string())
        .unwrap();
    let _operator = site.operator("with-lag-again", &flags);
    end_to_end::poll::until("the Secret is pruned", LIMIT, || site.names("secrets").is_empty().then_some(()));
}

/// Everything that the operator does: all kinds, made, changed and pruned, and
/// the lag, whose reading fails for want of Azure after it asked the cluster.
fn live(site: &Site) {
    let port = free_port();
    let flags = lag::flags(port);
    let flags: Vec<(&str, &str)> = flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut operator = site.operator("operator-1", &flags);
    site.wait_leads(&mut operator, LIMIT);
    site.plane.kubectl(&["-n", WARD, "create", "secret", "generic", "ingest", "--from-literal=token=t"]).unwrap();
    let hub = EventHub::start(&site.file("hubs"), &["devicedata", "nd-1"], 1);
    let mut full = lag::local("c1", &hub);
    full["spec"]["ingest"] = json!({"http": {
        "enabled": true, "host": "ingest.example.com", "tlsSecretName": "tls",
        "token": {"secretName": "ingest", "secretKey": "token"},
    }});
    site.apply(&full);
    site.wait_condition("c1", "Applied", "Applied");
    // The positions are opened as the connector: its ServiceAccount's token is
    // asked for. There is no Azure to exchange it, so KEDA gets an error.
    let (asking, token) = (Asking::new(site, port), secret(site, WARD, "c1-scaling", "token"));
    assert_eq!(asking.ask(site, "c1-normalize", &token), (503, None));

    // The same with less, so that each kind is pruned.
    let mut less = connector("c1");
    less["spec"]["scaling"] = json!({"enabled": false});
    less["spec"]["mappings"]["device"] = json!({"blob": "devicecontent.json"});
    less["spec"]["serviceAccount"] = json!({"create": false, "name": "default"});
    less["spec"]["source"]["epoch"] = json!(2);
    site.apply(&less);
    for kind in
        ["scaledobjects", "triggerauthentications", "secrets", "ingresses", "services", "serviceaccounts", "configmaps"]
    {
        end_to_end::poll::until(kind, LIMIT, || site.names(kind).is_empty().then_some(()));
    }
    let fhir = json!({
        "apiVersion": "iotconnector.health/v1alpha1", "kind": "Fhir", "metadata": {"name": "f1", "namespace": WARD},
        "spec": {"authentication": {"enabled": false}},
    });
    site.apply(&fhir);
    end_to_end::poll::until("the FHIR server is made", LIMIT, || {
        site.names("deployments").contains(&"f1".to_owned()).then_some(())
    });
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
    rules
        .flat_map(|rule: PolicyRule| {
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
