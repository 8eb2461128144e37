//! Bodies.

use arm::operation::OperationStatus;
use arm::state::{ProvisioningState, SubscriptionState};
use arm::{ErrorCode, NAMESPACE, ResourceType};
use serde_json::{Map, Value, json};

use super::schema;

/// The schema of a type's resources.
pub fn name(kind: ResourceType) -> String {
    format!("{kind:?}")
}

/// The schema of a change of one.
pub fn patch_name(kind: ResourceType) -> String {
    format!("{kind:?}Patch")
}

/// All schemas.
pub fn all() -> Value {
    let mut all = Map::new();
    for kind in ResourceType::ALL {
        all.insert(name(kind), resource(kind));
        if kind.verbs().contains(&arm::resource_type::Verb::Patch) {
            all.insert(patch_name(kind), patch(kind));
        }
    }
    let Value::Object(others) = others() else { return Value::Object(all) };
    all.extend(others);
    Value::Object(all)
}

/// References to these schemas, and to those of all resources.
pub fn resources_and(names: &[&str]) -> Vec<Value> {
    let resources = ResourceType::ALL.map(|kind| schema(&name(kind)));
    names.iter().map(|name| schema(name)).chain(resources).collect()
}

fn read_only(mut schema: Value) -> Value {
    schema["readOnly"] = json!(true);
    schema
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn resource(kind: ResourceType) -> Value {
    let mut own = properties(kind);
    own["properties"]["provisioningState"] = read_only(schema("ProvisioningState"));
    let state = own["required"].as_array().cloned().unwrap_or_default().into_iter().chain([json!("provisioningState")]);
    own["required"] = state.collect();
    let mut members = json!({
        "id": read_only(text()),
        "name": read_only(json!({ "type": "string", "description": "With the names of what is above it." })),
        "type": read_only(text()),
        "etag": read_only(text()),
        "systemData": read_only(schema("SystemData")),
        "properties": own,
    });
    let mut required = vec!["id", "name", "type", "etag", "properties"];
    if kind.is_tracked() || kind == ResourceType::FhirDestination {
        members["location"] = text();
    }
    if kind.is_tracked() {
        members["tags"] = schema("Tags");
    }
    match kind {
        ResourceType::Workspace => {
            required.push("location");
            members["sku"] = schema("Sku");
            members["kind"] = text();
        }
        ResourceType::IotConnector => {
            required.push("identity");
            members["identity"] = schema("Identity");
        }
        _ => {}
    }
    json!({ "type": "object", "required": required, "properties": members })
}

/// What may be changed; everything may be left out.
fn patch(kind: ResourceType) -> Value {
    let mut members = json!({ "properties": { "type": "object", "properties": properties(kind)["properties"] } });
    if kind.is_tracked() {
        members["tags"] = schema("Tags");
    }
    match kind {
        ResourceType::Workspace => members["sku"] = schema("Sku"),
        ResourceType::IotConnector => members["identity"] = schema("Identity"),
        _ => {}
    }
    json!({ "type": "object", "properties": members })
}

/// What is of a type, without its state.
fn properties(kind: ResourceType) -> Value {
    match kind {
        ResourceType::Workspace => json!({
            "type": "object",
            "properties": {
                "publicNetworkAccess": { "type": "string", "enum": ["Enabled", "Disabled"], "default": "Enabled" },
                "privateEndpointConnections": read_only(json!({ "type": "array", "items": { "type": "object" } })),
            },
        }),
        ResourceType::IotConnector => json!({
            "type": "object", "required": ["ingestionEndpointConfiguration", "deviceMapping"],
            "properties": {
                "ingestionEndpointConfiguration": schema("IngestionEndpoint"),
                "deviceMapping": inline("DeviceMapping"),
            },
        }),
        ResourceType::FhirDestination => json!({
            "type": "object", "required": ["resourceIdentityResolutionType", "fhirServiceResourceId", "fhirMapping"],
            "properties": {
                "destinationType": {
                    "type": "string", "enum": ["FhirService"], "description": "Shown by 2020-11-01-preview only.",
                },
                "resourceIdentityResolutionType": schema("Resolution"),
                "fhirServiceResourceId": {
                    "type": "string",
                    "description": "A FHIR service of the workspace, or one of the first generation in the subscription.",
                },
                "fhirMapping": inline("FhirMapping"),
            },
        }),
        ResourceType::IomtConnector => json!({
            "type": "object",
            "properties": {
                "serviceConfiguration": {
                    "type": "object", "properties": { "resourceIdentityResolutionType": schema("Resolution") },
                },
            },
        }),
        ResourceType::Connection => json!({ "type": "object", "properties": {} }),
        ResourceType::IotMapping | ResourceType::IomtMapping => json!({
            "type": "object", "required": ["content"],
            "properties": { "content": { "anyOf": [schema("DeviceMapping"), schema("FhirMapping")] } },
        }),
    }
}

/// A mapping within a resource.
fn inline(name: &str) -> Value {
    json!({ "type": "object", "required": ["content"], "properties": { "content": schema(name) } })
}

fn others() -> Value {
    let states = [
        ProvisioningState::Accepted,
        ProvisioningState::Creating,
        ProvisioningState::Updating,
        ProvisioningState::Deleting,
        ProvisioningState::Succeeded,
        ProvisioningState::Failed,
        ProvisioningState::Canceled,
        ProvisioningState::Warned,
        ProvisioningState::Suspended,
    ];
    let statuses = [
        OperationStatus::Requested,
        OperationStatus::Running,
        OperationStatus::Succeeded,
        OperationStatus::Failed,
        OperationStatus::Canceled,
    ];
    let subscriptions = [
        SubscriptionState::Registered,
        SubscriptionState::Warned,
        SubscriptionState::Suspended,
        SubscriptionState::Unregistered,
        SubscriptionState::Deleted,
    ];
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let texts = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), text())).collect::<Map<_, _>>();
    let keys = ["keyName", "primaryKey", "secondaryKey", "primaryConnectionString", "secondaryConnectionString"];
    let changes = ["createdBy", "createdByType", "createdAt", "lastModifiedBy", "lastModifiedByType", "lastModifiedAt"];
    let display = ["provider", "resource", "operation", "description"];
    json!({
        "ProvisioningState": { "type": "string", "enum": states },
        "Resolution": { "type": "string", "enum": ["Create", "Lookup"] },
        "Tags": { "type": "object", "maxProperties": 15, "additionalProperties": { "type": "string", "maxLength": 256 } },
        "Sku": {
            "type": "object", "required": ["name"],
            "properties": { "name": { "type": "string", "enum": ["Consumption", "Dedicated"] } },
        },
        "Identity": {
            "type": "object", "required": ["type"],
            "properties": {
                "type": { "type": "string", "enum": ["SystemAssigned"] },
                "principalId": read_only(text()),
                "tenantId": read_only(text()),
            },
        },
        "SystemData": { "type": "object", "properties": texts(&changes) },
        "IngestionEndpoint": {
            "type": "object", "required": ["eventHubName", "fullyQualifiedEventHubNamespace"],
            "properties": {
                "eventHubName": { "type": "string", "minLength": 1, "maxLength": 256 },
                "consumerGroup": { "type": "string", "maxLength": 50, "description": "`$Default` when it is not there." },
                "fullyQualifiedEventHubNamespace": { "type": "string", "maxLength": 253 },
            },
        },
        "DeviceMapping": mapping("CollectionContent"),
        "FhirMapping": mapping("CollectionFhir"),
        "ConnectionKeys": { "type": "object", "required": keys, "properties": texts(&keys) },
        "KeyType": {
            "type": "object", "required": ["keyType"],
            "properties": { "keyType": { "type": "string", "enum": ["PrimaryKey", "SecondaryKey"] } },
        },
        "OperationStatus": {
            "type": "object", "required": ["id", "name", "status", "startTime"],
            "properties": {
                "id": text(),
                "name": text(),
                "status": { "type": "string", "enum": statuses },
                "startTime": { "type": "string", "format": "date-time" },
                "endTime": { "type": "string", "format": "date-time" },
                "percentComplete": { "type": "number", "minimum": 0, "maximum": 100 },
                "error": schema("ErrorDetail"),
            },
        },
        "Operations": {
            "type": "object", "required": ["value"],
            "properties": { "value": { "type": "array", "items": {
                "type": "object", "required": ["name", "isDataAction", "display", "origin"],
                "properties": {
                    "name": text(),
                    "isDataAction": { "type": "boolean" },
                    "display": { "type": "object", "required": display, "properties": texts(&display) },
                    "origin": text(),
                },
            } } },
        },
        "NameToCheck": {
            "type": "object", "required": ["name", "type"],
            "properties": { "name": text(), "type": { "type": "string", "enum": [
                arm::name_of_provider("workspaces"), arm::name_of_provider("services"),
            ] } },
        },
        "NameAvailability": {
            "type": "object", "required": ["nameAvailable"],
            "properties": {
                "nameAvailable": { "type": "boolean" },
                "reason": { "type": "string", "enum": ["Invalid", "AlreadyExists"] },
                "message": text(),
            },
        },
        "Subscription": {
            "type": "object", "required": ["state"],
            "properties": { "state": { "type": "string", "enum": subscriptions } },
        },
        "Provider": {
            "type": "object", "required": ["id", "namespace", "registrationState", "resourceTypes"],
            "properties": {
                "id": text(),
                "namespace": { "type": "string", "enum": [NAMESPACE] },
                "registrationState": { "type": "string", "enum": ["Registered", "NotRegistered"] },
                "registrationPolicy": text(),
                "resourceTypes": { "type": "array", "items": { "type": "object" } },
            },
        },
        "Error": { "type": "object", "required": ["error"], "properties": { "error": schema("ErrorDetail") } },
        "ErrorDetail": {
            "type": "object", "required": ["code", "message"],
            "properties": {
                "code": { "type": "string", "enum": codes },
                "message": { "type": "string", "minLength": 1 },
                "target": text(),
                "details": { "type": "array", "items": {
                    "type": "object", "required": ["code", "message"],
                    "properties": { "code": text(), "message": text(), "target": text() },
                } },
            },
        },
    })
}

/// A mapping; its rules are in docs/mappings.md, and checked at once.
fn mapping(kind: &str) -> Value {
    json!({
        "type": "object", "required": ["templateType", "template"],
        "properties": {
            "templateType": {
                "type": "string", "description": format!("`{kind}`, with or without `Template` at its end."),
            },
            "template": { "type": "array", "maxItems": 1000, "items": {
                "type": "object", "required": ["templateType", "template"],
                "properties": { "templateType": text(), "template": { "type": "object" } },
            } },
        },
    })
}

/// A body of PUT that is taken as it stands.
pub fn example(kind: ResourceType) -> Value {
    let properties = match kind {
        ResourceType::Workspace => json!({ "publicNetworkAccess": "Enabled" }),
        ResourceType::IotConnector => json!({
            "ingestionEndpointConfiguration": {
                "eventHubName": "telemetry", "consumerGroup": "fhir",
                "fullyQualifiedEventHubNamespace": "contoso.servicebus.windows.net",
            },
            "deviceMapping": { "content": device_mapping() },
        }),
        ResourceType::FhirDestination => json!({
            "resourceIdentityResolutionType": "Lookup",
            "fhirServiceResourceId": format!(
                "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/{NAMESPACE}/services/fhir1"
            ),
            "fhirMapping": { "content": fhir_mapping() },
        }),
        ResourceType::IomtConnector => {
            json!({ "serviceConfiguration": { "resourceIdentityResolutionType": "Lookup" } })
        }
        ResourceType::Connection => json!({}),
        ResourceType::IotMapping | ResourceType::IomtMapping => json!({ "content": device_mapping() }),
    };
    let mut body = json!({ "properties": properties });
    if kind.is_tracked() {
        body["location"] = json!("westus2");
    }
    if kind == ResourceType::IotConnector {
        body["identity"] = json!({ "type": "SystemAssigned" });
    }
    body
}

/// A body of PATCH.
pub fn patch_example(kind: ResourceType) -> Value {
    match kind {
        ResourceType::IotConnector => json!({ "properties": { "deviceMapping": { "content": device_mapping() } } }),
        ResourceType::FhirDestination => json!({ "properties": { "resourceIdentityResolutionType": "Create" } }),
        _ => json!({ "tags": { "team": "cardiology" } }),
    }
}

fn device_mapping() -> Value {
    json!({ "templateType": "CollectionContent", "template": [{
        "templateType": "JsonPathContent",
        "template": {
            "typeName": "heartrate", "typeMatchExpression": "$..[?(@heartrate)]",
            "deviceIdExpression": "$.deviceid", "timestampExpression": "$.measurementdatetime",
            "values": [{ "required": "true", "valueExpression": "$.heartrate", "valueName": "hr" }],
        },
    }] })
}

fn fhir_mapping() -> Value {
    json!({ "templateType": "CollectionFhir", "template": [{
        "templateType": "CodeValueFhir",
        "template": {
            "codes": [{ "code": "8867-4", "system": "http://loinc.org", "display": "Heart rate" }],
            "periodInterval": 60, "typeName": "heartrate",
            "value": { "defaultPeriod": 5000, "unit": "count/min", "valueName": "hr", "valueType": "SampledData" },
        },
    }] })
}
