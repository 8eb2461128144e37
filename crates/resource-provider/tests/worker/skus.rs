//! A workspace that changes its SKU goes to the other cluster, while it has no connector.

use std::sync::Arc;

use resource_provider::local::Open;
use resource_provider::pools::Pools;
use serde_json::json;

use super::provider::{GROUP, NEWEST};
use super::site::Site;

#[tokio::test]
async fn a_workspace_goes_to_the_cluster_of_its_new_sku_and_back() {
    let site = Site::behind(Arc::new(Open)).await;
    let pool =
        |cluster: &str| json!({ "subscriptionId": "s", "aksClusterResourceId": cluster, "keyVaultResourceId": "/v" });
    let pools = json!({
        "regions": { "westus2": [pool("/shared")] },
        "dedicated": { format!("{GROUP}/workspaces/ws1"): pool("/own") },
    });
    let mut worker = site.worker();
    worker.platform.allocation =
        Arc::new(Pools::new(site.provider.store.clone(), serde_json::from_value(pools).unwrap()).unwrap());
    let mut made = None;
    for (sku, cluster) in [("Consumption", "/shared"), ("Dedicated", "/own"), ("Consumption", "/shared")] {
        let body = json!({ "location": "westus2", "sku": { "name": sku } });
        let put = site.provider.put("workspaces/ws1", NEWEST, &body).await;
        while worker.work_once().await.unwrap() {}
        assert_eq!(site.status(&put).await["status"], "Succeeded", "{sku}");
        let document = site.document("workspaces/ws1").await.unwrap();
        assert_eq!(document.scale.unwrap().aks_cluster_resource_id, cluster);
        // All of it is there again, and nothing twice.
        let things = site.cloud.things();
        assert_eq!(made.get_or_insert_with(|| things.clone()), &things, "{sku}");
    }
    let deleted = site.provider.delete("workspaces/ws1", NEWEST).await.is(202);
    while worker.work_once().await.unwrap() {}
    assert_eq!(site.status(&deleted).await["status"], "Succeeded");
    assert!(site.cloud.things().is_empty(), "{:?}", site.cloud.things());
}
