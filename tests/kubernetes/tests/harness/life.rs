//! How a pod begins, is probed, starts again and ends.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::cluster::{LIMIT, ask, container_status, is_ready, phase, pod, restricted, start};

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
fn a_sidecar_is_there_before_the_others_and_after_them() {
    let cluster = restricted("sidecar");
    let pod = pod("p1", |spec| {
        let mut sidecar = spec["containers"][0].clone();
        sidecar["name"] = json!("side");
        sidecar["restartPolicy"] = json!("Always");
        sidecar["env"][1]["value"] = json!("$(POD_IP):8081");
        sidecar["ports"] = json!([]);
        sidecar["readinessProbe"] = json!(null);
        sidecar["startupProbe"] = json!({"tcpSocket": {"port": 8081}, "periodSeconds": 1});
        spec["initContainers"] = json!([sidecar]);
        // An exec probe and a hook, both in the container.
        let exec = json!({"command": ["test", "-e", "/usr/local/bin/probed"]});
        spec["containers"][0]["startupProbe"] =
            json!({"exec": exec, "periodSeconds": 1, "failureThreshold": 60, "timeoutSeconds": 10});
        spec["containers"][0]["lifecycle"] =
            json!({"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /proc/1/fd/1"]}}});
    });
    start(cluster, "sidecar", &pod);
    cluster.plane.kubectl(&["-n", "sidecar", "delete", "pod", "p1", "--wait=false"]).unwrap();
    cluster.plane.wait_gone::<Pod>("sidecar", "p1", LIMIT);
    let run = |container| cluster.kubelet.container("sidecar", "p1", container).expect("it ran");
    let (main, side) = (run("main"), run("side"));
    assert_eq!((main.restarts, main.exit_code, side.exit_code), (0, Some(0), Some(0)));
    assert!(main.log.ends_with("hook\nwas told to end\nends in good order\n"), "{}", main.log);
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
