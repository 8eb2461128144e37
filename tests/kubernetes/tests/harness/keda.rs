//! KEDA scales by what a pod says.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kubernetes_tests::Keda;
use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, is_ready, pod, restricted, start};

/// A Deployment of our program that nobody has scaled.
fn deployment() -> Value {
    let pod = pod("worker", |_| {});
    let template = json!({"metadata": {"labels": {"app": "worker"}}, "spec": pod["spec"]});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": "worker"}}, "template": template});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"}, "spec": spec})
}

fn scaled_object(name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"name": "worker"}, "pollingInterval": 1, "cooldownPeriod": 2, "maxReplicaCount": 4,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
            "triggers": [{"type": "metrics-api", "metadata": {"url": url, "valueLocation": "waiting", "targetValue": "2"}}],
        },
    })
}

/// Says how much is waiting.
fn say(cluster: &Cluster, waiting: u32) {
    let data = json!({"waiting": json!({"waiting": waiting}).to_string()});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
    cluster.plane.apply("keda-scales", &map.to_string()).expect("it is taken");
}

#[test]
fn keda_scales_from_zero_and_back() {
    let cluster = restricted("keda-scales");
    let _keda = Keda::start(&cluster.plane);
    say(cluster, 0);
    let source = pod("source", |spec| {
        spec["volumes"] = json!([{"name": "m", "configMap": {"name": "m"}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "m", "mountPath": "/m"}]);
    });
    start(cluster, "keda-scales", &source);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "source"},
        "spec": {"selector": {"app": "source"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    cluster.plane.apply("keda-scales", &service.to_string()).unwrap();
    cluster.plane.apply("keda-scales", &deployment().to_string()).unwrap();
    let object = scaled_object("worker", "http://source.keda-scales.svc/file?/m/waiting");
    cluster.plane.apply("keda-scales", &object.to_string()).unwrap();

    // The webhook is there. It looks at what KEDA has seen.
    let ready = ["-n", "keda-scales", "wait", "scaledobject/worker", "--for=condition=Ready", "--timeout=180s"];
    cluster.plane.kubectl(&ready).unwrap();
    let error = cluster.plane.apply("keda-scales", &scaled_object("second", "http://127.0.0.1/").to_string());
    let error = error.expect_err("two that scale one are refused").to_string();
    assert!(error.contains("is already managed by"), "{error}");

    say(cluster, 8);
    cluster.plane.wait_list::<Pod, ()>("keda-scales", "app=worker", "four that run", LIMIT, |pods| {
        (pods.len() == 4 && pods.iter().all(is_ready)).then_some(())
    });
    say(cluster, 0);
    cluster
        .plane
        .wait_list::<Pod, ()>("keda-scales", "app=worker", "none", LIMIT, |pods| pods.is_empty().then_some(()));
    cluster.plane.wait::<Deployment>("keda-scales", "worker", "is at zero", LIMIT, |deployment| {
        deployment.spec.replicas == Some(0)
    });
}
