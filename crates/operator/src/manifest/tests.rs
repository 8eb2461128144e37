use super::*;

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c1-normalize}\n";

fn read_one(text: &str) -> Result<Vec<Manifest>, InvalidManifest> {
    read(text, "ns1", 1)
}

fn names(manifests: &[Manifest]) -> String {
    manifests.iter().map(|manifest| format!("{} {}", manifest.kind.kind, manifest.name)).collect::<Vec<_>>().join(", ")
}

#[test]
fn orders_what_is_referred_to_first() {
    let text = format!(
        "---\n# Source: a\napiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: c1-normalize}}\n---\n{DEPLOYMENT}---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c1, namespace: ns1}}\n---\n# nothing\n"
    );
    let manifests = read_one(&text).unwrap();
    assert_eq!(names(&manifests), "ConfigMap c1, Deployment c1-normalize, ScaledObject c1-normalize");
}

#[test]
fn refuses_what_is_nothing_to_apply() {
    let unknown = InvalidManifest::UnknownKind {
        kind: "Job".to_owned(),
        api_version: "batch/v1".to_owned(),
        name: "j".to_owned(),
    };
    let object = |kind: &str| (kind.to_owned(), "c".to_owned());
    let (kind, name) = object("ConfigMap");
    let cases = [
        ("a Job", format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\n---\n{DEPLOYMENT}"), unknown),
        (
            "an old version",
            "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: d}".to_owned(),
            InvalidManifest::UnknownKind {
                kind: "Deployment".to_owned(),
                api_version: "extensions/v1beta1".to_owned(),
                name: "d".to_owned(),
            },
        ),
        (
            "another namespace",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: kube-system}".to_owned(),
            InvalidManifest::Namespace { kind: kind.clone(), name: name.clone() },
        ),
        (
            "the same twice",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}".to_owned(),
            InvalidManifest::Twice { kind, name },
        ),
        ("no name", "apiVersion: v1\nkind: ConfigMap".to_owned(), InvalidManifest::Incomplete),
        ("nothing", String::new(), InvalidManifest::Deployments { found: 0, expected: 1 }),
        (
            "one Deployment too many",
            format!("{DEPLOYMENT}---\n{}", DEPLOYMENT.replace("c1", "c2")),
            InvalidManifest::Deployments { found: 2, expected: 1 },
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(read_one(&text).map(|manifests| names(&manifests)), Err(expected), "{name}");
    }
    assert!(matches!(read_one("a: [1"), Err(InvalidManifest::Yaml(_))));
}

#[test]
fn reads_yaml_as_kubernetes_does() {
    let text = format!(
        "{DEPLOYMENT}data:\n  mode: 0644\n  flag: true\n  text: \"on\"\n  number: \"64\"\n  lines: |\n    a\n    b\n"
    );
    let manifests = read_one(&text).unwrap();
    let expected = json!({"mode": 420, "flag": true, "text": "on", "number": "64", "lines": "a\nb\n"});
    assert_eq!(manifests[0].body["data"], expected);
}

#[test]
fn adopts_an_object() {
    let mut manifests = read_one(&DEPLOYMENT.replace("metadata: {", "metadata: {labels: {a: b}, ")).unwrap();
    let owner = OwnerReference {
        api_version: "iotconnector.health/v1alpha1".to_owned(),
        kind: "IotConnector".to_owned(),
        name: "c1".to_owned(),
        uid: "u1".to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    manifests[0].adopt("ns1", &owner);
    manifests[0].expect_uid("u2");
    let metadata = &manifests[0].body["metadata"];
    assert_eq!(metadata["namespace"], "ns1");
    assert_eq!(metadata["uid"], "u2");
    assert_eq!(metadata["labels"], json!({"a": "b", (MANAGED_BY): OPERATOR}));
    assert_eq!(metadata["ownerReferences"][0]["controller"], true);
    assert_eq!(metadata["ownerReferences"][0]["uid"], "u1");
}

#[test]
fn knows_every_kind_by_its_name() {
    for kind in KINDS {
        assert_eq!(Kind::named(kind.kind).map(|found| found.plural), Some(kind.plural));
    }
}
