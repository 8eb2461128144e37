//! How the program begins and ends.

use super::process::Program;

#[test]
fn a_provider_without_a_platform_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("store.db").display());
    let output = Program::command()
        .args(["--no-authentication", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0", "--store", &store])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && printed.contains("expected `azure` or `machine` in PLATFORM_FILE"),
        "{printed}"
    );
}

#[test]
fn what_is_not_safe_does_not_begin() {
    let output = Program::command().output().unwrap();
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("nobody could call: set CLIENT_CERTIFICATE_METADATA_URL"), "{printed}");
}

#[tokio::test]
async fn it_stops_when_it_is_told() {
    let program = Program::start(&["--dry-run", "--no-authentication", "--register-on-first-use"]).await;
    let url = |of: &Program| format!("http://{}/healthz", of.health);
    assert_eq!(reqwest::get(url(&program)).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("http://{}/metrics", program.health)).await.unwrap().status(), 404, "by itself");
    let metrics = reqwest::get(format!("http://{}/metrics", program.metrics)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("iot_connector_provider_operations_pending{status=\"Requested\"} 0"), "{metrics}");
    let (printed, went_well) = program.stop();
    assert!(went_well, "{printed}");
}

/// A process that only answers reaches no cluster, and need not: the chart gives it
/// neither a kubeconfig nor a token.
#[tokio::test]
async fn who_only_answers_opens_no_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("platform.yaml");
    let cluster = "/subscriptions/0/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks1";
    let text = format!(
        "azure: {{}}\nidentity: DeveloperTools\nclusters: [{{ resourceId: {cluster}, kubeconfig: /nowhere/aks1.yaml }}]"
    );
    std::fs::write(&file, text).unwrap();
    let platform = ["--platform", file.to_str().unwrap()];
    let program = Program::start(&[&platform[..], &["--no-authentication", "--role", "api"]].concat()).await;
    assert!(program.stop().1);
    let store = format!("sqlite://{}", folder.path().join("store.db").display());
    let health = ["--health", "127.0.0.1:0"];
    let worker = Program::command().args(platform).args(health).args(["--role", "worker", "--store", &store]).output();
    let worker = worker.unwrap();
    let printed = String::from_utf8_lossy(&worker.stdout).into_owned();
    assert!(!worker.status.success() && printed.contains("cannot use the kubeconfig"), "{printed}");
}

#[tokio::test]
async fn nobody_else_reads_its_files() {
    use std::os::unix::fs::PermissionsExt;
    let program = Program::start(&["--dry-run", "--no-authentication", "--register-on-first-use"]).await;
    for name in ["store.db", "audit.log"] {
        let mode = std::fs::metadata(program.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
