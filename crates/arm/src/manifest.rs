//! What the provider tells ARM of itself (resource-provider.md 2.13, 3.9), from
//! the table that routes requests, so that the two cannot differ.

use serde_json::{Value, json};

use crate::resource_type::{Action, Generation, ResourceType, Verb};
use crate::{NAMESPACE, name_of_provider};

/// The answer to `GET /providers/Microsoft.HealthcareApis/operations`.
pub fn operations() -> Value {
    let mut all = Vec::new();
    for kind in ResourceType::ALL {
        let (path, name) = (kind.canonical_path(), title(kind));
        if kind.verbs().contains(&Verb::Get) {
            all.push(operation(&format!("{path}/read"), name, "Read", &format!("Reads {name}.")));
        }
        if kind.verbs().contains(&Verb::Put) {
            all.push(operation(&format!("{path}/write"), name, "Write", &format!("Creates or updates {name}.")));
        }
        if kind.verbs().contains(&Verb::Delete) {
            all.push(operation(&format!("{path}/delete"), name, "Delete", &format!("Deletes {name}.")));
        }
        for action in kind.actions() {
            let (verb, what) = match action {
                Action::ListKeys => ("List Keys", "Lists the keys of"),
                Action::RegenerateKeys => ("Regenerate Keys", "Regenerates a key of"),
            };
            let path = format!("{path}/{}/action", action.segment());
            all.push(operation(&path, name, verb, &format!("{what} {name}.")));
        }
    }
    let mut of_provider = |path: &str, resource: &str, verb: &str, description: &str| {
        all.push(operation(path, resource, verb, description));
    };
    of_provider("locations/operationresults/read", "Operation Results", "Read", "Reads how an operation goes.");
    of_provider("checkNameAvailability/action", "Name Availability", "Check", "Checks whether a name is free.");
    of_provider("register/action", "Resource Provider", "Register", "Registers a subscription.");
    of_provider("operations/read", "Operations", "Read", "Reads the operations of the provider.");
    json!({ "value": all })
}

fn operation(path: &str, resource: &str, verb: &str, description: &str) -> Value {
    json!({
        "name": name_of_provider(path),
        "isDataAction": false,
        "display": {
            "provider": "Microsoft Healthcare APIs",
            "resource": resource,
            "operation": format!("{verb} {resource}"),
            "description": description,
        },
        "origin": "user,system",
    })
}

/// What people call the resources of a type.
fn title(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::IomtConnector => "IoMT Connectors",
        ResourceType::Connection => "IoMT Connector Connections",
        ResourceType::IomtMapping => "IoMT Connector Mappings",
        ResourceType::Workspace => "Workspaces",
        ResourceType::IotConnector => "IoT Connectors",
        ResourceType::FhirDestination => "IoT Connector FHIR Destinations",
        ResourceType::IotMapping => "IoT Connector Mappings",
    }
}

/// The manifest of the first generation's types, for ARM
/// (resource-provider.md 3.9). `endpoint` is our URL, with a slash at its end;
/// `locations` are the regions, for people.
pub fn gen1_manifest(endpoint: &str, locations: &[String]) -> Value {
    let types = ResourceType::ALL.into_iter().filter(|kind| kind.generation() == Generation::Gen1);
    Value::Array(types.map(|kind| manifest_of(kind, endpoint, locations)).collect())
}

fn manifest_of(kind: ResourceType, endpoint: &str, locations: &[String]) -> Value {
    let versions: Vec<&str> = kind.versions().iter().map(|version| version.as_str()).collect();
    let mut manifest = json!({
        "name": kind.canonical_path(),
        "routingType": if kind.is_tracked() { "Default" } else { "ProxyOnly" },
        "resourceDeletionPolicy": "NotSpecified",
        "endpoints": [{
            "enabled": true,
            "apiVersions": versions,
            "endpointUri": format!("{endpoint}providers/{NAMESPACE}/"),
            "locations": locations,
            "timeout": "PT20S",
        }],
        "marketplaceType": "NotSpecified",
    });
    let (name, value) = match kind.is_tracked() {
        true => ("resourceValidation", json!("ReservedWords, ProfaneWords")),
        false => ("disallowedActionVerbs", json!([])),
    };
    manifest[name] = value;
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_and_verb_has_an_operation() {
        let operations = operations();
        let names: Vec<&str> =
            operations["value"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        for path in [
            "workspaces/read",
            "workspaces/iotconnectors/fhirdestinations/write",
            "services/iomtconnectors/delete",
            "services/iomtconnectors/connections/listKeys/action",
            "services/iomtconnectors/connections/regenerateKeys/action",
            "locations/operationresults/read",
            "checkNameAvailability/action",
            "register/action",
        ] {
            assert!(names.contains(&format!("Microsoft.HealthcareApis/{path}").as_str()), "{path}");
        }
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    /// The manifest of seed 002, with our type names and its regions.
    #[test]
    fn the_manifest_is_the_seeds() {
        let regions = ["West Europe", "West US 2"].map(str::to_owned);
        let manifest = gen1_manifest("https://armresourceprovider-test.mshapis.com:15612/", &regions);
        let endpoint = json!([{
            "enabled": true, "apiVersions": ["2020-05-01-preview"],
            "endpointUri": "https://armresourceprovider-test.mshapis.com:15612/providers/Microsoft.HealthcareApis/",
            "locations": ["West Europe", "West US 2"], "timeout": "PT20S",
        }]);
        assert_eq!(
            manifest,
            json!([
                { "name": "services/iomtconnectors", "routingType": "Default", "resourceDeletionPolicy": "NotSpecified",
                  "resourceValidation": "ReservedWords, ProfaneWords", "endpoints": endpoint, "marketplaceType": "NotSpecified" },
                { "name": "services/iomtconnectors/connections", "routingType": "ProxyOnly",
                  "resourceDeletionPolicy": "NotSpecified", "endpoints": endpoint, "marketplaceType": "NotSpecified",
                  "disallowedActionVerbs": [] },
                { "name": "services/iomtconnectors/mappings", "routingType": "ProxyOnly",
                  "resourceDeletionPolicy": "NotSpecified", "endpoints": endpoint, "marketplaceType": "NotSpecified",
                  "disallowedActionVerbs": [] },
            ])
        );
    }
}
