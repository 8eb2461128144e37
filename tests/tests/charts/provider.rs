//! What `helm/resource-provider` gives to the two roles.

use serde_json::{Value, json};

use crate::chart::{Objects, Values, container, env, root};

fn render(values: &Values) -> Result<Objects, String> {
    values.render(&root().join("helm/resource-provider"), "1.33").map(|manifests| Objects::of(&manifests))
}

fn tokens() -> Values {
    Values::default().file(&root().join("helm/resource-provider/examples/tokens.yaml"))
}

fn names(deployment: &Value) -> Vec<String> {
    env(deployment).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn each_role_is_told_what_it_needs_and_no_more() {
    let objects = render(&tokens()).expect("the example is good");
    let (api, worker) = (objects.get("Deployment", "rel-api"), objects.get("Deployment", "rel-worker"));
    let of_callers = ["TOKEN_ISSUERS", "TOKEN_AUDIENCES", "TOKEN_KEYS_URL", "FRONT_DOOR_APP_IDS", "TLS_PATH"];
    for name in of_callers {
        assert!(names(api).contains(&name.to_owned()), "{name}");
        assert!(!names(worker).contains(&name.to_owned()), "{name}");
    }
    assert!(!names(api).contains(&"CLIENT_CERTIFICATE_METADATA_URL".to_owned()), "it was taken away");
    assert!(!names(api).contains(&"APPLICATION_IDS".to_owned()), "there are none");
    let pod = |deployment: &Value| deployment["spec"]["template"]["spec"].clone();
    assert_eq!(pod(api)["automountServiceAccountToken"], false, "requests need no cluster");
    assert_eq!(pod(worker)["automountServiceAccountToken"], true);
    let mounts = |deployment: &Value| {
        let mounts = container(deployment)["volumeMounts"].as_array().expect("mounts").iter();
        mounts.map(|mount| mount["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (mounts(api), mounts(worker)),
        (vec!["platform".into(), "tls".into()], vec!["platform".into(), "clusters".into()])
    );
    assert_eq!(
        container(api)["env"][1]["valueFrom"]["secretKeyRef"],
        json!({ "name": "iot-connector-store", "key": "url" })
    );
}

#[test]
fn connectors_are_written_where_it_is_named_and_nowhere_else() {
    let objects = render(&tokens()).expect("the example is good");
    assert_eq!(objects.kind("ClusterRole").count() + objects.kind("ClusterRoleBinding").count(), 0);
    let roles: Vec<&Value> = objects.kind("Role").collect();
    let [role] = roles[..] else { panic!("{roles:?}") };
    assert_eq!(role["metadata"]["namespace"], "connectors");
    assert!(!role.to_string().contains("secrets"), "{role}");
    let none = render(&Values::default()).expect("the default values are good");
    assert_eq!(none.kind("Role").count(), 0);
    assert_eq!(none.get("Deployment", "rel-worker")["spec"]["template"]["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn a_platform_that_makes_nothing_is_refused() {
    let refusal = |value: &str| render(&Values::default().json(value)).expect_err("it is refused");
    assert!(refusal("platform.azure=null").contains("platform.azure: expected"));
    assert!(refusal("platform.machine={}").contains("platform.machine: expected one of regions, switches"));
    assert!(refusal("platform.reigons=[]").contains("platform.reigons: expected one of"));
    let kubeconfig = r#"platform.clusters=[{"resourceId":"a","kubeconfig":"/etc/iot-connector/clusters/a.yaml"}]"#;
    assert!(refusal(kubeconfig).contains("clusters.secretName: expected the Secret of"));
    let elsewhere = r#"connectorNamespaces=["a"]"#;
    let here = r#"platform.clusters=[{"resourceId":"a"}]"#;
    let refused = render(&Values::default().json(elsewhere).json(here)).expect_err("connectors go elsewhere");
    assert!(
        refused.contains("/platform/connectors/namespace': is iot-connectors; expected one of connectorNamespaces"),
        "{refused}"
    );
    assert!(refusal("metrics.enabled=true").contains("metrics.from: expected who may read them"));
}

#[test]
fn a_provider_that_nobody_could_call_is_refused() {
    let refusal = |values: Values| render(&values).expect_err("it is refused");
    let nobody = || Values::default().set_strings(&["callers.clientCertificateMetadataUrl="]);
    assert!(refusal(nobody()).contains("callers: nobody could call"));
    assert!(render(&nobody().json(&format!("callers.clientCertificateThumbprints=[\"{}\"]", "ab".repeat(20)))).is_ok());
    let tokens = Values::default().json(r#"callers.tokens.issuers=["https://login.example"]"#);
    let said = refusal(tokens);
    assert!(said.contains("issuers need audiences and keysUrl") && said.contains("let nobody in"), "{said}");
}
