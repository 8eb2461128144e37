//! The test kubelet on a real control plane: what our program finds in its pod,
//! how it is probed, stopped and started again.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use end_to_end::poll::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kubernetes_tests::{ControlPlane, Image, Images, Kubelet};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// One for all tests, each with a namespace of its own. It ends with the
/// process: its scripts read standard input, which ends then.
struct Cluster {
    plane: ControlPlane,
    kubelet: Kubelet,
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let plane = ControlPlane::start();
    let images = Images::new().with("*/probed:*", Image::of(env!("CARGO_BIN_EXE_probed")));
    let kubelet = Kubelet::start(&plane, images);
    Cluster { plane, kubelet }
});

/// A namespace that enforces the strictest Pod Security Standard.
fn restricted(name: &str) -> &'static Cluster {
    CLUSTER.plane.make_namespace(name, &[("pod-security.kubernetes.io/enforce", "restricted")]);
    &CLUSTER
}

/// A pod of our program that the strictest standard takes.
fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "main", "image": "example.test/probed:1",
            "env": [
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LISTEN", "value": "$(POD_IP):8080"},
            ],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    change(&mut spec);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The status of the only container, as it is written.
fn container_status(pod: &Pod) -> Value {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.and_then(|statuses| serde_json::to_value(statuses.first()?).ok()).unwrap_or_default()
}

fn ask(pod: &Pod, method: &str, path: &str) -> (u16, String) {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("it has an address");
    let url = format!("http://{ip}:8080{path}");
    let method = method.parse().expect("a method");
    CLUSTER.plane.block_on(async {
        let answer = reqwest::Client::new().request(method, &url).send().await.expect("it answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    })
}

fn start(cluster: &Cluster, namespace: &str, pod: &Value) -> Pod {
    cluster.plane.apply(namespace, &pod.to_string()).expect("the API server takes it");
    let name = pod["metadata"]["name"].as_str().expect("a name");
    cluster.plane.wait(namespace, name, "is ready", LIMIT, is_ready)
}

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
fn what_is_missing_is_waited_for() {
    let cluster = restricted("waits");
    let pod = pod("p1", |spec| {
        spec["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "later"}}]);
    });
    cluster.plane.apply("waits", &pod.to_string()).unwrap();
    cluster.plane.wait::<Pod>("waits", "p1", "says what it lacks", LIMIT, |pod| {
        let waiting = &container_status(pod)["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError" && waiting["message"] == "configmap \"later\" not found"
    });
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"A": "a"}});
    cluster.plane.apply("waits", &map.to_string()).unwrap();
    cluster.plane.wait("waits", "p1", "is ready", LIMIT, is_ready);
}

#[test]
fn an_unknown_image_is_not_pulled() {
    let cluster = restricted("unknown");
    let pod = pod("p1", |spec| spec["containers"][0]["image"] = json!("example.test/other:1"));
    cluster.plane.apply("unknown", &pod.to_string()).unwrap();
    cluster.plane.wait::<Pod>("unknown", "p1", "its image is not there", LIMIT, |pod| {
        phase(pod) == "Pending" && container_status(pod)["state"]["waiting"]["reason"] == "ImagePullBackOff"
    });
}

#[test]
fn liveness_that_fails_starts_it_again_and_readiness_takes_it_out() {
    let cluster = restricted("probes");
    let pod = pod("p1", |spec| {
        spec["terminationGracePeriodSeconds"] = json!(5);
        spec["containers"][0]["startupProbe"] = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1});
        spec["containers"][0]["livenessProbe"] =
            json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2});
    });
    let pod = start(cluster, "probes", &pod);
    ask(&pod, "POST", "/unready");
    cluster.plane.wait::<Pod>("probes", "p1", "is not ready", LIMIT, |pod| !is_ready(pod));
    ask(&pod, "POST", "/unready?no");
    cluster.plane.wait("probes", "p1", "is ready again", LIMIT, is_ready);
    ask(&pod, "POST", "/sick");
    let pod = cluster.plane.wait("probes", "p1", "was started again", LIMIT, |pod| {
        is_ready(pod) && container_status(pod)["restartCount"] == 1
    });
    assert_eq!(container_status(&pod)["lastState"]["terminated"]["exitCode"], 0);
    let log = cluster.kubelet.log("probes", "p1", "main");
    assert_eq!(log.matches("listens on").count(), 2, "{log}");
    assert_eq!(log.matches("ends in good order").count(), 1, "{log}");
}

#[test]
fn a_killed_program_is_started_again() {
    let cluster = restricted("killed");
    start(cluster, "killed", &pod("p1", |_| {}));
    cluster.kubelet.kill("killed", "p1", "main");
    let pod = cluster.plane.wait("killed", "p1", "was started again", LIMIT, |pod| {
        is_ready(pod) && container_status(pod)["restartCount"] == 1
    });
    let last = container_status(&pod)["lastState"]["terminated"].clone();
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(137), &json!("Error")));
}

#[test]
fn a_pod_that_ends_says_how() {
    let cluster = restricted("ends");
    let cases = [("0", "Never", "Succeeded"), ("7", "Never", "Failed"), ("0", "OnFailure", "Succeeded")];
    for (index, (code, policy, expected)) in cases.into_iter().enumerate() {
        let name = format!("p{index}");
        let pod = pod(&name, |spec| {
            spec["restartPolicy"] = json!(policy);
            let env = json!([{"name": "EXIT", "value": code}, {"name": "TERMINATION_MESSAGE", "value": "last words"}]);
            spec["containers"][0]["env"] = env;
        });
        cluster.plane.apply("ends", &pod.to_string()).unwrap();
        let pod = cluster.plane.wait::<Pod>("ends", &name, expected, LIMIT, |pod| phase(pod) == expected);
        let ended = container_status(&pod)["state"]["terminated"].clone();
        assert_eq!((ended["exitCode"].to_string(), &ended["message"]), (code.to_owned(), &json!("last words")));
    }
}

#[test]
fn init_containers_come_first_one_after_another() {
    let cluster = restricted("init");
    let pod = pod("p1", |spec| {
        let main = spec["containers"][0].clone();
        let init = |name: &str, code: &str| {
            let env = json!([{"name": "EXIT", "value": code}]);
            json!({"name": name, "image": main["image"], "env": env, "securityContext": main["securityContext"]})
        };
        spec["initContainers"] = json!([init("first", "0"), init("second", "1")]);
    });
    cluster.plane.apply("init", &pod.to_string()).unwrap();
    cluster.plane.wait::<Pod>("init", "p1", "waits for the second", LIMIT, |pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.clone());
        phase(pod) == "Pending" && statuses.is_some_and(|statuses| statuses[1].restart_count > 0)
    });
    assert!(cluster.kubelet.container("init", "p1", "main").is_none());
    assert_eq!(cluster.kubelet.log("init", "p1", "first"), "ends with 0\n");
}

#[test]
fn a_deleted_pod_gets_its_grace_and_not_more() {
    let cluster = restricted("grace");
    let gentle = pod("gentle", |spec| {
        spec["containers"][0]["env"].as_array_mut().unwrap().push(json!({"name": "LINGER_SECONDS", "value": "2"}));
    });
    let stubborn = pod("stubborn", |spec| {
        spec["terminationGracePeriodSeconds"] = json!(3);
        spec["containers"][0]["env"].as_array_mut().unwrap().push(json!({"name": "STUBBORN", "value": "true"}));
    });
    for pod in [&gentle, &stubborn] {
        start(cluster, "grace", pod);
    }
    let began = Instant::now();
    cluster.plane.kubectl(&["-n", "grace", "delete", "pod", "gentle", "stubborn", "--wait=false"]).unwrap();
    cluster.plane.wait_gone::<Pod>("grace", "gentle", LIMIT);
    cluster.plane.wait_gone::<Pod>("grace", "stubborn", LIMIT);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    let ended = |name| cluster.kubelet.container("grace", name, "main").expect("it ran");
    assert_eq!((ended("gentle").exit_code, ended("stubborn").exit_code), (Some(0), Some(137)));
    assert!(ended("gentle").log.ends_with("was told to end\nends in good order\n"), "{}", ended("gentle").log);
    assert!(ended("stubborn").log.ends_with("was told to end\n"), "{}", ended("stubborn").log);
}

#[test]
fn a_deployment_rolls_and_scales() {
    let cluster = restricted("rolls");
    let deployment = |version: &str| {
        let mut template = pod("web", |spec| {
            spec["containers"][0]["env"].as_array_mut().unwrap().push(json!({"name": "VERSION", "value": version}));
        });
        template.as_object_mut().unwrap().retain(|key, _| key == "metadata" || key == "spec");
        template["metadata"].as_object_mut().unwrap().remove("name");
        let selector = json!({"matchLabels": {"app": "web"}});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"selector": selector, "template": template}})
    };
    let scale = |replicas: &str| cluster.plane.kubectl(&["-n", "rolls", "scale", "deployment/web", replicas]).unwrap();
    let running = |count: usize, version: &str| {
        cluster.plane.wait_list::<Pod, ()>("rolls", "app=web", "as many as there should be", LIMIT, |pods| {
            let versions =
                pods.iter().map(|pod| cluster.kubelet.container("rolls", pod.metadata.name.as_deref()?, "main"));
            let right = versions.flatten().filter(|run| run.environment["VERSION"] == version).count();
            (pods.len() == count && right == count && pods.iter().all(is_ready)).then_some(())
        });
    };
    cluster.plane.apply("rolls", &deployment("1").to_string()).unwrap();
    scale("--replicas=0");
    running(0, "1");
    scale("--replicas=3");
    running(3, "1");
    cluster.plane.apply("rolls", &deployment("2").to_string()).unwrap();
    running(3, "2");
    cluster.plane.wait::<Deployment>("rolls", "web", "is complete", LIMIT, |deployment| {
        deployment
            .status
            .as_ref()
            .is_some_and(|status| status.available_replicas == Some(3) && status.updated_replicas == Some(3))
    });
    scale("--replicas=0");
    running(0, "2");
}

#[test]
fn the_strictest_standard_refuses_what_it_should() {
    let cluster = restricted("standard");
    let refused = pod("p1", |spec| spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true));
    let error = cluster.plane.apply("standard", &refused.to_string()).expect_err("it is refused");
    assert!(error.to_string().contains("violates PodSecurity \"restricted"), "{error}");
}
