//! FHIR services of both generations.

use arm::{Location, ResourceId, ResourceType};
use local::resource_manager::{Fault, FaultKind};
use resource_provider::ports::{ErrorClass, FhirService, FhirServices};
use serde_json::json;

use super::cloud::{Cloud, FHIR};

#[tokio::test]
async fn a_service_is_known_by_its_resource_in_any_letter_case() {
    let cloud = Cloud::start().await;
    let of_workspace = format!("{FHIR}/workspaces/ws1/fhirservices/f1");
    let properties = json!({ "provisioningState": "Creating" });
    cloud.resource_manager.put_existing(&of_workspace, json!({ "location": "westus2", "properties": properties }));
    let expected = FhirService {
        location: Location::new("westus2"),
        is_ready: true,
        url: "https://fhir1.azurehealthcareapis.com".to_owned(),
        audience: Some("https://audience.example".to_owned()),
    };
    let found = cloud.ports.get(&format!("{FHIR}/SERVICES/FHIR1").replace("resourceGroups", "RESOURCEGROUPS")).await;
    assert_eq!(found.unwrap(), Some(expected));
    let found = cloud.ports.get(&of_workspace).await.unwrap().unwrap();
    assert_eq!((found.is_ready, found.url.as_str()), (false, "https://ws1-f1.fhir.azurehealthcareapis.com"));
    // One that was not ready is asked about again.
    let properties = json!({ "provisioningState": "Succeeded" });
    cloud.resource_manager.put_existing(&of_workspace, json!({ "location": "westus2", "properties": properties }));
    assert!(cloud.ports.get(&of_workspace).await.unwrap().unwrap().is_ready);
    assert_eq!(cloud.ports.get(&format!("{FHIR}/services/none")).await.unwrap(), None);
    assert_eq!(cloud.ports.get(&format!("{FHIR}/workspaces/ws1/dicomservices/d")).await.unwrap(), None);
}

#[tokio::test]
async fn one_that_is_ready_is_not_asked_about_again_at_once() {
    let cloud = Cloud::start().await;
    let id = format!("{FHIR}/services/fhir1");
    cloud.ports.get(&id).await.unwrap();
    let kind = FaultKind::Answer { status: 503, code: "ServerBusy", retry_after: Some(2) };
    cloud.resource_manager.fail(Fault { method: "GET", path_has: "/services/", kind, times: 2 });
    assert!(cloud.ports.get(&id).await.unwrap().is_some());
    let error = cloud.ports.get(&format!("{FHIR}/services/other")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient { retry_after_seconds: Some(2) });
}

#[tokio::test]
async fn a_workspace_has_services_or_none() {
    let cloud = Cloud::start().await;
    let workspace = |name: &str| ResourceId {
        subscription: "0b1f6471-1bf0-4dda-aec3-111122223333".to_owned(),
        group: "rg1".to_owned(),
        kind: ResourceType::Workspace,
        names: vec![name.to_owned()],
    };
    for (name, kind) in [("ws1", "fhirservices"), ("ws2", "dicomservices")] {
        cloud.resource_manager.put_existing(&workspace(name).to_string(), json!({}));
        assert!(!cloud.ports.has_any(&workspace(name)).await.unwrap());
        cloud.resource_manager.put_existing(&format!("{}/{kind}/s1", workspace(name)), json!({}));
        assert!(cloud.ports.has_any(&workspace(name)).await.unwrap());
    }
    assert!(!cloud.ports.has_any(&workspace("none")).await.unwrap());
}
