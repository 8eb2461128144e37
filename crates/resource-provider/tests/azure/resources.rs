//! What is made is what it should be, once; and what is removed is gone.

use std::time::Duration;

use arm::ErrorCode;
use local::resource_manager::{Fault, FaultKind};
use resource_provider::azure::{AzureSettings, KnownCluster};
use resource_provider::ports::{Azure, ErrorClass, TaggedGroup};
use serde_json::{Value, json};

use super::cloud::{Cloud, OURS, place, settled};
use super::things::{ACCOUNT, ALL, GROUP, HUB, Thing, identity_id, make_all};

fn account_id() -> String {
    format!("{}/Microsoft.Storage/storageAccounts/{ACCOUNT}", OURS.replace("/local/", &format!("/{GROUP}/")))
}

fn group_id() -> String {
    format!("/subscriptions/{}/resourceGroups/{GROUP}", place().subscription_id)
}

fn hub_id() -> String {
    format!("{}/eventhubs/{HUB}", place().event_hub_namespace_resource_id)
}

fn rule_id() -> String {
    format!("{}/authorizationRules/conn1", hub_id())
}

#[track_caller]
fn check(cloud: &Cloud, id: &str, members: &Value) {
    let found = cloud.resource_manager.resource(id).unwrap_or_else(|| panic!("{id} is not there"));
    for (pointer, expected) in members.as_object().unwrap() {
        assert_eq!(found.pointer(pointer), Some(expected), "{pointer} of {found}");
    }
}

#[tokio::test]
async fn each_is_made_once_and_removed_once() {
    let cloud = Cloud::start().await;
    make_all(&cloud).await;
    assert_eq!(cloud.resource_manager.made().len(), ALL.len());
    let writes = cloud.resource_manager.write_count();
    for thing in ALL {
        thing.ensure(&cloud).await.unwrap();
    }
    assert_eq!(cloud.resource_manager.write_count(), writes, "what is as it should be is left");
    for thing in ALL.into_iter().rev() {
        settled(|| thing.remove(&cloud)).await.unwrap_or_else(|error| panic!("{thing:?}: {error:?}"));
        thing.remove(&cloud).await.unwrap_or_else(|error| panic!("{thing:?} again: {error:?}"));
    }
    assert!(cloud.resource_manager.made().is_empty(), "{:?}", cloud.resource_manager.made());
}

#[tokio::test]
async fn each_is_what_the_contract_says() {
    let cloud = Cloud::start().await;
    make_all(&cloud).await;
    check(&cloud, &group_id(), &json!({ "/tags/resourceCreatedFor": "/customers/ws1", "/location": "westus2" }));
    let account = json!({
        "/kind": "StorageV2", "/properties/allowBlobPublicAccess": false, "/properties/allowSharedKeyAccess": false,
        "/properties/minimumTlsVersion": "TLS1_2", "/properties/supportsHttpsTrafficOnly": true,
    });
    check(&cloud, &account_id(), &account);
    let namespace = json!({ "/sku/name": "Standard", "/sku/capacity": 1, "/properties/isAutoInflateEnabled": false });
    check(&cloud, &place().event_hub_namespace_resource_id, &namespace);
    let federation = json!({
        "/properties/issuer": "https://oidc.example/c/",
        "/properties/subject": "system:serviceaccount:ioc-w1:iotn-c1",
        "/properties/audiences": ["api://AzureADTokenExchange"],
    });
    check(&cloud, &format!("{}/federatedIdentityCredentials/iotn-c1", identity_id()), &federation);
    check(&cloud, &rule_id(), &json!({ "/properties/rights": ["Send"] }));
}

#[tokio::test]
async fn what_somebody_has_changed_is_changed_back() {
    let cloud = Cloud::start().await;
    make_all(&cloud).await;
    let change = |id: &str, pointer: &str, value: Value| {
        let mut body = cloud.resource_manager.resource(id).unwrap();
        *body.pointer_mut(pointer).unwrap() = value;
        cloud.resource_manager.put_existing(id, body);
    };
    change(&account_id(), "/properties/allowSharedKeyAccess", json!(true));
    change(&rule_id(), "/properties/rights", json!(["Send", "Listen"]));
    change(&place().event_hub_namespace_resource_id, "/sku/capacity", json!(20));
    change(&hub_id(), "/properties/partitionCount", json!(32));
    change(&hub_id(), "/properties/messageRetentionInDays", json!(1));
    for thing in ALL {
        settled(|| thing.ensure(&cloud)).await.unwrap();
    }
    check(&cloud, &account_id(), &json!({ "/properties/allowSharedKeyAccess": false }));
    check(&cloud, &rule_id(), &json!({ "/properties/rights": ["Send"] }));
    check(&cloud, &place().event_hub_namespace_resource_id, &json!({ "/sku/capacity": 1 }));
    // Partitions stay: Azure changes none.
    let hub = json!({ "/properties/partitionCount": 32, "/properties/messageRetentionInDays": 7 });
    check(&cloud, &hub_id(), &hub);
}

#[tokio::test]
async fn keys_open_a_namespace_only_when_a_rule_needs_them() {
    let cloud = Cloud::start().await;
    Thing::SendRule.make_all_before(&cloud).await;
    let namespace = place().event_hub_namespace_resource_id;
    check(&cloud, &namespace, &json!({ "/properties/disableLocalAuth": true }));
    settled(|| Thing::SendRule.ensure(&cloud)).await.unwrap();
    check(&cloud, &namespace, &json!({ "/properties/disableLocalAuth": false }));
    settled(|| Thing::Namespace.ensure(&cloud)).await.unwrap();
    check(&cloud, &namespace, &json!({ "/properties/disableLocalAuth": false }));
}

#[tokio::test]
async fn what_takes_azure_long_is_come_back_to() {
    let settings = AzureSettings { operation_wait: Duration::from_millis(100), ..AzureSettings::default() };
    let cloud = Cloud::start_with(settings).await;
    Thing::Namespace.make_all_before(&cloud).await;
    cloud.resource_manager.set_looks(50);
    let writes = cloud.resource_manager.write_count();
    let mut tries = 0;
    while let Err(error) = Thing::Namespace.ensure(&cloud).await {
        assert!(matches!(error.class, ErrorClass::UnderWay { .. }), "{error:?}");
        tries += 1;
    }
    assert!(tries > 1, "{tries}");
    assert_eq!(cloud.resource_manager.write_count(), writes + 1, "it is asked for once");
}

#[tokio::test]
async fn a_namespace_that_is_just_going_is_made_again() {
    let cloud = Cloud::start().await;
    Thing::Hub.make_all_before(&cloud).await;
    cloud.resource_manager.set_looks(3);
    let place = place();
    let removing = async { settled(|| cloud.ports.delete_namespace(&place)).await };
    let making = async { settled(|| cloud.ports.ensure_namespace(&place)).await };
    let (removed, _) = tokio::join!(removing, making);
    removed.unwrap();
    settled(|| cloud.ports.ensure_namespace(&place)).await.unwrap();
    let namespace = cloud.resource_manager.resource(&place.event_hub_namespace_resource_id).unwrap();
    assert_eq!(namespace["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn a_group_that_is_not_ours_is_not_removed() {
    let cloud = Cloud::start().await;
    cloud.resource_manager.put_existing(&group_id(), json!({ "location": "westus2", "tags": { "owner": "somebody" } }));
    let error = cloud.ports.delete_resource_group(&place(), GROUP).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(cloud.resource_manager.resource(&group_id()).is_some());
}

#[tokio::test]
async fn groups_are_found_by_what_they_were_made_for() {
    let subscriptions = vec![place().subscription_id];
    let cloud = Cloud::start_with(AzureSettings { subscriptions, ..AzureSettings::default() }).await;
    assert_eq!(cloud.ports.tagged_resource_groups().await.unwrap(), []);
    make_all(&cloud).await;
    let (subscription_id, for_resource) = (place().subscription_id, "/customers/ws1".to_owned());
    let group = TaggedGroup { subscription_id, name: GROUP.to_owned(), for_resource };
    assert_eq!(cloud.ports.tagged_resource_groups().await.unwrap(), std::slice::from_ref(&group));
    // One that is for something else by now is left.
    let before = TaggedGroup { for_resource: "/customers/ws0".to_owned(), ..group.clone() };
    let error = cloud.ports.delete_tagged_resource_group(&before).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    settled(|| cloud.ports.delete_tagged_resource_group(&group)).await.unwrap();
    assert_eq!(cloud.ports.tagged_resource_groups().await.unwrap(), []);
}

#[tokio::test]
async fn a_cluster_that_azure_does_not_know_is_the_platforms_to_describe() {
    let mut elsewhere = place();
    elsewhere.aks_cluster_resource_id = format!("{OURS}/Microsoft.ContainerService/managedClusters/Other");
    let known =
        KnownCluster { location: Some("westus3".to_owned()), issuer: Some("https://issuer.example".to_owned()) };
    let mut settings = AzureSettings::default();
    settings.clusters.insert(elsewhere.aks_cluster_resource_id.to_uppercase(), known);
    let cloud = Cloud::start_with(settings).await;
    cloud.ports.ensure_resource_group(&elsewhere, GROUP, "/customers/ws1").await.unwrap();
    check(&cloud, &group_id(), &json!({ "/location": "westus3" }));
    let cloud = Cloud::start().await;
    let error = cloud.ports.ensure_resource_group(&elsewhere, GROUP, "/customers/ws1").await.unwrap_err();
    assert_eq!((error.code, error.class), (ErrorCode::ClusterUnavailable, ErrorClass::Permanent));
}

/// How an operation goes may be asked where it is not known yet, or no more: then the
/// resource is looked at.
#[tokio::test]
async fn an_operation_that_is_not_there_is_no_failure() {
    let cloud = Cloud::start().await;
    Thing::Namespace.make_all_before(&cloud).await;
    let lose = |times| {
        let kind = FaultKind::Answer { status: 404, code: "NotFound", retry_after: None };
        cloud.resource_manager.fail(Fault { method: "GET", path_has: "/operations/", kind, times });
    };
    lose(1);
    settled(|| Thing::Namespace.ensure(&cloud)).await.unwrap();
    let made = || cloud.resource_manager.made().iter().any(|id| id.contains("/namespaces/"));
    assert!(made());
    lose(1);
    settled(|| Thing::Namespace.remove(&cloud)).await.unwrap();
    assert!(!made());
}
