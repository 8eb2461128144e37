//! The namespace of a workspace: what its connectors share, and nobody else's
//! (docs/operator.md, "What it may do").

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, ResourceExt};
use operator::resources::identity::IdentityType;

use super::error::{doing, transient};
use super::settings::{ClusterSettings, SERVICE_ACCOUNT};
use super::{FIELD_MANAGER, Site, wait_until};
use crate::ports::{ConnectorSpec, PortError};

/// What is ours says so.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Makes the namespace, and the service account that the workspace's identity is
/// federated with: one for all of its connectors, so that one federated
/// credential is enough.
pub async fn ensure(site: &Site, connector: &ConnectorSpec, settings: &ClusterSettings) -> Result<(), PortError> {
    let namespaces: Api<Namespace> = Api::all(site.client.clone());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let found = namespaces.get_opt(&site.namespace).await.map_err(doing("look at a namespace"))?;
    if found.is_some_and(|found| found.metadata.deletion_timestamp.is_some()) {
        return Err(transient("the namespace of the workspace is being removed"));
    }
    let labels = BTreeMap::from([
        (MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned()),
        ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned()),
    ]);
    let metadata = ObjectMeta { name: Some(site.namespace.clone()), labels: Some(labels), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    let made = namespaces.patch(&site.namespace, &parameters, &Patch::Apply(&namespace)).await;
    made.map_err(doing("make a namespace"))?;

    let accounts: Api<ServiceAccount> = Api::namespaced(site.client.clone(), &site.namespace);
    let account = service_account(connector, settings);
    let made = accounts.patch(SERVICE_ACCOUNT, &parameters, &Patch::Apply(&account)).await;
    made.map(|_| ()).map_err(doing("make a service account"))
}

fn service_account(connector: &ConnectorSpec, settings: &ClusterSettings) -> ServiceAccount {
    let mut annotations = BTreeMap::new();
    if settings.identity == IdentityType::WorkloadIdentity {
        let client_id = connector.internal_identity.client_id.clone();
        annotations.insert("azure.workload.identity/client-id".to_owned(), client_id);
        let tenant = settings.tenant_id.clone();
        annotations.extend(tenant.map(|tenant| ("azure.workload.identity/tenant-id".to_owned(), tenant)));
    }
    let labels = BTreeMap::from([(MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned())]);
    let metadata = ObjectMeta {
        name: Some(SERVICE_ACCOUNT.to_owned()),
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    // Nothing of a connector speaks with the API server.
    ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() }
}

/// Removes the namespace, and waits until it is gone. Nothing when it is not
/// there or not ours, nor while there is a connector in it.
pub async fn remove(site: &Site) -> Result<(), PortError> {
    let namespaces: Api<Namespace> = Api::all(site.client.clone());
    let look = || async { namespaces.get_opt(&site.namespace).await.map_err(doing("look at a namespace")) };
    let Some(found) = look().await? else { return Ok(()) };
    if found.labels().get(MANAGED_BY).is_none_or(|manager| manager != FIELD_MANAGER) {
        return Ok(());
    }
    let connectors = site.connectors().list_metadata(&ListParams::default().limit(1)).await;
    if !connectors.map_err(doing("list connectors"))?.items.is_empty() {
        return Ok(());
    }
    match namespaces.delete(&site.namespace, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        other => other.map(|_| ()).map_err(doing("remove a namespace"))?,
    }
    wait_until("the namespace is still there", || async { Ok(look().await?.is_none()) }).await
}
