//! Bodies of requests.

use serde_json::{Value, json};

pub const CONNECTOR: &str = "workspaces/ws1/iotconnectors/iot1";

pub fn workspace() -> Value {
    json!({ "location": "westus2" })
}

pub fn device_mapping() -> Value {
    json!({ "templateType": "CollectionContent", "template": [{
        "templateType": "JsonPathContent",
        "template": {
            "typeName": "heartrate", "typeMatchExpression": "$..[?(@heartrate)]",
            "deviceIdExpression": "$.deviceid", "timestampExpression": "$.measurementdatetime",
            "values": [{ "required": "true", "valueExpression": "$.heartrate", "valueName": "hr" }],
        },
    }] })
}

pub fn fhir_mapping() -> Value {
    json!({ "templateType": "CollectionFhirTemplate", "template": [{
        "templateType": "CodeValueFhir",
        "template": {
            "codes": [{ "code": "8867-4", "system": "http://loinc.org", "display": "Heart rate" }],
            "periodInterval": 60, "typeName": "heartrate",
            "value": { "defaultPeriod": 5000, "unit": "count/min", "valueName": "hr", "valueType": "SampledData" },
        },
    }] })
}

pub fn connector() -> Value {
    json!({
        "location": "westus2", "identity": { "type": "SystemAssigned" },
        "properties": {
            "ingestionEndpointConfiguration": {
                "eventHubName": "telemetry", "consumerGroup": "fhir",
                "fullyQualifiedEventHubNamespace": "contoso.servicebus.windows.net",
            },
            "deviceMapping": { "content": device_mapping() },
        },
    })
}

pub fn destination() -> Value {
    json!({
        "location": "westus2",
        "properties": {
            "resourceIdentityResolutionType": "Create",
            "fhirServiceResourceId": &format!("{}/services/fhir1", super::provider::GROUP)[1..],
            "fhirMapping": { "content": fhir_mapping() },
        },
    })
}
