//! A pod's way to the API server.

use serde_json::{Value, json};

use crate::cluster::{ask, pod, restricted, start};

#[test]
fn a_pods_token_opens_the_api_server_as_its_service_account() {
    let cluster = restricted("access");
    let pod = start(cluster, "access", &pod("p1", |_| {}));
    let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    let read = |name: &str| ask(&pod, "GET", &format!("/file?{folder}/{name}")).1;
    let (token, authority) = (read("token"), read("ca.crt"));
    let given = cluster.kubelet.environment("access", "p1", "main");
    let host = format!("https://{}:{}", given["KUBERNETES_SERVICE_HOST"], given["KUBERNETES_SERVICE_PORT"]);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer: Value = cluster.plane.block_on(async {
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_only([authority]).build().expect("a client");
        let url = format!("{host}/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let answer = client.post(url).bearer_auth(token.trim()).json(&review).send().await.expect("an answer");
        answer.json().await.expect("a review")
    });
    let user = &answer["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:access:default");
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["p1"]));
}
