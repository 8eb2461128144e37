//! A runner that passes everything would be no check: each fails where the
//! expectation is wrong.

use conformance::Outcome;
use conformance::suites::runner;
use serde_json::{Value, json};

/// Runs the case with the right and with the wrong expectation.
#[track_caller]
fn check(suite: &str, case: &Value, right: &Value, wrong: &[Value]) {
    let run = runner(suite).expect("the suite has a runner");
    let with = |expect: &Value| {
        let mut case = case.clone();
        case["expect"] = expect.clone();
        run(&case)
    };
    assert_eq!(with(right), Outcome::Passed, "{suite} {right}");
    for wrong in wrong {
        assert!(matches!(with(wrong), Outcome::Failed { .. }), "{suite} {wrong}");
    }
}

#[test]
fn validate() {
    let template = json!({ "typeName": "hr", "typeMatchExpression": "$..[?(@hr)]", "deviceIdExpression": "$.d",
        "timestampExpression": "$.t", "values": [{ "valueName": "rate", "valueExpression": "$.hr" }] });
    let device = json!({ "templateType": "CollectionContent",
        "template": [{ "templateType": "JsonPathContent", "template": template }] });
    let fhir = json!({ "templateType": "CollectionFhir", "template": [{ "templateType": "CodeValueFhir", "template": {
        "typeName": "hr", "codes": [], "value": { "valueType": "Quantity", "valueName": "rate" } } }] });
    let sample = json!({ "hr": 61, "d": "d1", "t": "2024-03-05T06:07:08Z" });
    let case = json!({ "deviceMapping": device, "fhirMapping": fhir, "deviceSamples": [sample] });
    let device = |value: &str, count: u32, errors: Value| {
        json!({ "aggregatedCount": count, "errors": errors, "observations": [{ "/valueQuantity/value": 61 }],
            "measurements": [{ "type": "hr", "occurrenceTimeUtc": "2024-03-05T06:07:08Z", "deviceId": "d1",
                "properties": [{ "name": "rate", "value": value }] }] })
    };
    let expect =
        |devices: Value| json!({ "valid": true, "templateErrors": [], "templateWarnings": [], "devices": devices });
    let mut other_fact = expect(json!([device("61", 0, json!([]))]));
    other_fact["devices"][0]["observations"][0] = json!({ "/valueQuantity/value": 62 });
    let wrong = [
        json!({ "valid": false }),
        json!({ "templateErrors": [{ "contains": "" }] }),
        json!({ "templateWarnings": [{ "contains": "" }] }),
        json!({ "error": { "kind": "argument" } }),
        expect(json!([])),
        expect(json!([device("62", 0, json!([]))])),
        expect(json!([device("61", 1, json!([]))])),
        expect(json!([device("61", 0, json!([{ "contains": "" }]))])),
        other_fact,
    ];
    check("validate", &case, &expect(json!([device("61", 0, json!([]))])), &wrong);

    let broken = json!({ "deviceMappingText": "{\n\"templateType\": \"Mystery\"}" });
    let entry = |line: u32, category: &str| json!({ "templateErrors": [{ "contains": "Mystery", "line": line, "category": category }] });
    let wrong = [entry(1, "NORMALIZATION"), entry(2, "FHIRTRANSFORMATION"), json!({ "templateErrors": [] })];
    check("validate", &broken, &entry(2, "NORMALIZATION"), &wrong);
}

#[test]
fn identity() {
    let group = json!({ "deviceId": "d", "patientId": "p", "encounterId": null });
    let case = json!({ "mode": "Create", "measurementGroup": group, "fhir": { "searchResults": {
        "Device?identifier=d": [{ "resourceType": "Device", "id": "1", "patient": { "reference": "Patient/2" } }] } } });
    let ids = json!({ "Device": "1", "Patient": "2" });
    let search = json!({ "method": "search", "type": "Device", "query": "identifier=d" });
    let update = json!({ "method": "update", "resource": { "resourceType": "Device", "id": "1" } });
    let wrong = [
        json!({ "ids": { "Device": "1", "Patient": "3" } }),
        json!({ "ids": { "Device": "1", "Patient": "2", "Encounter": "4" } }),
        json!({ "error": { "kind": "fhir-resource-not-found" } }),
        json!({ "ids": ids, "requests": [] }),
        json!({ "ids": ids, "requests": [search, update] }),
    ];
    check("identity", &case, &json!({ "ids": ids, "requests": [search] }), &wrong);
    let case = json!({ "operation": "cache", "deviceIds": ["a", "a"] });
    check("identity", &case, &json!({ "resolved": [true, false] }), &[json!({ "resolved": [true, true] })]);
}

#[test]
fn observation_save() {
    let case = json!({ "group": { "name": "hr", "idSegment": "s" }, "ids": { "Device": "d", "Patient": "p" },
        "searchResults": [[]], "updateResponses": [{ "status": 201 }] });
    let right =
        json!({ "outcome": "Created", "metric": "ObservationCreated", "merges": 0, "facts": { "/status": "final" } });
    let wrong = [
        json!({ "outcome": "Updated" }),
        json!({ "outcome": "Created", "metric": "ObservationUpdated" }),
        json!({ "outcome": "Created", "merges": 1 }),
        json!({ "outcome": "Created", "facts": { "/status": "amended" } }),
        json!({ "outcome": "Created", "requests": [] }),
        json!({ "outcome": "Created", "extraMetric": "observation contention" }),
        json!({ "error": { "kind": "fhir-client", "status": 500 } }),
    ];
    check("observation-save", &case, &right, &wrong);
    let refused = json!({ "group": case["group"], "ids": case["ids"], "searchResults": [[]], "updateResponses": [{ "status": 400 }] });
    let error = |status: u16| json!({ "error": { "kind": "fhir-client", "status": status } });
    check("observation-save", &refused, &error(400), &[error(409), json!({ "outcome": "Created" })]);
    let groups = json!({ "groups": 3 });
    let expect = |saves: u32| json!({ "identityResolutions": 1, "saves": saves });
    check("observation-save", &groups, &expect(3), &[expect(2)]);
}

#[test]
fn fhir_client() {
    let pages = json!([{ "id": "0", "next": "https://fhir/b1" }, { "id": "1", "next": null }]);
    let case = json!({ "operation": "read-all-pages", "pages": pages });
    let expect = |requested: Value| json!({ "requested": requested, "additionalPages": ["1"] });
    check(
        "fhir-client",
        &case,
        &expect(json!(["https://fhir/b1"])),
        &[expect(json!([])), expect(json!(["https://fhir/b2"]))],
    );

    let entries = json!([{ "entries": [{ "resourceType": "Device", "id": "1" }], "next": null }]);
    let case = json!({ "operation": "read-one", "resourceType": "Device", "pages": entries });
    let resource = |id: &str| json!({ "resource": { "resourceType": "Device", "id": id } });
    check("fhir-client", &case, &resource("1"), &[resource("2"), json!({ "resource": null })]);

    let case = json!({ "operation": "ensure", "resourceType": "Patient", "identifier": { "value": "p" }, "searchResults": [[]] });
    let created = |value: &str| {
        let id = mapping::identifier::resource_id("", "p");
        json!({ "resource": { "resourceType": "Patient", "id": id, "identifier": [{ "value": value }] } })
    };
    check("fhir-client", &case, &created("p"), &[created("q")]);
}

#[test]
fn import() {
    let event = json!({ "Type": "t", "DeviceId": "d", "OccurrenceTimeUtc": "2020-08-10T00:15:00Z", "Properties": [] });
    let data = |time: &str| json!([{ "occurrenceTimeUtc": time, "properties": [] }]);
    let expect = |time: &str| json!({ "groups": [{ "measureType": "t", "deviceId": "d", "data": data(time) }] });
    for form in ["single", "group", "group-gzip"] {
        let case = json!({ "form": form, "events": [event] });
        let wrong = [expect("2020-08-10T00:16:00Z"), json!({ "groups": [] }), json!({ "groupCount": 2 })];
        check("import", &case, &expect("2020-08-10T00:15:00Z"), &wrong);
    }
    let case = json!({ "stream": [{ "deviceId": "1" }, { "deviceId": "2" }] });
    let right = json!({ "processed": 2, "workers": 2 });
    let error = json!({ "processed": 2, "error": { "kind": "fhir-client" } });
    check("import", &case, &right, &[json!({ "processed": 1 }), json!({ "workers": 1 }), error]);
}

#[test]
fn errors() {
    let case = json!({ "condition": { "stage": "fhir-service", "fhirStatus": 403 } });
    let metric = "FHIRServiceErrorAuthorizationError";
    let right = json!({ "metric": metric, "dimensions": { "ErrorSource": "User" }, "becomes": "unauthorized-access-fhir-service" });
    let wrong = [
        json!({ "metric": "FHIRServiceErrorForbidden" }),
        json!({ "dimensions": { "ErrorSource": "Service" } }),
        json!({ "absentDimensions": ["ErrorSource"] }),
        json!({ "becomes": "general" }),
        json!({ "handled": true }),
        json!({ "message": "x" }),
        json!({ "forwarded": true }),
    ];
    check("errors", &case, &right, &wrong);
}
