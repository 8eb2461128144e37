use serde_json::{Value, json};

use super::*;
use crate::lag::hosts;

fn deployment(component: &str, variables: &[(&str, Value)]) -> Deployment {
    let env: Vec<Value> = variables
        .iter()
        .map(|(name, value)| {
            let mut variable = value.clone();
            variable["name"] = json!(name);
            variable
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": "w", "labels": {COMPONENT: component}},
        "spec": {
            "selector": {},
            "template": {"spec": {"containers": [{"name": component, "env": env}]}},
        },
    }))
    .unwrap()
}

fn value(text: &str) -> Value {
    json!({ "value": text })
}

fn secret(name: &str, key: &str) -> Value {
    json!({ "valueFrom": {"secretKeyRef": {"name": name, "key": key}} })
}

fn workload(deployment: &Deployment, secrets: &[(&str, &str)]) -> Result<Workload, String> {
    let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let environment = Environment::of(deployment, secrets).map_err(|error| error.to_string())?;
    environment.workload(&FederatedIdentity::for_tests(Some("t"))).map_err(|error| error.to_string())
}

const TOKENS: [(&str, &str); 8] = [
    ("InputEventHub__AuthenticationType", "ExternalIdentity"),
    ("InputEventHub__EventHubNamespaceFQDN", "n.servicebus.windows.net"),
    ("InputEventHub__EventHubName", "h"),
    ("InputEventHub__EventHubConsumerGroup", "$default"),
    ("ExternalIdentity__ClientId", "e"),
    ("InternalIdentity__ClientId", "i"),
    ("CheckpointStorage__AuthenticationType", "WorkloadIdentity"),
    ("CheckpointStorage__BlobStorageContainerUri", "https://s.blob.core.windows.net/w-e1"),
];

fn tokens() -> Vec<(&'static str, Value)> {
    TOKENS.iter().map(|(name, text)| (*name, value(text))).collect()
}

#[test]
fn reads_what_a_pod_would() {
    let found = workload(&deployment("normalize", &tokens()), &[]).unwrap();
    assert_eq!(
        (found.namespace.as_str(), found.hub.as_str(), found.group.as_str()),
        ("n.servicebus.windows.net", "h", "$default")
    );
    assert_eq!(found.container.as_str(), "https://s.blob.core.windows.net/w-e1");
    assert!(matches!(found.opening, Opening::Token(_)) && found.storage.is_some());
}

#[test]
fn reads_the_positions_of_the_functions_host() {
    let mut variables = tokens();
    variables.push(("AzureWebJobsScriptRoot", value("/home/site/normalize")));
    let found = workload(&deployment("normalize", &variables), &[]).unwrap();
    assert_eq!(found.container.as_str(), "https://s.blob.core.windows.net/azure-webjobs-eventhub");
}

#[test]
fn opens_with_secrets() {
    let variables = [
        ("STORAGE_SAS", secret("local", "sas")),
        ("NormalizationEventHub__ConnectionString", secret("local", "hub")),
        ("FhirService__Secret", secret("local", "fhir")),
        ("NormalizationEventHub__AuthenticationType", value("ConnectionString")),
        ("NormalizationEventHub__EventHubNamespaceFQDN", value("127.0.0.2")),
        ("NormalizationEventHub__EventHubName", value("h")),
        ("NormalizationEventHub__EventHubConsumerGroup", value("dst-fhir")),
        ("CheckpointStorage__BlobStorageContainerUri", value("http://127.0.0.1:1/a/w?$(STORAGE_SAS)")),
    ];
    let deployment = deployment("group-convert", &variables);
    let names: Vec<String> = secret_keys(&deployment).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["STORAGE_SAS", "NormalizationEventHub__ConnectionString"]);
    let connection =
        "Endpoint=sb://127.0.0.2;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true";
    let secrets = [("STORAGE_SAS", "sv=1&sig=x"), ("NormalizationEventHub__ConnectionString", connection)];
    let found = workload(&deployment, &secrets).unwrap();
    assert_eq!(found.container.query(), Some("sv=1&sig=x"));
    assert!(found.storage.is_none() && matches!(found.opening, Opening::ConnectionString(_)));
}

#[test]
fn reads_the_connection_string_of_the_functions_host() {
    let mut variables = tokens();
    variables.retain(|(name, _)| *name != "InputEventHub__AuthenticationType");
    variables.push(("AzureWebJobsScriptRoot", value("/home/site/normalize")));
    variables.push(("InputEventHub__AuthenticationType", value("ConnectionString")));
    variables.push(("InputEventHub", secret("local", "hub")));
    let deployment = deployment("normalize", &variables);
    let connection = |host: &str| format!("Endpoint=sb://{host};SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0");
    assert_eq!(secret_keys(&deployment), [("InputEventHub".to_owned(), ("local".to_owned(), "hub".to_owned()))]);
    let found = workload(&deployment, &[("InputEventHub", &connection("n.servicebus.windows.net"))]).unwrap();
    assert!(matches!(found.opening, Opening::ConnectionString(_)));
    // Its host is looked at as any other.
    let azure = AllowedHosts::new(hosts::AZURE.map(|host| host.parse().unwrap()).to_vec());
    let secrets = BTreeMap::from([("InputEventHub".to_owned(), connection("10.0.0.1"))]);
    let error = Environment::of(&deployment, secrets).unwrap().check_hosts(&azure).unwrap_err().to_string();
    assert!(error.contains("`InputEventHub`") && error.contains("amqps://10.0.0.1"), "{error}");
}

#[test]
fn an_identity_has_a_tenant() {
    let deployment = deployment("normalize", &tokens());
    let environment = Environment::of(&deployment, BTreeMap::new()).unwrap();
    let nobodys = FederatedIdentity::for_tests(None);
    let error = environment.check_credentials(&nobodys).unwrap_err();
    assert!(matches!(&error, InvalidWorkload::NoTenant(client_id) if client_id == "e"), "{error}");
    assert!(error.to_string().contains("`lag.tenantId`"), "{error}");
    assert!(matches!(environment.workload(&nobodys), Err(InvalidWorkload::NoTenant(_))));
    environment.check_credentials(&FederatedIdentity::for_tests(Some("t"))).unwrap();
}

#[test]
fn the_vault_of_a_certificate_is_opened_by_no_managed_identity() {
    let mut variables = tokens();
    variables.push(("ExternalIdentity__CertificateUri", value("https://v.vault.azure.net/certificates/c")));
    assert!(workload(&deployment("normalize", &variables), &[]).is_ok());
    variables.push(("InternalIdentity__AuthenticationType", value("ManagedIdentity")));
    let error = workload(&deployment("normalize", &variables), &[]).unwrap_err();
    assert!(error.contains("`InternalIdentity__AuthenticationType`"), "{error}");
}

#[test]
fn says_what_is_missing() {
    let without = |name: &str| tokens().into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    let mut managed = without("CheckpointStorage__AuthenticationType");
    managed.push(("CheckpointStorage__AuthenticationType", value("ManagedIdentity")));
    let cases = [
        ("fhir-server", tokens(), "its Deployment is none of a connector"),
        (
            "normalize",
            without("InputEventHub__EventHubName"),
            "its Deployment has no setting `InputEventHub__EventHubName`",
        ),
        (
            "normalize",
            without("InternalIdentity__ClientId"),
            "its Deployment has no setting `InternalIdentity__ClientId`",
        ),
        (
            "normalize",
            managed,
            "the setting `CheckpointStorage__AuthenticationType` of its Deployment cannot be used: the operator cannot show itself as `ManagedIdentity`",
        ),
    ];
    for (component, variables, expected) in cases {
        let found = workload(&deployment(component, &variables), &[]);
        assert_eq!(found.map(|_| ()), Err(expected.to_owned()));
    }
}

#[test]
fn expands_as_the_kubelet_does() {
    let known = BTreeMap::from([("A", "1"), ("B", "$(A)"), ("C", "x$")].map(|(name, text)| (name.into(), text.into())));
    let cases = [
        ("a $(A) b", "a 1 b"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(A)"),
        ("$(C)(A)", "x$(A)"),
        ("$(NONE) $(A", "$(NONE) $(A"),
        ("5$ $A $", "5$ $A $"),
    ];
    for (value, expected) in cases {
        assert_eq!(expand(value, &known), expected, "{value}");
    }
}

#[test]
fn shows_no_secret() {
    let mut variables = tokens();
    variables.retain(|(name, _)| *name != "CheckpointStorage__BlobStorageContainerUri");
    variables.push(("CheckpointStorage__BlobStorageContainerUri", value("https://s.example.com/w?$(STORAGE_SAS)")));
    variables.push(("STORAGE_SAS", secret("local", "sas")));
    variables.push(("FhirService__SASTOKEN", secret("local", "other")));
    let deployment = deployment("normalize", &variables);
    assert_eq!(secret_keys(&deployment).len(), 1, "no more than is needed");
    let secrets = BTreeMap::from([("STORAGE_SAS".to_owned(), "sig=5ecret".to_owned())]);
    let environment = Environment::of(&deployment, secrets).unwrap();
    assert!(!format!("{environment:?}").contains("5ecret"), "{environment:?}");
    let workload = environment.workload(&FederatedIdentity::for_tests(Some("t"))).unwrap();
    assert!(workload.container.as_str().contains("5ecret"));
    assert!(!format!("{workload:?}").contains("5ecret"), "{workload:?}");
}

#[test]
fn names_no_host_that_is_not_allowed() {
    let azure = AllowedHosts::new(hosts::AZURE.map(|host| host.parse().unwrap()).to_vec());
    let check = |variables: Vec<(&'static str, Value)>, secrets: &[(&str, &str)]| {
        let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let environment = Environment::of(&deployment("normalize", &variables), secrets).unwrap();
        environment.check_hosts(&azure).map_err(|error| error.to_string())
    };
    let with = |name: &'static str, text: &str| {
        let mut variables = tokens();
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value(text)));
        variables
    };
    assert_eq!(check(tokens(), &[]), Ok(()));
    let cases = [
        ("InputEventHub__EventHubNamespaceFQDN", "hub.example.com", "amqps://hub.example.com"),
        ("InputEventHub__CustomEndpoint", "amqp://n.servicebus.windows.net", "amqp://n.servicebus.windows.net"),
        ("InputEventHub__CustomEndpoint", "amqps://127.0.0.1:5671", "amqps://127.0.0.1"),
        (
            "CheckpointStorage__BlobStorageContainerUri",
            "https://kubernetes.default.svc/api?sig=5ecret",
            "https://kubernetes.default.svc",
        ),
        ("CheckpointStorage__BlobStorageContainerUri", "http://169.254.169.254/a/b", "http://169.254.169.254"),
        ("ExternalIdentity__CertificateUri", "https://vault.example.com/certificates/c", "https://vault.example.com"),
        ("ExternalIdentity__AuthorityHost", "https://login.example.com", "https://login.example.com"),
    ];
    for (name, text, host) in cases {
        let error = check(with(name, text), &[]).unwrap_err();
        assert!(error.contains(&format!("`{name}`")) && error.contains(&format!("`{host}`")), "{name}: {error}");
        assert!(!error.contains("5ecret"), "{error}");
    }

    // A connection string says by itself where it leads, once its Secret was read.
    let mut variables = with("InputEventHub__AuthenticationType", "ConnectionString");
    variables.push(("InputEventHub__ConnectionString", secret("hub", "connection")));
    assert_eq!(check(variables.clone(), &[]), Ok(()));
    let connection = |host: &str| format!("Endpoint=sb://{host};SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0");
    for (host, is_allowed) in [("n.servicebus.windows.net/", true), ("10.0.0.1/", false), ("[::1]/", false)] {
        let found = check(variables.clone(), &[("InputEventHub__ConnectionString", &connection(host))]);
        assert_eq!(found.is_ok(), is_allowed, "{host}: {found:?}");
    }
}
