//! What the API server refuses of both resources before the operator sees it:
//! each CEL rule of the definitions, with something that breaks it and something
//! near it that does not.

use std::collections::BTreeSet;

use custom_resources::{Fhir, IotConnector, definitions};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::site::{Site, WARD, connector};

/// A place in a resource (`/spec/a/0/b`) and what is put there; null takes it away.
type Change = (&'static str, Value);

/// A rule, by its field and the beginning of its message.
struct Case {
    field: &'static str,
    says: &'static str,
    bad: Vec<Change>,
    good: Vec<Change>,
}

fn case(field: &'static str, says: &'static str, bad: &[Change], good: &[Change]) -> Case {
    Case { field, says, bad: bad.to_vec(), good: good.to_vec() }
}

fn secret() -> Value {
    json!({"secretName": "s", "secretKey": "k"})
}

const EITHER: &str = "expected either secretName and secretKey, or keyVaultSecret";

fn of_connectors() -> Vec<Case> {
    let guid = "00000000-0000-0000-0000-000000000003";
    let internal_id = "/subscriptions/s/resourceGroups/g/providers/p/i";
    let certificate = "https://v.vault.azure.net/certificates/c";
    let endpoint = "amqp://127.0.0.1:5672";
    let authority = "https://login.example.com/t";
    let second = json!({
        "name": "second", "workloadName": "w2", "consumerGroup": "g2", "mapping": {"blob": "m.json"},
        "fhir": {"url": "https://second.example.com"},
    });
    let ingest = json!({"enabled": true, "host": "h.example.com", "tlsSecretName": "t", "token": secret()});
    let credentials =
        json!({"type": "ClientCredentials", "authority": authority, "clientId": "c", "clientSecret": secret()});
    vec![
        case("", "the name begins", &[("/metadata/name", json!("1c"))], &[("/metadata/name", json!("c2"))]),
        case("", "the name begins", &[("/metadata/name", json!("c.2"))], &[("/metadata/name", json!("c-2"))]),
        case("", "the name begins", &[("/metadata/name", json!("c--2"))], &[("/metadata/name", json!("c".repeat(40)))]),
        case("", "the name begins", &[("/metadata/name", json!("c".repeat(41)))], &[]),
        case("spec", "front never", &[("/spec/front", json!("functions"))], &[("/spec/front", json!("native"))]),
        case(
            "spec",
            "internalHub.eventHub never",
            &[("/spec/internalHub/eventHub/name", json!("nd-2"))],
            &[
                ("/spec/internalHub/eventHub/name", json!("ND-1")),
                ("/spec/internalHub/eventHub/partitionCount", json!(8)),
            ],
        ),
        case(
            "spec",
            "internalHub.eventHub never",
            &[("/spec/internalHub/eventHub/fullyQualifiedNamespace", json!("other.servicebus.windows.net"))],
            &[("/spec/internalHub/eventHub/fullyQualifiedNamespace", json!("Internal.servicebus.windows.net"))],
        ),
        case(
            "spec",
            "normalize.workloadName never",
            &[("/spec/normalize/workloadName", json!("w"))],
            &[("/spec/normalize/settings", json!({"A": "1"}))],
        ),
        case(
            "spec.destinations[0]",
            "workloadName never",
            &[("/spec/destinations/0/workloadName", json!("w"))],
            &[("/spec/destinations/1", second)],
        ),
        case(
            "spec.destinations[0]",
            "consumerGroup never",
            &[("/spec/destinations/0/consumerGroup", json!("other"))],
            &[("/spec/destinations/0/consumerGroup", json!("DST-fhir"))],
        ),
        case(
            "spec.destinations[0].fhir.authentication",
            "type ClientCredentials",
            &[(
                "/spec/destinations/0/fhir/authentication",
                json!({"type": "ClientCredentials", "authority": authority}),
            )],
            &[("/spec/destinations/0/fhir/authentication", credentials)],
        ),
        case(
            "spec.destinations[0].fhir.authentication.clientSecret",
            EITHER,
            &[("/spec/destinations/0/fhir/authentication/clientSecret", json!({"secretName": "s"}))],
            &[("/spec/destinations/0/fhir/authentication/clientSecret", json!({"keyVaultSecret": "k"}))],
        ),
        case(
            "spec.destinations[0].mapping",
            "expected exactly one",
            &[("/spec/destinations/0/mapping/configMap", json!({"name": "m"}))],
            &[("/spec/destinations/0/mapping", json!({"configMap": {"name": "m"}}))],
        ),
        case(
            "spec.mappings.device",
            "expected exactly one",
            &[("/spec/mappings/device/blob", json!("m.json"))],
            &[("/spec/mappings/device", json!({"blob": "m.json"}))],
        ),
        case(
            "spec.identity",
            "internal.clientId",
            &[("/spec/identity/internal/clientId", Value::Null)],
            &[("/spec/identity", json!({"type": "None"}))],
        ),
        case(
            "spec.identity",
            "type AadPodIdentity",
            &[("/spec/identity/type", json!("AadPodIdentity"))],
            &[
                ("/spec/identity/type", json!("AadPodIdentity")),
                ("/spec/identity/internal/resourceId", json!(internal_id)),
            ],
        ),
        case(
            "spec.identity.external",
            "certificateUri",
            &[("/spec/identity/external", json!({"clientId": guid, "certificateUri": certificate}))],
            &[("/spec/identity/external", json!({"clientId": guid, "certificateUri": certificate, "tenantId": guid}))],
        ),
        case(
            "spec.ingest.http",
            "host, tlsSecretName",
            &[("/spec/ingest/http", json!({"enabled": true, "host": "h.example.com"}))],
            &[("/spec/ingest/http", ingest)],
        ),
        case(
            "spec.ingest.http.token",
            EITHER,
            &[("/spec/ingest/http/token", json!({"secretKey": "k"}))],
            &[("/spec/ingest/http/token", secret())],
        ),
        case(
            "spec.internalHub",
            "authentication Development",
            &[("/spec/internalHub/authentication/type", json!("Development"))],
            &[
                ("/spec/internalHub/authentication/type", json!("Development")),
                ("/spec/internalHub/customEndpoint", json!(endpoint)),
            ],
        ),
        case(
            "spec.internalHub.authentication",
            "type ConnectionString",
            &[("/spec/internalHub/authentication/type", json!("ConnectionString"))],
            &[("/spec/internalHub/authentication", json!({"type": "ConnectionString", "connectionString": secret()}))],
        ),
        case(
            "spec.internalHub.authentication.connectionString",
            EITHER,
            &[("/spec/internalHub/authentication/connectionString", json!({"secretKey": "k"}))],
            // For KEDA alone.
            &[("/spec/internalHub/authentication/connectionString", secret())],
        ),
        case(
            "spec.scaling",
            "normalize.unprocessedEventThreshold",
            &[("/spec/scaling/normalize/unprocessedEventThreshold", json!(0))],
            &[("/spec/scaling/normalize/unprocessedEventThreshold", json!(1))],
        ),
        case(
            "spec.scaling.normalize",
            "minReplicas",
            &[("/spec/scaling/normalize", json!({"minReplicas": 3, "maxReplicas": 2}))],
            &[("/spec/scaling/normalize", json!({"minReplicas": 2, "maxReplicas": 2}))],
        ),
        case(
            "spec.scaling.groupConvert",
            "minReplicas",
            &[("/spec/scaling/groupConvert", json!({"minReplicas": 3, "maxReplicas": 2}))],
            // As many as there are partitions.
            &[("/spec/scaling/groupConvert", json!({"minReplicas": 3, "maxReplicas": 0}))],
        ),
        case(
            "spec.serviceAccount",
            "without create",
            &[("/spec/serviceAccount", json!({"create": false}))],
            &[("/spec/serviceAccount", json!({"create": false, "name": "a"}))],
        ),
        case("spec.source", "epoch never", &[("/spec/source/epoch", json!(1))], &[("/spec/source/epoch", json!(3))]),
        case(
            "spec.source",
            "another hub needs",
            &[("/spec/source/eventHub/name", json!("other"))],
            &[("/spec/source/eventHub/name", json!("other")), ("/spec/source/epoch", json!(3))],
        ),
        case(
            "spec.source",
            "another hub needs",
            &[("/spec/source/eventHub/consumerGroup", json!("g"))],
            &[("/spec/source/eventHub/consumerGroup", json!("$Default"))],
        ),
        case(
            "spec.source",
            "another hub needs",
            &[("/spec/source/eventHub/fullyQualifiedNamespace", json!("other.servicebus.windows.net"))],
            &[("/spec/source/eventHub/name", json!("DeviceData"))],
        ),
        case(
            "spec.source",
            "authentication Development",
            &[("/spec/source/authentication/type", json!("Development"))],
            &[
                ("/spec/source/authentication/type", json!("Development")),
                ("/spec/source/customEndpoint", json!(endpoint)),
            ],
        ),
        case(
            "spec.source.authentication",
            "type ConnectionString",
            &[("/spec/source/authentication/type", json!("ConnectionString"))],
            &[("/spec/source/authentication", json!({"type": "ConnectionString", "connectionString": secret()}))],
        ),
        case(
            "spec.source.authentication.connectionString",
            EITHER,
            &[("/spec/source/authentication/connectionString", json!({"secretName": "s", "keyVaultSecret": "k"}))],
            &[("/spec/source/authentication/connectionString", json!({"keyVaultSecret": "k"}))],
        ),
        case(
            "spec.storage.authentication",
            "sas is needed",
            &[("/spec/storage/authentication", json!({"type": "Sas"}))],
            &[("/spec/storage/authentication", json!({"type": "Sas", "sas": secret()}))],
        ),
        case(
            "spec.storage.authentication",
            "sas is needed",
            &[("/spec/storage/authentication", json!({"sas": secret()}))],
            &[("/spec/storage/authentication", json!({"type": "WorkloadIdentity"}))],
        ),
        case(
            "spec.storage.authentication.sas",
            EITHER,
            &[("/spec/storage/authentication", json!({"type": "Sas", "sas": {"secretName": "s"}}))],
            &[("/spec/storage/authentication", json!({"type": "Sas", "sas": {"keyVaultSecret": "k"}}))],
        ),
        case(
            "spec.storage.authentication.connectionString",
            EITHER,
            &[("/spec/storage/authentication/connectionString", json!({"secretName": "s"}))],
            &[("/spec/storage/authentication/connectionString", secret())],
        ),
    ]
}

fn of_servers() -> Vec<Case> {
    let guid = "00000000-0000-0000-0000-000000000003";
    let host = "https://c.documents.azure.com";
    let storage = "https://s.blob.core.windows.net";
    let pod_identity = json!({"type": "AadPodIdentity", "clientId": guid});
    let mut whole_pod_identity = pod_identity.clone();
    whole_pod_identity["resourceId"] = json!("/subscriptions/s/resourceGroups/g/providers/p/i");
    vec![
        case("", "the name begins", &[("/metadata/name", json!("1f"))], &[("/metadata/name", json!("f--2"))]),
        case("", "the name begins", &[("/metadata/name", json!("f.2"))], &[("/metadata/name", json!("f".repeat(50)))]),
        case("", "the name begins", &[("/metadata/name", json!("f".repeat(51)))], &[]),
        case("spec", "fhirVersion never", &[("/spec/fhirVersion", json!("R5"))], &[("/spec/fhirVersion", json!("R4"))]),
        case(
            "spec.dataStore",
            "type SqlServer",
            &[("/spec/dataStore", json!({"type": "SqlServer"}))],
            &[("/spec/dataStore", json!({"type": "SqlServer", "connectionString": secret()}))],
        ),
        case(
            "spec.dataStore",
            "type CosmosDb",
            &[("/spec/dataStore", json!({"type": "CosmosDb"}))],
            &[("/spec/dataStore", json!({"type": "CosmosDb", "host": host}))],
        ),
        case(
            "spec.export",
            "expected either storageAccountUri",
            &[("/spec/export", json!({"enabled": true}))],
            &[("/spec/export", json!({"enabled": true, "storageAccountUri": storage}))],
        ),
        case(
            "spec.export",
            "expected either storageAccountUri",
            &[(
                "/spec/export",
                json!({"enabled": true, "storageAccountUri": storage, "storageAccountConnection": secret()}),
            )],
            &[("/spec/export", json!({"enabled": false}))],
        ),
        case(
            "spec.identity",
            "clientId is needed",
            &[("/spec/identity", json!({"type": "WorkloadIdentity"}))],
            &[("/spec/identity", json!({"type": "WorkloadIdentity", "clientId": guid}))],
        ),
        case(
            "spec.identity",
            "type AadPodIdentity",
            &[("/spec/identity", pod_identity)],
            &[("/spec/identity", whole_pod_identity)],
        ),
        case(
            "spec.ingress",
            "domain is needed",
            &[("/spec/ingress", json!({"enabled": true, "allowPlainHttp": true}))],
            &[("/spec/ingress", json!({"enabled": true, "allowPlainHttp": true, "domain": "f.example.com"}))],
        ),
        case(
            "spec.ingress",
            "tls.secretName",
            &[("/spec/ingress", json!({"enabled": true, "domain": "f.example.com"}))],
            &[("/spec/ingress", json!({"enabled": true, "domain": "f.example.com", "tls": {"secretName": "t"}}))],
        ),
        case(
            "spec.strategy",
            "type Recreate",
            &[("/spec/strategy", json!({"type": "Recreate", "maxSurge": "1"}))],
            &[("/spec/strategy", json!({"type": "Recreate"}))],
        ),
    ]
}

fn changed(resource: &Value, changes: &[Change]) -> Value {
    let mut resource = resource.clone();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut place = &mut resource;
        for part in parent.split('/').skip(1) {
            place = match part.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[part],
            };
        }
        match (place, value) {
            (Value::Array(list), value) => list.push(value.clone()),
            (place, Value::Null) => drop(place.as_object_mut().unwrap().remove(name)),
            (place, value) => place[name] = value.clone(),
        }
    }
    resource
}

/// What the API server would say.
fn refusal(site: &Site, api: &Api<DynamicObject>, resource: &Value) -> Option<String> {
    let name = resource["metadata"]["name"].as_str().unwrap();
    let parameters = PatchParams { dry_run: true, ..PatchParams::apply("user").force() };
    let answer = site.plane.block_on(api.patch(name, &parameters, &Patch::Apply(resource)));
    match answer {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// Field and message of every rule of a schema.
fn rules(schema: &Value, field: &str, found: &mut BTreeSet<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert((field.to_owned(), rule["message"].as_str().unwrap().to_owned()));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let field = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
        rules(property, &field, found);
    }
    if schema["items"].is_object() {
        rules(&schema["items"], &format!("{field}[0]"), found);
    }
}

fn check(site: &Site, resource: &ApiResource, stored: &Value, cases: Vec<Case>) {
    let definitions = definitions();
    let (_, definition) =
        definitions.iter().find(|(_, definition)| definition.spec.names.kind == resource.kind).unwrap();
    let definition = serde_json::to_value(definition).unwrap();
    let mut untried = BTreeSet::new();
    rules(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut untried);
    let all = untried.clone();

    site.plane.block_on(async {
        let api: Api<DynamicObject> = Api::namespaced_with(site.plane.client(), WARD, resource);
        let name = stored["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(stored)).await.unwrap();
    });
    let api: Api<DynamicObject> = Api::namespaced_with(site.plane.client(), WARD, resource);
    assert_eq!(refusal(site, &api, stored), None, "it may stay as it is");
    for Case { field, says, bad, good } in cases {
        let rule = all.iter().find(|(of, message)| of == field && message.starts_with(says));
        let rule = rule.unwrap_or_else(|| panic!("no rule of `{field}` says `{says}`"));
        let refused = refusal(site, &api, &changed(stored, &bad)).unwrap_or_default();
        let place = if field.is_empty() { String::new() } else { format!("{field}: Invalid value") };
        assert!(refused.contains(&rule.1) && refused.contains(&place), "{rule:?} with {bad:?}: {refused}");
        assert_eq!(refusal(site, &api, &changed(stored, &good)), None, "{rule:?} with {good:?}");
        untried.remove(rule);
    }
    assert!(untried.is_empty(), "rules that nothing was tried with: {untried:#?}");
}

#[test]
fn each_rule_refuses_what_it_is_for_and_nothing_else() {
    let site = Site::start(&[], &json!({}));
    let stored = changed(&connector("c1"), &[("/spec/source/epoch", json!(2))]);
    check(&site, &ApiResource::erase::<IotConnector>(&()), &stored, of_connectors());
    let stored = json!({
        "apiVersion": "iotconnector.health/v1alpha1", "kind": "Fhir", "metadata": {"name": "f1", "namespace": WARD},
        "spec": {"authentication": {"enabled": false}},
    });
    check(&site, &ApiResource::erase::<Fhir>(&()), &stored, of_servers());
}
