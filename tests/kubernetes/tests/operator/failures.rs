//! An API server that fails is said in the status, and what is made after that
//! is owned as if it had been there before.

use serde_json::{Value, json};

use crate::site::{LIMIT, Site, WARD, connector};

#[test]
fn an_admission_webhook_that_is_away_is_said() {
    let site = Site::start(&[], &json!({}));
    let mut operator = site.operator("operator-1", &[]);
    site.wait_leads(&mut operator, LIMIT);
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "away"},
        "webhooks": [{
            "name": "away.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"],
            }],
        }],
    });
    site.plane.apply(WARD, &hook.to_string()).unwrap();
    site.apply(&connector("c1"));
    let status = site.wait_condition("c1", "Applied", "ApplyFailed").status.unwrap();
    let applied = status.conditions.iter().find(|condition| condition.type_ == "Applied").unwrap();
    assert_eq!(applied.status, "Unknown");
    assert!(applied.message.contains("away.example.com"), "{}", applied.message);
    assert!(site.names("deployments").is_empty(), "what comes after it is not made");

    site.plane.kubectl(&["delete", "validatingwebhookconfiguration", "away"]).unwrap();
    site.wait_condition("c1", "Applied", "Applied");
    for object in ["configmap/c1-normalize-mapping", "deployment/c1-normalize", "serviceaccount/c1"] {
        end_to_end::poll::until(object, LIMIT, || (ours(&site, object) == ["Apply"]).then_some(()));
    }
}

/// How the operator wrote what it holds of an object.
fn ours(site: &Site, object: &str) -> Vec<String> {
    let text = site.plane.kubectl(&["-n", WARD, "get", object, "--show-managed-fields", "-o", "json"]).unwrap();
    let object: Value = serde_json::from_str(&text).unwrap();
    let held = object["metadata"]["managedFields"].as_array().unwrap();
    let ours = held.iter().filter(|entry| entry["manager"] == "iot-connector-operator");
    ours.map(|entry| entry["operation"].as_str().unwrap().to_owned()).collect()
}
