//! The provider by its chart: pods that answer and pods that work, over PostgreSQL, with
//! the rights and listeners that the chart gives them. Nothing is asked of Azure.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::poll::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kubernetes_tests::{ControlPlane, Helm, Image, Images, Kubelet, checkout};
use rcgen::CertifiedKey;
use reqwest::{Identity, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::places::Postgres;
use crate::planes::definitions;

const NAMESPACE: &str = "provider";
/// Where connectors are written.
const CONNECTORS: &str = "connectors";
/// The name in the certificate.
const HOST: &str = "provider.test";
const SUBSCRIPTION: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333";
const LIMIT: Duration = Duration::from_secs(120);
/// PostgreSQL's, in the test's own network.
const STORE: &str = "postgres://iotc@127.0.0.1:5432/postgres";

fn certificate(name: &str) -> CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// With what the webhook of workload identity adds to pods.
fn image(token: &Path) -> Image {
    let program: PathBuf = end_to_end::folder("IOTC_TEST_BIN", "kubernetes").join("resource-provider");
    let image = Image::of(program).environment("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000001");
    let image = image.environment("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000002");
    let place = "/var/run/secrets/azure/tokens/azure-identity-token";
    image.file(place, token).environment("AZURE_FEDERATED_TOKEN_FILE", place)
}

/// The values: the chart's example, for this test's callers and addresses.
fn values(thumbprint: &str) -> Value {
    let cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks1";
    json!({
        "image": { "registry": "registry.test" },
        "callers": { "clientCertificateMetadataUrl": "", "clientCertificateThumbprints": [thumbprint] },
        "platform": {
            "regions": ["westus2"], "azure": {}, "connectors": { "namespace": CONNECTORS },
            "clusters": [{ "resourceId": cluster }],
            "pools": { "regions": { "westus2": [{
                "subscriptionId": "s", "aksClusterResourceId": cluster, "keyVaultResourceId": "/v",
            }] } },
        },
        "connectorNamespaces": [CONNECTORS],
        // All pods share the addresses of this machine.
        "http": { "listenAddress": "$(POD_IP)" },
    })
}

/// Secrets of the store and of the certificate.
fn make_secrets(plane: &ControlPlane, server: &CertifiedKey<rcgen::KeyPair>) {
    let tls = json!({ "tls.crt": server.cert.pem(), "tls.key": server.signing_key.serialize_pem() });
    for (name, data) in [("iot-connector-store", json!({ "url": STORE })), ("iot-connector-provider-tls", tls)] {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data });
        plane.apply(NAMESPACE, &secret.to_string()).unwrap();
    }
}

/// Whether a service account of the release may do something.
fn may(plane: &ControlPlane, role: &str, what: &[&str]) -> bool {
    let who = format!("--as=system:serviceaccount:{NAMESPACE}:rp-{role}");
    // It ends otherwise than well where the answer is no.
    plane.kubectl(&[&["auth", "can-i", &who], what].concat()).is_ok_and(|said| said.trim() == "yes")
}

#[test]
fn the_chart_brings_pods_that_answer_arm_and_may_do_what_they_have_to() {
    let postgres = Postgres::start_with("-c fsync=off -c listen_addresses=127.0.0.1 -c port=5432");
    let _postgres = postgres.expect("IOTC_TEST_POSTGRES names PostgreSQL");
    let plane = ControlPlane::start();
    plane.apply("default", &definitions()).unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "of nobody").unwrap();
    // Pods are nobody in particular.
    std::fs::set_permissions(token.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let images = Images::new().with("*iot-connector-for-fhir/resource-provider:*", image(token.path()));
    let _kubelet = Kubelet::start(&plane, images);
    for namespace in [NAMESPACE, CONNECTORS] {
        plane.make_namespace(namespace, &[("pod-security.kubernetes.io/enforce", "restricted")]);
    }
    let (server, arm) = (certificate(HOST), certificate("arm.test"));
    make_secrets(&plane, &server);
    let thumbprint: String = Sha256::digest(arm.cert.der()).iter().map(|byte| format!("{byte:02X}")).collect();
    let helm = Helm::new(&plane, NAMESPACE);
    let chart = checkout().join("helm/resource-provider").display().to_string();
    helm.install("rp", &chart, &values(&thumbprint).to_string()).unwrap();
    for role in ["api", "worker"] {
        plane.wait::<Deployment>(NAMESPACE, &format!("rp-{role}"), "has two ready replicas", LIMIT, |deployment| {
            deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(2)
        });
    }

    let service = plane.wait::<Service>(NAMESPACE, "rp", "is there", LIMIT, |_| true);
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap().parse().unwrap();
    let client = |identity: Option<Identity>| {
        let trusted = reqwest::Certificate::from_pem(server.cert.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]).resolve(HOST, SocketAddr::new(address, 443));
        identity.into_iter().fold(client, reqwest::ClientBuilder::identity).build().unwrap()
    };
    let known = Identity::from_pem((arm.cert.pem() + &arm.signing_key.serialize_pem()).as_bytes()).unwrap();
    let (known, unknown) = (client(Some(known)), client(None));
    let send = |client: &reqwest::Client, method: Method, path: &str, body: Value| {
        let request = client.request(method, format!("https://{HOST}{path}")).json(&body).send();
        plane.block_on(async { request.await.map(|answer| answer.status()) })
    };
    let registered = format!("{SUBSCRIPTION}?api-version=2.0");
    until("the Service leads to pods", LIMIT, || {
        send(&unknown, Method::PUT, &registered, json!({ "state": "Registered" })).ok().filter(|status| {
            assert_eq!(*status, StatusCode::UNAUTHORIZED);
            true
        })
    });
    assert_eq!(send(&known, Method::PUT, &registered, json!({ "state": "Registered" })).unwrap(), StatusCode::OK);
    let workspace = format!(
        "{SUBSCRIPTION}/resourceGroups/rg1/providers/Microsoft.HealthcareApis/workspaces/ws1?api-version=2024-03-31"
    );
    let made = send(&known, Method::PUT, &workspace, json!({ "location": "westus2" })).unwrap();
    assert_eq!(made, StatusCode::CREATED);
    // Either pod that answers has it from the store.
    for _ in 0..8 {
        assert_eq!(send(&known, Method::GET, &workspace, Value::Null).unwrap(), StatusCode::OK);
    }

    let connectors = ["iotconnectors.iotconnector.health", "-n", CONNECTORS];
    for verb in ["get", "create", "patch", "delete"] {
        assert!(may(&plane, "worker", &[&[verb], &connectors[..]].concat()), "{verb}");
        assert!(!may(&plane, "api", &[&[verb], &connectors[..]].concat()), "{verb}");
    }
    assert!(!may(&plane, "worker", &["get", "secrets", "-n", CONNECTORS]));
    assert!(!may(&plane, "worker", &["get", "secrets", "-n", NAMESPACE]));

    helm.uninstall("rp").unwrap();
    until("the pods are gone", LIMIT, || {
        let pods = plane.block_on(plane.api::<Pod>(NAMESPACE).list(&Default::default())).unwrap();
        pods.items.is_empty().then_some(())
    });
}
