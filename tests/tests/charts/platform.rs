//! What `helm/platform` gives to people. What it gives to the operator is judged on a real API server
//! (`tests/kubernetes`).

use serde_json::Value;

use crate::chart::{Objects, Values, root};

fn objects(values: &[&str]) -> Objects {
    let manifests = Values::default().set(values).render(&root().join("helm/platform"), "1.33");
    Objects::of(&manifests.unwrap_or_else(|error| panic!("{values:?}: {error}")))
}

/// A role as `aggregated to: resources: verbs`.
fn role(role: &Value) -> String {
    let names = |value: &Value| {
        let names = value.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name"));
        names.collect::<Vec<_>>().join(" ")
    };
    let labels = role["metadata"]["labels"].as_object().expect("labels").keys();
    let to = labels.filter_map(|label| label.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"));
    let rules = role["rules"].as_array().expect("rules").iter();
    let rules = rules.map(|rule| format!("{}: {}", names(&rule["resources"]), names(&rule["verbs"])));
    format!("{}: {}", to.collect::<Vec<_>>().join(" "), rules.collect::<Vec<_>>().join("; "))
}

#[test]
fn people_get_the_custom_resources_and_nothing_else() {
    let all = objects(&[]);
    assert_eq!(
        role(all.get("ClusterRole", "iot-connector-edit")),
        "admin edit: iotconnectors fhirs: get list watch create update patch delete deletecollection"
    );
    assert_eq!(role(all.get("ClusterRole", "iot-connector-view")), "view: iotconnectors fhirs: get list watch");
    let aggregated = |objects: &Objects| {
        objects.kind("ClusterRole").filter(|role| role.to_string().contains("/aggregate-to-")).count()
    };
    assert_eq!(aggregated(&all), 2);
    assert_eq!(aggregated(&objects(&["customResources.aggregateRoles=false"])), 0);
}

#[test]
fn what_is_too_much_is_refused() {
    let lag = ["lag.enabled=true"];
    let refusal = |values: &[&str]| {
        Values::default().set(values).render(&root().join("helm/platform"), "1.33").expect_err("it is refused")
    };
    // Not every namespace without being asked for.
    assert!(refusal(&lag).contains("expected `watchNamespaces`"));
    let in_its_own = objects(&[lag[0], "watchNamespaces={ward}"]);
    assert_eq!(in_its_own.kind("ClusterRoleBinding").count(), 0);
    assert_eq!(objects(&[lag[0], "lag.everywhere=true"]).kind("ClusterRoleBinding").count(), 1);
    // No secret in an annotation.
    for path in ["ingest.http.tokenValue", "scaling.operator.tokenValue", "scaling.operator.clientKey"] {
        let said = refusal(&[&format!("connectorValues.{path}=5ecret")]);
        assert!(said.contains(&format!("connectorValues.{path}: expected none")) && !said.contains("5ecret"), "{said}");
    }
    let all = objects(&["connectorValues.ingest.http.token.secretName=ingest"]);
    assert!(!all.get("ClusterRole", "iot-connector-operator")["rules"].to_string().contains("\"secrets\""));
}

/// The variables of the operator, `name=value`.
fn variables(objects: &Objects) -> Vec<String> {
    let container = &objects.get("Deployment", "iot-connector-operator")["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().expect("variables").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    variables.map(|variable| format!("{}={}", text(&variable["name"]), text(&variable["value"]))).collect()
}

#[test]
fn the_lag_has_a_tenant_and_a_login() {
    let lag = ["lag.enabled=true", "watchNamespaces={ward}"];
    let plain = variables(&objects(&lag));
    assert!(!plain.iter().any(|variable| variable.starts_with("AZURE_")), "{plain:?}");
    let tenant = "lag.tenantId=88888888-8888-8888-8888-888888888888";
    let more = [tenant, "lag.authorityHost=https://login.microsoftonline.us"];
    let said = variables(&objects(&[lag, more].concat()));
    assert!(said.contains(&"AZURE_TENANT_ID=88888888-8888-8888-8888-888888888888".to_owned()), "{said:?}");
    assert!(said.contains(&"AZURE_AUTHORITY_HOST=https://login.microsoftonline.us".to_owned()), "{said:?}");
}

/// A ReplicaSet keeps the values that it was rolled out with: a ConfigMap would change under the pods of the one before.
#[test]
fn pods_carry_the_values_that_they_were_rolled_out_with() {
    let all = objects(&["connectorValues.image.registry=contoso.azurecr.io", "fhirValues.networkPolicy.enabled=false"]);
    assert_eq!(all.kind("ConfigMap").count(), 0);
    let template = &all.get("Deployment", "iot-connector-operator")["spec"]["template"];
    let items = template["spec"]["volumes"][0]["downwardAPI"]["items"].as_array().expect("files");
    let file = |path: &str| {
        let item = items.iter().find(|item| item["path"] == path).expect("a file");
        let field = item["fieldRef"]["fieldPath"].as_str().expect("a field");
        let key = field.trim_start_matches("metadata.annotations['").trim_end_matches("']");
        template["metadata"]["annotations"][key].as_str().expect("an annotation").to_owned()
    };
    assert_eq!(file("connector.yaml"), "image:\n  registry: contoso.azurecr.io");
    assert_eq!(file("fhir.yaml"), "networkPolicy:\n  enabled: false");
}
