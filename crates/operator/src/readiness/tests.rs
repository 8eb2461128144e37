use serde_json::json;

use super::*;
use crate::manifest;

const TEXT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\n  labels: {app.kubernetes.io/component: group-convert, iot-connector/destination: fhir}\n---\napiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: s}\n";

fn deployment(replicas: Option<i64>, observed: i64, conditions: Value) -> Value {
    let mut live = json!({
        "metadata": {"generation": 2, "uid": "u"},
        "spec": {},
        "status": {"observedGeneration": observed, "conditions": conditions, "availableReplicas": 1},
    });
    if let Some(replicas) = replicas {
        live["spec"]["replicas"] = json!(replicas);
    }
    live
}

fn scaled_object(status: Option<&str>) -> Value {
    let conditions = status.map(|status| json!([{"type": "Ready", "status": status, "message": "why"}]));
    json!({"spec": {"scaleTargetRef": {"name": "d"}}, "status": {"conditions": conditions}})
}

#[test]
fn says_whether_a_workload_is_ready() {
    let available = json!([{"type": "Available", "status": "True"}]);
    let unavailable = json!([{"type": "Available", "status": "False", "message": "has no minimum availability"}]);
    let stuck = json!([
        {"type": "Progressing", "status": "False", "message": "timed out"},
        {"type": "Available", "status": "True"},
    ]);
    let cases = [
        ("available", deployment(Some(1), 2, available.clone()), Some("True"), None),
        ("available, without KEDA", deployment(None, 2, available.clone()), None, None),
        (
            "an older generation",
            deployment(Some(1), 1, available.clone()),
            Some("True"),
            Some("its newest generation is not observed yet"),
        ),
        ("unavailable", deployment(Some(1), 2, unavailable), Some("True"), Some("has no minimum availability")),
        ("new", deployment(Some(1), 2, json!([])), Some("True"), Some("nothing of it is available yet")),
        ("stuck while it is replaced", deployment(Some(2), 2, stuck), Some("True"), Some("timed out")),
        ("scaled to zero", deployment(Some(0), 2, available.clone()), Some("True"), None),
        (
            "at zero, and KEDA cannot read",
            deployment(Some(0), 2, available.clone()),
            Some("False"),
            Some("it has no replicas, and its ScaledObject is not ready"),
        ),
        ("at zero by hand", deployment(Some(0), 2, available), None, Some("it has no replicas, and nothing scales it")),
    ];
    let manifests = manifest::read(TEXT, "ns1", 1).unwrap();
    for (name, live, scaler, expected) in cases {
        let mut applied = vec![Applied { manifest: &manifests[0], live }];
        if scaler.is_some() {
            applied.push(Applied { manifest: &manifests[1], live: scaled_object(scaler) });
        }
        let found = workloads(&applied);
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].message.as_deref(), expected, "{name}");
        assert_eq!(found[0].ready, expected.is_none(), "{name}");
        assert_eq!(
            (found[0].kind.as_str(), found[0].destination.as_deref()),
            ("group-convert", Some("fhir")),
            "{name}"
        );
    }
}

#[test]
fn what_is_suspended_is_ready_when_nothing_runs() {
    let text = TEXT.replace("---\n", "spec: {replicas: 0}\n---\n");
    let manifests = manifest::read(&text, "ns1", 1).unwrap();
    let unavailable = json!([{"type": "Available", "status": "False"}]);
    let live = |replicas: i64, running: i64| {
        let mut live = deployment(Some(replicas), 2, unavailable.clone());
        live["status"]["replicas"] = json!(running);
        live
    };
    let runs = Some("it is suspended, and some of it still runs");
    let cases = [
        ("at zero", live(0, 0), None),
        ("at zero soon", live(0, 1), runs),
        ("scaled by somebody", live(1, 0), runs),
        ("an older generation", deployment(Some(0), 1, json!([])), Some("its newest generation is not observed yet")),
    ];
    for (name, live, expected) in cases {
        let found = workloads(&[Applied { manifest: &manifests[0], live }]);
        assert_eq!(found[0].message.as_deref(), expected, "{name}");
    }
}

#[test]
fn says_whether_keda_can_scale() {
    let manifests = manifest::read(TEXT, "ns1", 1).unwrap();
    let verdict = |statuses: &[Option<&str>]| {
        let live = statuses.iter().map(|status| Applied { manifest: &manifests[1], live: scaled_object(*status) });
        scaling(&live.collect::<Vec<_>>()).map(|verdict| (verdict.status, verdict.message))
    };
    let waits = "ScaledObject `s`: KEDA has not looked at it yet".to_owned();
    assert_eq!(verdict(&[]), None);
    assert_eq!(verdict(&[Some("True")]), Some(("True", String::new())));
    assert_eq!(verdict(&[Some("True"), None]), Some(("Unknown", waits)));
    assert_eq!(verdict(&[None, Some("False")]), Some(("False", "ScaledObject `s`: why".to_owned())));
}
