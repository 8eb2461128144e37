//! What the chart takes with `scaling.source: operator`, the operator can read.

use std::collections::BTreeMap;

use custom_resources::values;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Client, Config};
use kubernetes_tests::{Helm, checkout};
use operator::chart::{Charts, RenderError};
use operator::lag::identity::FederatedIdentity;
use operator::lag::workload::{Environment, secret_keys};
use operator::manifest;
use serde_json::{Value, json};

/// Examples whose lag no operator can read, by a part of what the chart says.
const REFUSED: [(&str, &str); 3] = [
    ("aad-pod-identity", "`ManagedIdentity`; expected another, or `scaling.source` `keda`"),
    ("certificate, functions", "`source.authentication.type` is `ExternalIdentity` with a certificate"),
    ("sas, functions", "`storage.authentication.connectionString` is not set"),
];

#[tokio::test]
async fn each_example_of_the_chart_is_read_or_refused() {
    let charts =
        Charts { helm: Helm::without_cluster().program().clone(), folder: checkout().join("helm"), kube_version: None };
    let nowhere = Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = Client::try_from(nowhere).unwrap();
    let (mut read, mut by_connection) = (0, 0);
    for file in std::fs::read_dir(checkout().join("helm/iot-connector/examples")).unwrap() {
        let file = file.unwrap().path();
        let example = values::read(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for front in ["native", "functions"] {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let name = if front == "native" { name.to_owned() } else { format!("{name}, {front}") };
            let scaling = json!({"source": "operator", "operator": {"token": {"secretName": "s", "secretKey": "t"}}});
            let mut example = values::merge(example.clone(), json!({"front": front, "scaling": scaling}));
            of_the_cluster(&mut example);
            let text = match charts.render("iot-connector", "iot", "rel", &example).await {
                Ok(text) => text,
                Err(RenderError::Refused { message, .. }) => {
                    let expected = REFUSED.iter().find(|(refused, _)| name.starts_with(refused));
                    assert!(expected.is_some_and(|(_, part)| message.contains(part)), "{name}: {message}");
                    continue;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            let count = 1 + example["destinations"].as_array().unwrap().len();
            let manifests = manifest::read(&text, "iot", count).unwrap();
            let of =
                |kind: &'static str| manifests.iter().filter(move |it| it.kind.kind == kind).map(|it| it.body.clone());
            let account = of("ServiceAccount").next().expect("an account");
            let account: ServiceAccount = serde_json::from_value(account).unwrap();
            // The platform's tenant stands in where an example says none.
            let identity = FederatedIdentity::new(client.clone(), &account, Some("tenant".to_owned()));
            for deployment in of("Deployment") {
                let deployment: Deployment = serde_json::from_value(deployment).unwrap();
                let secrets: BTreeMap<_, _> = secret_keys(&deployment)
                    .into_iter()
                    .map(|(variable, _)| (variable.clone(), content(&variable)))
                    .collect();
                by_connection += secrets.keys().filter(|variable| variable.contains("EventHub")).count();
                let environment = Environment::of(&deployment, secrets).unwrap();
                environment.check_credentials(&identity).unwrap_or_else(|error| panic!("{name}: {error}"));
                environment.workload(&identity).unwrap_or_else(|error| panic!("{name}: {error}"));
                read += 1;
            }
        }
    }
    assert!(read > 20 && by_connection > 3, "{read} were read, {by_connection} of them by a connection string");
}

/// A Secret of the cluster in the place of each of a key vault: the operator reads no others.
fn of_the_cluster(value: &mut Value) {
    match value {
        Value::Object(map) if map.contains_key("keyVaultSecret") => {
            *value = json!({"secretName": "s", "secretKey": "k"});
        }
        Value::Object(map) => map.values_mut().for_each(of_the_cluster),
        Value::Array(list) => list.iter_mut().for_each(of_the_cluster),
        _ => {}
    }
}

/// What a Secret may hold for a variable.
fn content(variable: &str) -> String {
    if variable == "STORAGE_SAS" {
        return "sv=1&sig=x".to_owned();
    }
    "Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0".to_owned()
}
