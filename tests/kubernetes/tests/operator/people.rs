//! What `helm/platform` leaves when it goes, who takes it over, and what people may do with it.

use kubernetes_tests::Helm;

use crate::site::{LIMIT, SYSTEM, Site, WARD, connector};

#[test]
fn people_of_a_namespace_use_the_resources_and_another_release_takes_them_over() {
    let site = Site::start(&[], &serde_json::json!({}));
    let kubectl = |arguments: &[&str]| site.plane.kubectl(arguments);

    // By the ClusterRoles of Kubernetes, which its controller puts together.
    for role in ["edit", "view"] {
        let (cluster_role, user) = (format!("--clusterrole={role}"), format!("--user={role}er"));
        kubectl(&["-n", WARD, "create", "rolebinding", role, &cluster_role, &user]).unwrap();
    }
    // Exit code 1 is a no.
    let may = |user: &str, verb: &str, resource: &str| {
        kubectl(&["-n", WARD, "auth", "can-i", verb, resource, "--as", user]).is_ok_and(|said| said.trim() == "yes")
    };
    end_to_end::poll::until("the roles are put together", LIMIT, || {
        (may("editer", "create", "iotconnectors.iotconnector.health")
            && may("viewer", "list", "fhirs.iotconnector.health"))
        .then_some(())
    });
    assert!(may("editer", "delete", "fhirs.iotconnector.health"));
    assert!(!may("viewer", "create", "iotconnectors.iotconnector.health"));
    assert!(!may("viewer", "get", "secrets") && !may("editer", "update", "customresourcedefinitions"));

    // Custom resources stay behind, and are another release's.
    site.apply(&connector("c1"));
    let uid = || kubectl(&["-n", WARD, "get", "iotconnector/c1", "-o", "jsonpath={.metadata.uid}"]).unwrap();
    let before = uid();
    Helm::new(&site.plane, SYSTEM).uninstall("platform").unwrap();
    site.plane.make_namespace("platform", &[]);
    let other = Helm::new(&site.plane, "platform");
    let refused = other.install("operators", "helm/platform", "{}").unwrap_err().to_string();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    other.run(&["install", "operators", "helm/platform", "--take-ownership"]).unwrap();
    assert_eq!(uid(), before);
    let deployment = ["-n", "platform", "get", "deployment/iot-connector-operator", "-o", "name"];
    assert_eq!(kubectl(&deployment).unwrap().trim(), "deployment.apps/iot-connector-operator");
}
