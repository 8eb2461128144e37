//! What clients are told to send, and what of their answers is looked at.

use serde_json::{Value, json};

use super::GROUP;

/// A device mapping for one type of measurement.
pub fn device_mapping(kind: &str) -> Value {
    json!({ "templateType": "CollectionContent", "template": [{
        "templateType": "JsonPathContent",
        "template": {
            "typeName": kind, "typeMatchExpression": format!("$..[?(@{kind})]"),
            "deviceIdExpression": "$.deviceid", "timestampExpression": "$.measurementdatetime",
            "values": [{ "required": "true", "valueExpression": format!("$.{kind}"), "valueName": kind }],
        },
    }] })
}

pub fn fhir_mapping() -> Value {
    json!({ "templateType": "CollectionFhir", "template": [{
        "templateType": "CodeValueFhir",
        "template": {
            "codes": [{ "code": "8867-4", "system": "http://loinc.org", "display": "Heart rate" }],
            "periodInterval": 60, "typeName": "heartrate",
            "value": { "defaultPeriod": 5000, "unit": "count/min", "valueName": "heartrate", "valueType": "SampledData" },
        },
    }] })
}

pub fn put_workspace(name: &str) -> Value {
    json!({ "do": "put", "names": [name], "body": { "location": "westus2" } })
}

pub fn put_connector(name: &str, kind: &str) -> Value {
    json!({ "do": "put", "names": ["ws1", name], "body": {
        "location": "westus2", "identity": { "type": "SystemAssigned" }, "tags": { "made": "first" },
        "properties": {
            "ingestionEndpointConfiguration": {
                "eventHubName": "telemetry", "consumerGroup": "fhir",
                "fullyQualifiedEventHubNamespace": "contoso.servicebus.windows.net",
            },
            "deviceMapping": { "content": device_mapping(kind) },
        },
    } })
}

pub fn put_destination(name: &str) -> Value {
    json!({ "do": "put", "names": ["ws1", "iot1", name], "body": {
        "location": "westus2",
        "properties": {
            "resourceIdentityResolutionType": "Create",
            "fhirServiceResourceId": format!("{GROUP}/services/fhir1"),
            "fhirMapping": { "content": fhir_mapping() },
        },
    } })
}

/// The command with headers.
pub fn with_headers(mut command: Value, headers: Value) -> Value {
    command["headers"] = headers;
    command
}

/// A member of `properties`, which one client shows beside the others.
pub fn property<'v>(resource: &'v Value, name: &str) -> &'v Value {
    resource.get("properties").and_then(|properties| properties.get(name)).unwrap_or(&resource[name])
}

/// The type that the device mapping of a connector is for.
pub fn device_type(connector: &Value) -> &Value {
    &property(connector, "deviceMapping")["content"]["template"][0]["template"]["typeName"]
}

/// Name and state.
pub fn state(resource: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{} {}", text(&resource["name"]), text(property(resource, "provisioningState")))
}
