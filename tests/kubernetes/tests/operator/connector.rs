//! The life of a connector.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::json;

use crate::site::{LIMIT, Site, WARD, connector};

#[test]
fn lives_and_dies() {
    let site = Site::start(&[], &json!({}));
    let mut operator = site.operator("operator-1", &[]);
    site.wait_leads(&mut operator, LIMIT);

    // It is made, and ready once its pods are.
    let mut resource = connector("c1");
    site.apply(&resource);
    site.wait_condition("c1", "Ready", "WorkloadNotReady");
    for workload in ["c1-normalize", "c1-convert-fhir"] {
        site.make_ready(workload);
    }
    site.wait_condition("c1", "Ready", "WorkloadsReady");
    // Pods may run before KEDA has said that it scales them.
    let made = site.wait_condition("c1", "Scaling", "ScalersReady");
    let status = made.status.unwrap();
    let workloads: Vec<_> = status
        .workloads
        .iter()
        .map(|workload| {
            (
                workload.kind.as_str(),
                workload.destination.as_deref(),
                workload.name.as_str(),
                workload.uid.clone(),
                workload.ready,
            )
        })
        .collect();
    let expected = [
        ("group-convert", Some("fhir"), "c1-convert-fhir", Some(site.uid("c1-convert-fhir")), true),
        ("normalize", None, "c1-normalize", Some(site.uid("c1-normalize")), true),
    ];
    assert_eq!(workloads, expected);
    assert!(status.inventory.iter().all(|item| item.uid.is_some()), "{:?}", status.inventory);
    let printed = site.plane.kubectl(&["-n", WARD, "get", "iotc", "c1"]).unwrap();
    assert!(printed.contains("True") && printed.contains("WorkloadsReady"), "{printed}");

    // KEDA scales it to zero; that is no drift, and it stays ready.
    site.plane.kubectl(&["-n", WARD, "scale", "deployment", "c1-normalize", "--replicas=0"]).unwrap();
    site.plane.wait(
        WARD,
        "c1",
        "none of normalize runs, and all is well",
        LIMIT,
        |connector: &custom_resources::IotConnector| {
            let normalize = connector
                .status
                .iter()
                .flat_map(|status| &status.workloads)
                .find(|workload| workload.kind == "normalize");
            normalize.is_some_and(|workload| workload.replicas == 0 && workload.ready)
        },
    );
    site.make_scaler_ready("c1-normalize", "False");
    site.wait_condition("c1", "Scaling", "ScalerNotReady");
    site.wait_condition("c1", "Ready", "WorkloadNotReady");
    site.make_scaler_ready("c1-normalize", "True");
    site.wait_condition("c1", "Ready", "WorkloadsReady");

    drifts(&site);
    changes(&site, &mut resource);
    refuses(&site, &mut resource);

    // Deleted without the operator: owner references collect what it made.
    operator.kill();
    site.plane.kubectl(&["-n", WARD, "delete", "iotc", "c1", "--wait=true"]).unwrap();
    for workload in ["c1-normalize-e2", "c1-convert-fhir"] {
        site.plane.wait_gone::<Deployment>(WARD, workload, LIMIT);
    }
    site.plane.wait_gone::<ServiceAccount>(WARD, "c1", LIMIT);
    end_to_end::poll::until("the ScaledObjects are gone", LIMIT, || {
        site.names("scaledobjects").is_empty().then_some(())
    });
}

/// What somebody changed or took away by hand is put back.
fn drifts(site: &Site) {
    let kubectl = |arguments: &[&str]| site.plane.kubectl(&[&["-n", WARD], arguments].concat()).unwrap();
    kubectl(&["set", "image", "deployment/c1-normalize", "normalize=example.com/other:1"]);
    kubectl(&["delete", "networkpolicy", "c1-normalize"]);
    kubectl(&["delete", "scaledobject", "c1-convert-fhir"]);
    kubectl(&["label", "configmap", "c1-normalize-mapping", "app.kubernetes.io/managed-by-"]);
    site.plane.wait(WARD, "c1-normalize", "has its own image again", LIMIT, |deployment: &Deployment| {
        let pod = deployment.spec.template.spec.as_ref();
        pod.and_then(|pod| pod.containers.first()?.image.clone()).is_some_and(|image| image.contains("native"))
    });
    site.plane.wait(WARD, "c1-normalize", "is back", LIMIT, |_: &NetworkPolicy| true);
    site.plane.wait(WARD, "c1-normalize-mapping", "has its label again", LIMIT, |map: &ConfigMap| {
        map.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"))
    });
    end_to_end::poll::until("the ScaledObject is back", LIMIT, || {
        site.names("scaledobjects").contains(&"c1-convert-fhir".to_owned()).then_some(())
    });
    // What others own stays theirs: KEDA's replicas above all.
    let replicas = kubectl(&["get", "deployment", "c1-normalize", "-o", "jsonpath={.spec.replicas}"]);
    assert_eq!(replicas, "0");
}

/// Another hub is a new workload, and the old one goes after it is there; what
/// did not change is not touched.
fn changes(site: &Site, resource: &mut serde_json::Value) {
    let convert = site.uid("c1-convert-fhir");
    resource["spec"]["source"]["eventHub"]["name"] = json!("another");
    assert!(site.refused(resource).contains("another hub needs a higher epoch"));
    resource["spec"]["source"]["epoch"] = json!(2);
    site.apply(resource);
    site.plane.wait(WARD, "c1-normalize-e2", "is there", LIMIT, |_: &Deployment| true);
    site.plane.wait_gone::<Deployment>(WARD, "c1-normalize", LIMIT);
    site.plane.wait_gone::<NetworkPolicy>(WARD, "c1-normalize", LIMIT);
    assert_eq!(site.uid("c1-convert-fhir"), convert);
    let mut lowered = resource.clone();
    lowered["spec"]["source"]["epoch"] = json!(1);
    assert!(site.refused(&lowered).contains("epoch never goes back"));
}

/// What cannot be is said, and nothing running is touched for it.
fn refuses(site: &Site, resource: &mut serde_json::Value) {
    let uid = site.uid("c1-normalize-e2");
    let before = site.names("deployments");
    let mut twice = resource.clone();
    twice["spec"]["mappings"]["device"]["blob"] = json!("devicecontent.json");
    assert!(site.refused(&twice).contains("exactly one of blob, configMap and content"));

    let mut bad = resource.clone();
    bad["spec"]["settings"] = json!({"EventBatching__MaxEvents": "7"});
    site.apply(&bad);
    let refused = site.wait_condition("c1", "Ready", "InvalidSpec").status.unwrap();
    let rendered = refused.conditions.iter().find(|condition| condition.type_ == "Rendered").unwrap();
    assert!(rendered.message.contains("EventBatching__MaxEvents"), "helm's own text: {}", rendered.message);
    assert_eq!((site.names("deployments"), site.uid("c1-normalize-e2")), (before.clone(), uid.clone()));

    // A name that somebody else has is neither taken over nor pruned around.
    site.plane.kubectl(&["-n", WARD, "create", "configmap", "c1-convert-fhir-mapping"]).unwrap();
    resource["spec"]["destinations"][0]["mapping"] =
        json!({"content": "{\"templateType\": \"CollectionFhir\", \"template\": []}"});
    site.apply(resource);
    site.wait_condition("c1", "Applied", "NameTaken");
    let map = site.plane.wait(WARD, "c1-convert-fhir-mapping", "is there", LIMIT, |_: &ConfigMap| true);
    assert!(map.metadata.owner_references.is_none() && map.data.is_none(), "{map:?}");
    site.plane.kubectl(&["-n", WARD, "delete", "configmap", "c1-convert-fhir-mapping"]).unwrap();
    site.wait_condition("c1", "Applied", "Applied");
    assert_eq!((site.names("deployments"), site.uid("c1-normalize-e2")), (before, uid));
}
