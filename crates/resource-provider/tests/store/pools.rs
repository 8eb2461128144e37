//! Pools as the allocation of places.

use arm::gen2::Sku;
use arm::infrastructure::WorkspaceNames;
use arm::{DocumentId, ErrorCode, Location};
use resource_provider::documents::ScaleInfo;
use resource_provider::pools::{InvalidPools, Pools, PoolsDocument};
use resource_provider::ports::{Allocation, AllocationRequest, ErrorClass, PortError};
use resource_provider::store::Store;
use serde_json::{Value, json};

use super::each_store;
use super::samples::resource;

fn pool(cluster: &str, capacity: Option<usize>) -> Value {
    json!({
        "subscriptionId": "s", "aksClusterResourceId": format!("/clusters/{cluster}"),
        "keyVaultResourceId": "/vaults/v", "capacity": capacity,
    })
}

fn pools(store: &Store, document: Value) -> Pools {
    let document: PoolsDocument = serde_json::from_value(document).unwrap();
    Pools::new(store.clone(), document).unwrap()
}

async fn workspace(store: &Store, path: &str) -> DocumentId {
    let mut document = resource(path, None);
    let mut transaction = store.begin().await.unwrap();
    transaction.insert_resource(&mut document).await.unwrap();
    transaction.commit().await.unwrap();
    document.id
}

async fn allocate(pools: &Pools, workspace: &DocumentId, region: &str, sku: Sku) -> Result<ScaleInfo, PortError> {
    let namespace = WorkspaceNames(workspace).event_hub_namespace();
    let region = Location::new(region);
    let request = AllocationRequest { workspace, region: &region, sku, event_hub_namespace: &namespace };
    pools.allocate(request).await
}

/// The cluster of a place, or why there is none.
fn outcome(place: Result<ScaleInfo, PortError>) -> String {
    match place {
        Ok(place) => place.aks_cluster_resource_id,
        Err(PortError { code: ErrorCode::ScaleInfoUnavailable, class: ErrorClass::Transient { .. }, message }) => {
            message
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_least_used_pool_is_next_until_all_are_full() {
    each_store(|store| async move {
        let regions = json!({ "West US 2": [pool("a", Some(2)), pool("B", Some(1)), pool("c", Some(0))] });
        let pools = pools(&store, json!({ "regions": regions }));
        let mut outcomes = Vec::new();
        for name in ["ws1", "ws2", "ws3", "ws4"] {
            let id = workspace(&store, &format!("workspaces/{name}")).await;
            outcomes.push(outcome(allocate(&pools, &id, "westus2", Sku::Consumption).await));
        }
        let full = "all pools of the region are full";
        assert_eq!(outcomes, ["/clusters/a", "/clusters/B", "/clusters/a", full]);
        let id = workspace(&store, "workspaces/ws5").await;
        let elsewhere = outcome(allocate(&pools, &id, "uksouth", Sku::Consumption).await);
        assert_eq!(elsewhere, "the region has no pool");
    });
}

#[test]
fn a_place_stays_until_it_is_released() {
    each_store(|store| async move {
        let one = pools(&store, json!({ "regions": { "westus2": [pool("a", Some(1))] } }));
        let first = workspace(&store, "workspaces/ws1").await;
        let place = allocate(&one, &first, "westus2", Sku::Consumption).await.unwrap();
        let group = WorkspaceNames(&first).resource_group();
        let namespace = WorkspaceNames(&first).event_hub_namespace();
        let id = format!("/subscriptions/s/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}");
        assert_eq!(place.event_hub_namespace_resource_id, id);
        // Whatever the document of pools says by then.
        let other = pools(&store, json!({ "regions": { "westus2": [pool("b", None)] } }));
        assert_eq!(allocate(&other, &first, "westus2", Sku::Consumption).await.unwrap(), place);
        let second = workspace(&store, "workspaces/ws2").await;
        let full = outcome(allocate(&one, &second, "westus2", Sku::Consumption).await);
        assert_eq!(full, "all pools of the region are full");
        one.release(&first).await.unwrap();
        one.release(&first).await.unwrap();
        assert_eq!(outcome(allocate(&one, &second, "westus2", Sku::Consumption).await), "/clusters/a");
    });
}

#[test]
fn the_last_place_is_given_once_when_several_ask_at_once() {
    each_store(|store| async move {
        let pools = pools(&store, json!({ "regions": { "westus2": [pool("a", Some(3))] } }));
        let mut asking = Vec::new();
        for number in 0..8 {
            let id = workspace(&store, &format!("workspaces/ws{number}")).await;
            let pools = pools.clone();
            asking.push(tokio::spawn(async move { allocate(&pools, &id, "westus2", Sku::Consumption).await }));
        }
        let mut given = 0;
        for asked in asking {
            given += usize::from(outcome(asked.await.unwrap()) == "/clusters/a");
        }
        assert_eq!(given, 3);
    });
}

#[test]
fn a_dedicated_workspace_gets_its_own_cluster_and_no_other() {
    each_store(|store| async move {
        let id = workspace(&store, "workspaces/ws1").await;
        let other = workspace(&store, "workspaces/ws2").await;
        let path = store.resource_by_id(&id).await.unwrap().unwrap().resource_id().to_string().to_uppercase();
        let regions = json!({ "westus2": [pool("shared", None)] });
        let pools = pools(&store, json!({ "regions": regions, "dedicated": { path: pool("own", None) } }));
        assert_eq!(outcome(allocate(&pools, &id, "westus2", Sku::Dedicated).await), "/clusters/own");
        let none = outcome(allocate(&pools, &other, "westus2", Sku::Dedicated).await);
        assert_eq!(none, "the workspace has no cluster of its own yet");
    });
}

#[test]
fn a_document_that_would_count_wrong_is_refused() {
    each_store(|store| async move {
        let new = |document: Value| Pools::new(store.clone(), serde_json::from_value(document).unwrap());
        let twice = new(json!({ "regions": { "westus2": [], "West US 2": [] } }));
        assert!(matches!(twice, Err(InvalidPools::RegionTwice(_))), "{twice:?}");
        let twice = new(json!({ "regions": { "westus2": [pool("a", None), pool("A", Some(1))] } }));
        assert!(matches!(twice, Err(InvalidPools::PoolTwice { .. })), "{twice:?}");
    });
}
