//! What a cluster says of a workload. Pure.

use custom_resources::{IotConnector, Status};
use k8s_openapi::api::apps::v1::Deployment;

use crate::documents::KubernetesObject;
use crate::ports::WorkloadStatus;

/// A workload in the words of its connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What its Deployment is called: normalize's has the epoch in its name.
    pub deployment: String,
    /// Its uid, once it is made.
    pub uid: Option<String>,
    /// Whether the resource asks for it, or the operator still has it.
    pub is_wanted: bool,
    /// Whether the operator says that it is as it was last asked for, and well.
    pub is_ready: bool,
}

/// What a connector says of a workload.
pub fn seen(connector: &IotConnector, name: &str) -> Seen {
    let own = |workload: &Option<String>| workload.as_deref() == Some(name);
    let is_normalize = connector.spec.normalize.as_ref().is_some_and(|normalize| own(&normalize.workload_name));
    let is_destination = connector.spec.destinations.iter().any(|destination| own(&destination.workload_name));
    let nothing = Status::default();
    let status = connector.status.as_ref().unwrap_or(&nothing);
    let of_it = |kind: &str, called: &str| called == name || is_normalize && kind == "normalize";
    let entry = status.workloads.iter().find(|workload| of_it(&workload.kind, &workload.name));
    let is_observed =
        status.observed_generation.is_some() && status.observed_generation == connector.metadata.generation;
    // Else the workloads are those of a spec before.
    let is_applied = |kind: &str| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind);
        condition.is_some_and(|condition| condition.status == "True")
    };
    let is_current = is_observed && is_applied("Rendered") && is_applied("Applied");
    Seen {
        deployment: entry.map_or_else(|| name.to_owned(), |workload| workload.name.clone()),
        uid: entry.and_then(|workload| workload.uid.clone()),
        is_wanted: is_normalize || is_destination || entry.is_some(),
        is_ready: is_current && entry.is_some_and(|workload| workload.ready),
    }
}

/// The same with what its Deployment says: ready only when no pod of an earlier
/// template is left, so that what was asked for is what runs.
pub fn status(seen: &Seen, deployment: Option<&Deployment>) -> WorkloadStatus {
    let uid = deployment.and_then(|deployment| deployment.metadata.uid.clone());
    let is_rolled_out = deployment.is_some_and(is_rolled_out);
    WorkloadStatus {
        is_ready: seen.is_ready && is_rolled_out && uid == seen.uid,
        object: KubernetesObject { uid: uid.unwrap_or_default(), name: seen.deployment.clone() },
    }
}

fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let is_observed = status.observed_generation >= deployment.metadata.generation;
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let least = deployment.spec.replicas.unwrap_or(1).min(1);
    is_observed && all == updated && status.available_replicas.unwrap_or(0) >= least
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn connector(status: Value) -> IotConnector {
        let connector = json!({
            "apiVersion": "iotconnector.health/v1alpha1", "kind": "IotConnector",
            "metadata": { "name": "iotn-a", "generation": 2 },
            "spec": {
                "source": { "epoch": 2, "eventHub": {
                    "fullyQualifiedNamespace": "a", "name": "h", "consumerGroup": "$default", "partitionCount": 1,
                } },
                "internalHub": { "eventHub": { "fullyQualifiedNamespace": "b", "name": "i", "partitionCount": 1 } },
                "storage": { "accountName": "abc" }, "mappings": { "device": { "blob": "d" } },
                "normalize": { "workloadName": "iotn-a" },
                "destinations": [{
                    "name": "iotd-b", "workloadName": "iotd-b", "mapping": { "blob": "f" }, "fhir": { "url": "https://f" },
                }],
                "identity": {},
            },
            "status": status,
        });
        serde_json::from_value(connector).expect("a connector")
    }

    fn reported(generation: i64, applied: &str, ready: bool) -> Value {
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        json!({
            "observedGeneration": generation,
            "conditions": [condition("Rendered", "True"), condition("Applied", applied)],
            "workloads": [
                { "kind": "normalize", "name": "iotn-a-e2", "uid": "u1", "ready": ready },
                { "kind": "group-convert", "destination": "iotd-c", "name": "iotd-c", "uid": "u2", "ready": true },
            ],
        })
    }

    fn deployment(uid: &str, replicas: [i32; 4]) -> Deployment {
        let [wanted, all, updated, available] = replicas;
        let deployment = json!({
            "metadata": { "name": "d", "uid": uid, "generation": 3 },
            "spec": { "replicas": wanted, "selector": {}, "template": {} },
            "status": {
                "observedGeneration": 3, "replicas": all, "updatedReplicas": updated, "availableReplicas": available,
            },
        });
        serde_json::from_value(deployment).expect("a Deployment")
    }

    #[test]
    fn finds_a_workload_by_what_it_is() {
        let live = connector(reported(2, "True", true));
        let summary = |name: &str| {
            let seen = seen(&live, name);
            (seen.deployment, seen.uid.unwrap_or_default(), seen.is_wanted, seen.is_ready)
        };
        assert_eq!(summary("iotn-a"), ("iotn-a-e2".to_owned(), "u1".to_owned(), true, true), "with its epoch");
        assert_eq!(summary("iotd-b"), ("iotd-b".to_owned(), String::new(), true, false), "asked for, not made yet");
        assert_eq!(summary("iotd-c"), ("iotd-c".to_owned(), "u2".to_owned(), true, true), "not gone yet");
        assert_eq!(summary("iotd-d"), ("iotd-d".to_owned(), String::new(), false, false), "nobody's");
    }

    #[test]
    fn is_ready_only_as_it_was_last_asked_for() {
        let is_ready = |status: Value| seen(&connector(status), "iotn-a").is_ready;
        assert!(is_ready(reported(2, "True", true)));
        assert!(!is_ready(reported(1, "True", true)), "an older generation");
        assert!(!is_ready(reported(2, "False", true)), "not applied");
        assert!(!is_ready(reported(2, "True", false)), "not well");
        assert!(!is_ready(json!({})), "nothing is known");
    }

    #[test]
    fn is_ready_when_no_older_pod_is_left() {
        let ready = Seen { deployment: "d".to_owned(), uid: Some("u".to_owned()), is_wanted: true, is_ready: true };
        let cases = [
            ("one that runs", "u", [1, 1, 1, 1], true),
            ("at zero", "u", [0, 0, 0, 0], true),
            ("an older pod beside it", "u", [1, 2, 1, 2], false),
            ("an older pod alone", "u", [1, 1, 0, 1], false),
            ("none is available", "u", [1, 1, 1, 0], false),
            ("one of several", "u", [3, 3, 3, 1], true),
            ("another object of that name", "v", [1, 1, 1, 1], false),
        ];
        for (name, uid, replicas, expected) in cases {
            assert_eq!(status(&ready, Some(&deployment(uid, replicas))).is_ready, expected, "{name}");
        }
        assert!(!status(&ready, None).is_ready);
        assert!(!status(&Seen { is_ready: false, ..ready }, Some(&deployment("u", [1, 1, 1, 1]))).is_ready);
    }
}
