//! From what the worker asks for to an `IotConnector`. Pure.

use std::collections::BTreeMap;

use custom_resources::identity::IdentityType;
use custom_resources::values::merge;
use custom_resources::{IotConnector, IotConnectorSpec};
use kube::api::ObjectMeta;
use serde_json::{Map, Value, json};

use super::FIELD_MANAGER;
use super::settings::{ClusterSettings, InvalidSettings};
use crate::documents::ScaleInfo;
use crate::ports::{ConnectorSpec, DestinationSpec};

/// The resource of a connector.
///
/// # Errors
///
/// [`InvalidSettings`], which [`ClusterSettings::check`] finds before.
pub fn resource(
    connector: &ConnectorSpec,
    place: &ScaleInfo,
    settings: &ClusterSettings,
) -> Result<IotConnector, InvalidSettings> {
    let spec: IotConnectorSpec =
        serde_json::from_value(laid_out(connector, place, settings)).map_err(InvalidSettings::Spec)?;
    let mut resource = IotConnector::new(&connector.name, spec);
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned())]);
    resource.metadata = ObjectMeta { labels: Some(labels), ..resource.metadata };
    Ok(resource)
}

/// Its spec, with what the platform lays over it.
pub fn laid_out(connector: &ConnectorSpec, place: &ScaleInfo, settings: &ClusterSettings) -> Value {
    let endpoint = &connector.endpoint;
    let hubs = place.event_hub_namespace_resource_id.rsplit('/').next().unwrap_or_default();
    let destinations = connector.destinations.iter().map(|spec| merge(destination(spec), over(&settings.destination)));
    let spec = json!({
        "suspended": connector.is_suspended,
        "source": {
            "epoch": connector.epoch,
            "eventHub": {
                "fullyQualifiedNamespace": endpoint.fully_qualified_event_hub_namespace.trim_end_matches('.'),
                "name": endpoint.event_hub_name,
                "consumerGroup": endpoint.consumer_group.as_deref().unwrap_or("$default"),
                "partitionCount": settings.source_partitions,
            },
        },
        "internalHub": {
            "eventHub": {
                "fullyQualifiedNamespace": format!("{hubs}.{}", settings.event_hubs_suffix),
                "name": connector.internal_hub,
                "partitionCount": settings.internal_partitions,
            },
        },
        "storage": {
            "accountName": connector.storage_account,
            "endpointSuffix": settings.storage_suffix,
            "containers": {
                // Connectors of a workspace share an account.
                "deadLetters": format!("{}-dead-letters", connector.name),
                // Who is not known is a reason for rejection, as in the service that this succeeds.
                "parking": "",
            },
        },
        "mappings": {
            "device": { "blob": connector.device_mapping, "version": connector.device_mapping_hash },
        },
        "normalize": { "workloadName": connector.name },
        "destinations": destinations.collect::<Vec<_>>(),
        "identity": identity(connector, settings),
        "scaling": { "source": settings.lag_source },
    });
    merge(spec, over(&settings.connector))
}

fn over(members: &Map<String, Value>) -> Value {
    Value::Object(members.clone())
}

fn destination(spec: &DestinationSpec) -> Value {
    json!({
        "name": spec.name,
        "consumerGroup": spec.consumer_group,
        "workloadName": spec.name,
        "mapping": { "blob": spec.fhir_mapping, "version": spec.fhir_mapping_hash },
        "fhir": { "url": spec.fhir_url, "audience": spec.fhir_audience },
        "identityResolution": { "type": spec.resolution },
    })
}

/// Who opens what. Pods that are nobody can show no certificate: it lies in a
/// vault.
fn identity(connector: &ConnectorSpec, settings: &ClusterSettings) -> Value {
    if settings.identity == IdentityType::None {
        return json!({ "type": IdentityType::None });
    }
    let own = &connector.internal_identity;
    let external = connector.certificate.as_ref().map(|certificate| {
        json!({
            "clientId": certificate.client_id,
            "tenantId": certificate.tenant_id,
            "certificateUri": certificate.uri,
            "authorityHost": settings.authority_host,
        })
    });
    json!({
        "type": settings.identity,
        "internal": {
            "clientId": own.client_id,
            "tenantId": settings.tenant_id,
            "objectId": own.principal_id,
            "resourceId": own.resource_id,
        },
        "external": external,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::settings::example;

    fn spec(change: impl FnOnce(&mut ConnectorSpec), settings: Value) -> Value {
        let (mut connector, place) = example();
        change(&mut connector);
        let settings: ClusterSettings = serde_json::from_value(settings).expect("settings");
        let made = resource(&connector, &place, &settings).expect("a connector");
        serde_json::to_value(made.spec).expect("JSON")
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let made = spec(|_| (), json!({ "tenantId": "99999999-9999-9999-9999-999999999999" }));
        let name = made["normalize"]["workloadName"].as_str().expect("a name").to_owned();
        let id = name.strip_prefix("iotn-").expect("an id");
        let text = |path: &str| made.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!(text("/source/eventHub/consumerGroup"), "$default");
        assert_eq!(text("/internalHub/eventHub/fullyQualifiedNamespace"), "ehn-ioc-0.servicebus.windows.net");
        assert_eq!(text("/internalHub/eventHub/name"), format!("nd-{id}"));
        assert_eq!(text("/storage/containers/deadLetters"), format!("{name}-dead-letters"));
        assert_eq!(text("/storage/containers/parking"), "");
        assert_eq!(text("/destinations/0/workloadName"), format!("iotd-{id}"));
        assert_eq!(text("/destinations/0/name"), format!("iotd-{id}"));
        assert_eq!(text("/destinations/0/consumerGroup"), format!("dst-{id}"));
        assert_eq!(text("/destinations/0/identityResolution/type"), "Lookup");
        assert_eq!(text("/identity/internal/tenantId"), "99999999-9999-9999-9999-999999999999");
        assert_eq!(text("/identity/external/certificateUri"), "https://vault.example/certificates/mi-0");
        assert_eq!(text("/scaling/source"), "operator");
    }

    #[test]
    fn follows_what_the_connector_is() {
        let made = spec(
            |connector| {
                connector.epoch = 3;
                connector.is_suspended = true;
                connector.certificate = None;
                connector.destinations.clear();
                connector.endpoint.fully_qualified_event_hub_namespace = "contoso.servicebus.windows.net.".to_owned();
                connector.endpoint.consumer_group = Some("fhir".to_owned());
            },
            json!({}),
        );
        assert_eq!(made["suspended"], true);
        assert_eq!(made["destinations"], json!([]));
        assert_eq!(made["identity"]["external"], Value::Null);
        let source = json!({
            "epoch": 3,
            "eventHub": {
                "fullyQualifiedNamespace": "contoso.servicebus.windows.net", "name": "hub", "consumerGroup": "fhir",
                "partitionCount": 32,
            },
        });
        assert_eq!(made["source"], source);
    }

    #[test]
    fn what_the_platform_says_lies_over_it() {
        let secret = json!({ "secretName": "site", "secretKey": "hub" });
        let hub = json!({ "type": "ConnectionString", "connectionString": secret });
        let settings = json!({
            "namespace": "ward", "identity": "None", "internalPartitions": 2, "lagSource": "keda",
            "connector": { "source": { "authentication": hub } },
            "destination": { "fhir": { "authentication": { "type": "None" } }, "window": { "seconds": 2 } },
        });
        let made = spec(|_| (), settings);
        assert_eq!(made["identity"], json!({ "type": "None" }), "nobody opens no vault");
        assert_eq!(made["source"]["authentication"], hub);
        assert_eq!(made["source"]["eventHub"]["name"], "hub");
        assert_eq!(made["internalHub"]["eventHub"]["partitionCount"], 2);
        assert_eq!(made["destinations"][0]["fhir"]["url"], "https://fhir.example");
        assert_eq!(made["destinations"][0]["fhir"]["authentication"]["type"], "None");
        assert_eq!(made["destinations"][0]["window"], json!({ "seconds": 2 }));
    }
}
