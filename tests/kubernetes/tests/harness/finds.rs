//! What a program finds in its pod.

use end_to_end::poll::until;
use serde_json::json;

use crate::cluster::{LIMIT, ask, pod, restricted, start};

#[test]
fn a_program_finds_in_its_pod_what_the_manifest_says() {
    let cluster = restricted("finds");
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A_SETTING": "a", "file.json": "{}"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"}, "stringData": {"key": "s3cret"}},
    ]});
    cluster.plane.apply("finds", &objects.to_string()).unwrap();
    let pod = pod("p1", |spec| {
        spec["volumes"] = json!([
            {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "file.json", "path": "sub/file.json"}]}},
            {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 0o400}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "api://x"}}]}},
            {"name": "about", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ]);
        let main = &mut spec["containers"][0];
        main["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
        main["resources"] = json!({"requests": {"cpu": "250m", "memory": "64Mi"}});
        main["volumeMounts"] = json!([
            {"name": "settings", "mountPath": "/mappings"},
            {"name": "secret", "mountPath": "/one", "subPath": "key"},
            {"name": "secret", "mountPath": "/secret", "readOnly": true},
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "token", "mountPath": "/var/run/secrets/other"},
            {"name": "about", "mountPath": "/about"},
        ]);
        let more = json!([
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "key"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
            {"name": "BOTH", "value": "$(NAME)-$(A_SETTING)-$(NONE)"},
        ]);
        main["env"].as_array_mut().unwrap().extend(more.as_array().unwrap().clone());
    });
    let pod = start(cluster, "finds", &pod);

    let (_, seen) = ask(&pod, "GET", "/environment");
    let mut seen: Vec<&str> = seen.lines().collect();
    let rendered = cluster.kubelet.environment("finds", "p1", "main");
    let mut rendered: Vec<String> = rendered.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // Exactly that, and nothing of whoever started it.
    seen.sort_unstable();
    rendered.sort_unstable();
    assert_eq!(seen, rendered);
    for expected in ["SECRET=s3cret", "NAME=p1", "CPU=250", "BOTH=p1-a-$(NONE)", "A_SETTING=a", "HOSTNAME=p1"] {
        assert!(seen.contains(&expected), "{expected}: {seen:?}");
    }

    let files = [
        ("/mappings/sub/file.json", Ok("{}")),
        ("/one", Ok("s3cret")),
        ("/secret/key", Ok("s3cret")),
        ("/about/labels", Ok("app=\"p1\"")),
        ("/var/run/secrets/kubernetes.io/serviceaccount/namespace", Ok("finds")),
        // Nothing of this machine.
        ("/etc/shadow", Err("No such file")),
        (env!("CARGO_BIN_EXE_probed"), Err("No such file")),
    ];
    for (path, expected) in files {
        let (status, text) = ask(&pod, "GET", &format!("/file?{path}"));
        match expected {
            Ok(content) => assert_eq!((status, text.as_str()), (200, content), "{path}"),
            Err(error) => assert!(status == 500 && text.contains(error), "{path}: {text}"),
        }
    }
    let (_, token) = ask(&pod, "GET", "/file?/var/run/secrets/other/token");
    assert_eq!(token.split('.').count(), 3, "a token: {token}");

    let writes = [
        ("/scratch/file", Ok(())),
        ("/file", Err("Read-only file system")),
        ("/tmp/file", Err("Read-only file system")),
        ("/mappings/file", Err("Read-only file system")),
        ("/usr/local/bin/probed", Err("Read-only file system")),
    ];
    for (path, expected) in writes {
        let (status, text) = ask(&pod, "POST", &format!("/write?{path}"));
        match expected {
            Ok(()) => assert_eq!(status, 200, "{path}: {text}"),
            Err(error) => assert!(status == 500 && text.contains(error), "{path}: {text}"),
        }
    }

    let (_, identity) = ask(&pod, "GET", "/identity");
    let line =
        |name: &str| identity.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    assert_eq!(line("Uid:"), "65532\t65532\t65532\t65532");
    assert_eq!(line("Gid:"), "65532\t65532\t65532\t65532");
    assert_eq!((line("NoNewPrivs:"), line("Pid:")), ("1".to_owned(), "1".to_owned()));
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapInh:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
}

#[test]
fn a_changed_config_map_reaches_a_running_program() {
    let cluster = restricted("changes");
    let map = |text: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"file": text}}).to_string()
    };
    cluster.plane.apply("changes", &map("one")).unwrap();
    let pod = pod("p1", |spec| {
        spec["volumes"] = json!([{"name": "m", "configMap": {"name": "m"}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "m", "mountPath": "/m"}]);
    });
    let pod = start(cluster, "changes", &pod);
    assert_eq!(ask(&pod, "GET", "/file?/m/file"), (200, "one".to_owned()));
    cluster.plane.apply("changes", &map("two")).unwrap();
    until("the program sees the change", LIMIT, || (ask(&pod, "GET", "/file?/m/file").1 == "two").then_some(()));
}

#[test]
fn the_strictest_standard_refuses_what_it_should() {
    let cluster = restricted("standard");
    let refused = pod("p1", |spec| spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true));
    let error = cluster.plane.apply("standard", &refused.to_string()).expect_err("it is refused");
    assert!(error.to_string().contains("violates PodSecurity \"restricted"), "{error}");
}
