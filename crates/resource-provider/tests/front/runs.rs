//! How the program begins and ends.

use super::process::Program;

#[test]
fn what_is_not_safe_does_not_begin() {
    let output = Program::command().output().unwrap();
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("nobody could call: set CLIENT_CERTIFICATE_METADATA_URL"), "{printed}");
}

#[tokio::test]
async fn it_stops_when_it_is_told() {
    let program = Program::start(&["--no-authentication", "--register-on-first-use"]).await;
    let url = |of: &Program| format!("http://{}/healthz", of.health);
    assert_eq!(reqwest::get(url(&program)).await.unwrap().status(), 200);
    let metrics = reqwest::get(format!("http://{}/metrics", program.health)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("iot_connector_provider_operations_pending{status=\"Requested\"} 0"), "{metrics}");
    let (printed, went_well) = program.stop();
    assert!(went_well, "{printed}");
}
