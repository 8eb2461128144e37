use serde_json::{Value, json};

use super::*;
use crate::desired::{Against, Rules};
use crate::error::ErrorCode;
use crate::location::Location;
use crate::route::Route;

const BASE: &str =
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/Microsoft.HealthcareApis";
const DEVICE: &str = r#"{"templateType":"CollectionContent","template":[]}"#;
const FHIR: &str = r#"{"templateType":"CollectionFhir","template":[]}"#;

fn id(path: &str) -> ResourceId {
    match Route::of_path(&format!("{BASE}/{path}")) {
        Ok(Route::Resource(id)) => id,
        other => panic!("{other:?}"),
    }
}

fn version(text: &str) -> ApiVersion {
    ApiVersion::read(Some(text), &ApiVersion::all(), "x").expect(text)
}

fn read(path: &str, body: &str, parent: Option<&str>, before: Option<&Desired>) -> Result<Desired, ArmError> {
    let (rules, parent) = (Rules::default(), parent.map(Location::new));
    let against = Against { rules: &rules, version: version("2024-03-31"), parent_location: parent.as_ref(), before };
    Desired::read(&id(path), &Body::read(body.as_bytes())?, against)
}

fn connector_body() -> String {
    format!(
        r#"{{"location":"West US 2","identity":{{"type":"SystemAssigned"}},"tags":{{"a":"b"}},"properties":{{
            "ingestionEndpointConfiguration":{{"eventHubName":"telemetry","consumerGroup":"fhir",
                "fullyQualifiedEventHubNamespace":"contoso.servicebus.windows.net"}},
            "deviceMapping":{{"content":{DEVICE}}}}}}}"#
    )
}

const CONNECTOR: &str = "workspaces/ws1/iotconnectors/iot1";

fn json_of(path: &str, desired: &Desired, text: &str) -> String {
    let identity = SystemAssigned { principal_id: Some("p".into()), tenant_id: Some("t".into()), credential_url: None };
    let system_data = SystemData { created_by: Some("me".into()), ..SystemData::default() };
    let state = ProvisioningState::Accepted;
    let id = id(path);
    let resource =
        Resource { id: &id, etag: "\"e\"", desired, identity: Some(&identity), system_data: &system_data, state };
    resource.json(version(text))
}

#[test]
fn a_connector_is_shown_as_the_contract_shows_it() {
    let desired = read(CONNECTOR, &connector_body(), Some("westus2"), None).unwrap();
    let shown: Value = serde_json::from_str(&json_of(CONNECTOR, &desired, "2024-03-31")).unwrap();
    assert_eq!(
        shown,
        json!({
            "id": format!("{BASE}/{CONNECTOR}"), "name": "ws1/iot1",
            "type": "Microsoft.HealthcareApis/workspaces/iotconnectors", "etag": "\"e\"", "location": "West US 2",
            "tags": { "a": "b" },
            "identity": { "type": "SystemAssigned", "principalId": "p", "tenantId": "t" },
            "systemData": { "createdBy": "me" },
            "properties": {
                "ingestionEndpointConfiguration": {
                    "eventHubName": "telemetry", "consumerGroup": "fhir",
                    "fullyQualifiedEventHubNamespace": "contoso.servicebus.windows.net",
                },
                "deviceMapping": { "content": { "templateType": "CollectionContent", "template": [] } },
                "provisioningState": "Accepted",
            },
        })
    );
    let first = json_of(CONNECTOR, &desired, "2020-11-01-preview");
    assert!(!first.contains("systemData"), "{first}");
}

#[test]
fn a_destination_is_written_as_its_version_does() {
    let path = format!("{CONNECTOR}/destinations/dest1");
    let body = format!(
        r#"{{"properties":{{"resourceIdentityResolutionType":"Create","fhirMapping":{{"content":{FHIR}}},
            "fhirServiceResourceId":"subscriptions/x"}}}}"#
    );
    let desired = read(&path, &body, Some("westus2"), None).unwrap();
    let newest = json_of(&path, &desired, "2024-03-31");
    assert!(newest.contains("iotconnectors/iot1/fhirdestinations/dest1"), "{newest}");
    assert!(newest.contains(r#""fhirServiceResourceId":"subscriptions/x""#), "{newest}");
    assert!(!newest.contains("destinationType"), "{newest}");
    let first = json_of(&path, &desired, "2020-11-01-preview");
    assert!(first.contains("iotconnectors/iot1/destinations/dest1"), "{first}");
    assert!(first.contains(r#""destinationType":"FhirService""#), "{first}");
}

#[test]
fn what_is_shown_asks_for_what_is_there() {
    let destination = format!(
        r#"{{"properties":{{"resourceIdentityResolutionType":"Lookup","fhirMapping":{{"content":{FHIR}}},
            "fhirServiceResourceId":"/subscriptions/x"}}}}"#
    );
    let mapping = format!(r#"{{"properties":{{"content":{DEVICE}}}}}"#);
    for (path, body) in [
        ("workspaces/ws1", r#"{"sku":{"name":"Dedicated"},"kind":"fhir-R4","tags":{"x":"y"}}"#),
        (CONNECTOR, &connector_body()),
        ("workspaces/ws1/iotconnectors/iot1/fhirdestinations/dest1", &destination),
        ("workspaces/ws1/iotconnectors/iot1/mappings/map1", &mapping),
        (
            "services/f/iomtconnectors/c12",
            r#"{"properties":{"serviceConfiguration":{"resourceIdentityResolutionType":"Create"}}}"#,
        ),
        ("services/f/iomtconnectors/c12/connections/n12", "{}"),
        ("services/f/iomtconnectors/c12/mappings/device", &mapping),
    ] {
        let desired = read(path, body, Some("westus2"), None).unwrap();
        let (id, identity, data) = (id(path), SystemAssigned::default(), SystemData::default());
        let state = ProvisioningState::Succeeded;
        let resource = Resource {
            id: &id,
            etag: "\"e\"",
            desired: &desired,
            identity: Some(&identity),
            system_data: &data,
            state,
        };
        let body = resource.body(*id.kind.versions().last().unwrap()).unwrap();
        let rules = Rules::default();
        let against =
            Against { rules: &rules, version: id.kind.versions()[0], parent_location: None, before: Some(&desired) };
        assert_eq!(Desired::read(&id, &body, against), Ok(desired.clone()), "{path}");
        let stored: Desired = serde_json::from_str(&serde_json::to_string(&desired).unwrap()).expect(path);
        assert_eq!(stored, desired, "{path}");
    }
}

#[test]
fn the_text_of_a_mapping_is_shown_as_it_was_sent() {
    let odd = r#"{ "templateType":"CollectionContent",  "template":[ ], "x": 1.00 }"#;
    let body = connector_body().replace(DEVICE, odd);
    let desired = read(CONNECTOR, &body, Some("westus2"), None).unwrap();
    assert!(json_of(CONNECTOR, &desired, "2024-03-31").contains(odd));
}

#[track_caller]
fn check_location(body: &str, parent: Option<&str>, before: Option<&Desired>, expected: Result<&str, ErrorCode>) {
    let (path, rest) = match parent {
        Some(_) => ("services/f/iomtconnectors/c12", "{}"),
        None => ("workspaces/ws1", "{}"),
    };
    let body = if body.is_empty() { rest } else { body };
    let read = read(path, body, parent, before).map(|desired| desired.location.as_str().to_owned());
    assert_eq!(read.as_deref().map_err(|error| error.code), expected, "{body} {parent:?}");
}

#[test]
fn a_location_is_given_once_and_stays() {
    check_location("", None, None, Err(ErrorCode::LocationRequired));
    check_location(r#"{"location":" "}"#, None, None, Err(ErrorCode::LocationRequired));
    check_location(r#"{"location":"West US 2"}"#, None, None, Ok("West US 2"));
    check_location("", Some("westus2"), None, Ok("westus2"));
    check_location(r#"{"location":"West US 2"}"#, Some("westus2"), None, Ok("West US 2"));
    check_location(r#"{"location":"westus"}"#, Some("westus2"), None, Err(ErrorCode::LocationMismatch));
    let before = read("workspaces/ws1", r#"{"location":"westus2"}"#, None, None).unwrap();
    check_location("", None, Some(&before), Ok("westus2"));
    check_location(r#"{"location":"US West 2"}"#, None, Some(&before), Ok("US West 2"));
    check_location(r#"{"location":"westus"}"#, None, Some(&before), Err(ErrorCode::InvalidResourceLocation));
}

#[test]
fn equal_wishes_are_equal_in_other_letters() {
    let one = read(CONNECTOR, &connector_body(), Some("westus2"), None).unwrap();
    let spaced = DEVICE.replace(':', " : ");
    let other = connector_body().replace("West US 2", "westus2").replace(DEVICE, &spaced);
    assert_eq!(one, read(CONNECTOR, &other, Some("westus2"), None).unwrap());
    for (from, to) in [("telemetry", "other"), ("\"a\":\"b\"", "\"a\":\"c\""), ("[]", "[],\"x\":1")] {
        let changed = read(CONNECTOR, &connector_body().replace(from, to), Some("westus2"), None).unwrap();
        assert_ne!(one, changed, "{from}");
    }
}

#[test]
fn a_put_without_a_sku_keeps_it() {
    let before = read("workspaces/ws1", r#"{"location":"x","sku":{"name":"Dedicated"}}"#, None, None).unwrap();
    let after = read("workspaces/ws1", "{}", None, Some(&before)).unwrap();
    assert_eq!(after, before);
}

#[test]
fn reserved_names_are_not_for_new_resources() {
    let rules = Rules { reserved_names: vec!["WS1".to_owned()], ..Rules::default() };
    let body = Body::read(br#"{"location":"x"}"#).unwrap();
    let read = |before| {
        let against = Against { rules: &rules, version: version("2024-03-31"), parent_location: None, before };
        Desired::read(&id("workspaces/ws1"), &body, against)
    };
    assert_eq!(read(None).map_err(|error| error.code), Err(ErrorCode::ReservedResourceName));
    let before = super::tests::read("workspaces/ws1", r#"{"location":"x"}"#, None, None).unwrap();
    assert_eq!(read(Some(&before)), Ok(before.clone()));
}
