//! What `helm/platform` leaves when it goes, who takes it over, and what people may do with it.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::PostParams;
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
    for role in ["edit", "view"] {
        let what = format!("the role {role} is put together");
        end_to_end::poll::until(&what, LIMIT, || has_our_group(&site, role).then_some(()));
    }
    let ours = "iotconnector.health";
    let may = |user: &str, verb: &str, group: &str, resource: &str| may(&site, user, (verb, group, resource));
    // The API server judges by a watch of its own.
    end_to_end::poll::until("the roles are in force", LIMIT, || {
        (may("editer", "create", ours, "iotconnectors") && may("viewer", "list", ours, "fhirs")).then_some(())
    });
    assert!(may("editer", "delete", ours, "fhirs"));
    assert!(!may("viewer", "create", ours, "iotconnectors"));
    assert!(!may("viewer", "get", "", "secrets"));
    assert!(!may("editer", "update", "apiextensions.k8s.io", "customresourcedefinitions"));

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

/// Whether a ClusterRole of Kubernetes has rules of our group.
fn has_our_group(site: &Site, role: &str) -> bool {
    let roles: Api<ClusterRole> = Api::all(site.plane.client());
    let rules = site.plane.block_on(roles.get(role)).unwrap().rules.unwrap_or_default();
    rules.iter().any(|rule| rule.api_groups.iter().flatten().any(|group| group == "iotconnector.health"))
}

/// What the API server says of a user and of verb, group and resource. Not `kubectl auth can-i`: it looks the resource up
/// in the API server's discovery first, says no when it is not there yet, and takes a process for each look.
fn may(site: &Site, user: &str, (verb, group, resource): (&str, &str, &str)) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(WARD.to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(site.plane.client());
    let review = site.plane.block_on(reviews.create(&PostParams::default(), &review)).unwrap();
    review.status.is_some_and(|status| status.allowed)
}
