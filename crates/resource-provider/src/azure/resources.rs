//! [`Azure`]: what is made for a customer, and what each of it has to be.

use arm::ErrorCode;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::AzurePorts;
use super::failure::Failure;
use super::resource_manager::Target;
use crate::documents::{InternalIdentity, ScaleInfo};
use crate::ports::{Azure, Federation, PortError, RoleAssignment, TaggedGroup};

/// The tag that says whose a resource group is (resource-provider.md 4.8).
pub const CREATED_FOR: &str = "resourceCreatedFor";

/// Whom a token of a service account is for when it is changed into Entra's.
const TOKEN_EXCHANGE: &str = "api://AzureADTokenExchange";

const GROUPS: &str = "2021-04-01";
const STORAGE: &str = "2023-01-01";
const IDENTITIES: &str = "2023-01-31";
pub const EVENT_HUBS: &str = "2024-01-01";

/// The id of a group.
fn group_id(place: &ScaleInfo, group: &str) -> String {
    format!("/subscriptions/{}/resourceGroups/{group}", place.subscription_id)
}

/// The id of a storage account.
pub fn account_id(place: &ScaleInfo, group: &str, name: &str) -> String {
    format!("{}/providers/Microsoft.Storage/storageAccounts/{name}", group_id(place, group))
}

fn identity_id(place: &ScaleInfo, group: &str, name: &str) -> String {
    format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}", group_id(place, group))
}

/// The id of a hub in the namespace of a place.
pub fn hub_id(place: &ScaleInfo, hub: &str) -> String {
    format!("{}/eventhubs/{hub}", place.event_hub_namespace_resource_id)
}

/// The id of a rule on a hub.
pub fn rule_id(place: &ScaleInfo, hub: &str, rule: &str) -> String {
    format!("{}/authorizationRules/{rule}", hub_id(place, hub))
}

fn created_for(group: &Value) -> Option<&str> {
    group.get("tags")?.get(CREATED_FOR)?.as_str()
}

fn group_failed(failure: Failure) -> PortError {
    // The contract has no code of its own for the group; what is in it first is
    // the storage.
    failure.port(ErrorCode::StorageProvisioningFailed)
}

fn storage_failed(failure: Failure) -> PortError {
    failure.port(ErrorCode::StorageProvisioningFailed)
}

fn identity_failed(failure: Failure) -> PortError {
    failure.port(ErrorCode::IdentityCredentialUnavailable)
}

fn namespace_failed(failure: Failure) -> PortError {
    failure.port(ErrorCode::EventHubNamespaceProvisioningFailed)
}

fn hub_failed(failure: Failure) -> PortError {
    failure.port(ErrorCode::EventHubProvisioningFailed)
}

impl AzurePorts {
    /// Lets keys open the namespace. Nothing needs them but the rules of Gen1
    /// connections, so a namespace without such a rule goes without.
    async fn allow_keys(&self, place: &ScaleInfo) -> Result<(), Failure> {
        let target = Target { id: &place.event_hub_namespace_resource_id, version: EVENT_HUBS };
        let found = self.resource_manager.get(target).await?;
        let is_off = found.and_then(|found| found.pointer("/properties/disableLocalAuth").and_then(Value::as_bool));
        if is_off == Some(true) {
            let wanted = json!({ "properties": { "disableLocalAuth": false } });
            self.resource_manager.patch(target, &wanted).await?;
        }
        Ok(())
    }

    /// Removes a group of ours with all that is in it: one that somebody else
    /// made, or that is for something else by now, a person has to look at.
    async fn remove_group(&self, subscription: &str, name: &str, only_for: Option<&str>) -> Result<(), PortError> {
        let id = format!("/subscriptions/{subscription}/resourceGroups/{name}");
        let target = Target { id: &id, version: GROUPS };
        let Some(found) = self.resource_manager.get(target).await.map_err(group_failed)? else { return Ok(()) };
        let is_ours = created_for(&found).is_some_and(|found| only_for.is_none_or(|only| only == found));
        if !is_ours {
            let message = format!("the resource group `{name}` is not ours by its tag `{CREATED_FOR}`");
            return Err(PortError::permanent(ErrorCode::StorageProvisioningFailed, message));
        }
        self.resource_manager.delete(target).await.map_err(group_failed)
    }

    async fn delete(&self, id: &str, version: &'static str) -> Result<(), Failure> {
        self.resource_manager.delete(Target { id, version }).await
    }
}

#[async_trait]
impl Azure for AzurePorts {
    async fn ensure_resource_group(&self, place: &ScaleInfo, name: &str, for_resource: &str) -> Result<(), PortError> {
        let wanted = json!({ "location": self.location(place).await?, "tags": { CREATED_FOR: for_resource } });
        let target = Target { id: &group_id(place, name), version: GROUPS };
        self.resource_manager.ensure(target, &wanted).await.map_err(group_failed)?;
        Ok(())
    }

    async fn delete_resource_group(&self, place: &ScaleInfo, name: &str) -> Result<(), PortError> {
        self.remove_group(&place.subscription_id, name, None).await
    }

    async fn tagged_resource_groups(&self) -> Result<Vec<TaggedGroup>, PortError> {
        let mut all = Vec::new();
        for subscription in &self.settings.subscriptions {
            let id = format!("/subscriptions/{subscription}/resourcegroups");
            let filter = format!("tagName eq '{CREATED_FOR}'");
            let listed = self.resource_manager.list(Target { id: &id, version: GROUPS }, Some(&filter)).await;
            all.extend(listed.map_err(group_failed)?.iter().filter_map(|found| {
                Some(TaggedGroup {
                    subscription_id: subscription.clone(),
                    name: found.get("name").and_then(Value::as_str)?.to_owned(),
                    for_resource: created_for(found)?.to_owned(),
                })
            }));
        }
        Ok(all)
    }

    async fn delete_tagged_resource_group(&self, group: &TaggedGroup) -> Result<(), PortError> {
        self.remove_group(&group.subscription_id, &group.name, Some(&group.for_resource)).await
    }

    async fn ensure_storage_account(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError> {
        let wanted = json!({
            "location": self.location(place).await?,
            "kind": "StorageV2",
            "sku": { "name": self.settings.storage_sku },
            "properties": {
                "allowBlobPublicAccess": false,
                "allowSharedKeyAccess": false,
                "minimumTlsVersion": "TLS1_2",
                "supportsHttpsTrafficOnly": true,
            },
        });
        let target = Target { id: &account_id(place, group, name), version: STORAGE };
        self.resource_manager.ensure(target, &wanted).await.map_err(storage_failed)?;
        Ok(())
    }

    async fn delete_storage_account(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError> {
        self.delete(&account_id(place, group, name), STORAGE).await.map_err(storage_failed)
    }

    async fn ensure_identity(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<InternalIdentity, PortError> {
        let id = identity_id(place, group, name);
        let target = Target { id: &id, version: IDENTITIES };
        let found = match self.resource_manager.get(target).await.map_err(identity_failed)? {
            Some(found) => found,
            None => {
                let wanted = json!({ "location": self.location(place).await? });
                self.identities.turn().await;
                self.resource_manager.put(target, &wanted).await.map_err(identity_failed)?
            }
        };
        let text = |member: &str| found["properties"][member].as_str().map(str::to_owned);
        let (Some(client_id), Some(principal_id)) = (text("clientId"), text("principalId")) else {
            return Err(identity_failed(Failure::going(format!("`{name}`"), "Creating", None)));
        };
        Ok(InternalIdentity { name: name.to_owned(), resource_id: id, client_id, principal_id })
    }

    async fn delete_identity(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError> {
        self.delete(&identity_id(place, group, name), IDENTITIES).await.map_err(identity_failed)
    }

    async fn ensure_federation(&self, place: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError> {
        let account = federation.service_account;
        let subject = format!("system:serviceaccount:{}:{}", account.namespace, account.name);
        let wanted = json!({
            "properties": { "issuer": self.issuer(place).await?, "subject": subject, "audiences": [TOKEN_EXCHANGE] },
        });
        let target = Target { id: &federation_id(place, federation), version: IDENTITIES };
        self.resource_manager.ensure(target, &wanted).await.map_err(identity_failed)?;
        Ok(())
    }

    async fn delete_federation(&self, place: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError> {
        self.delete(&federation_id(place, federation), IDENTITIES).await.map_err(identity_failed)
    }

    async fn ensure_namespace(&self, place: &ScaleInfo) -> Result<(), PortError> {
        let target = Target { id: &place.event_hub_namespace_resource_id, version: EVENT_HUBS };
        let found = self.resource_manager.get(target).await.map_err(namespace_failed)?;
        let is_closed = found.is_none_or(|found| found["properties"]["disableLocalAuth"] == true);
        let wanted = json!({
            "location": self.location(place).await?,
            "sku": { "name": "Standard", "tier": "Standard", "capacity": 1 },
            "properties": {
                "isAutoInflateEnabled": false,
                "minimumTlsVersion": "1.2",
                // Whether keys open it is decided when a rule comes, and then stays.
                "disableLocalAuth": is_closed,
            },
        });
        self.resource_manager.ensure(target, &wanted).await.map_err(namespace_failed)?;
        Ok(())
    }

    async fn delete_namespace(&self, place: &ScaleInfo) -> Result<(), PortError> {
        self.delete(&place.event_hub_namespace_resource_id, EVENT_HUBS).await.map_err(namespace_failed)
    }

    async fn ensure_event_hub(&self, place: &ScaleInfo, hub: &str) -> Result<(), PortError> {
        let target = Target { id: &hub_id(place, hub), version: EVENT_HUBS };
        // Partitions never change: a hub that has others, of other settings, keeps
        // them.
        let found = self.resource_manager.get(target).await.map_err(hub_failed)?;
        let partitions = found.and_then(|found| found.pointer("/properties/partitionCount").and_then(Value::as_u64));
        let wanted = json!({
            "properties": {
                "partitionCount": partitions.unwrap_or(u64::from(self.settings.hub_partitions)),
                "messageRetentionInDays": self.settings.hub_retention_days,
            },
        });
        self.resource_manager.ensure(target, &wanted).await.map_err(hub_failed)?;
        Ok(())
    }

    async fn delete_event_hub(&self, place: &ScaleInfo, hub: &str) -> Result<(), PortError> {
        self.delete(&hub_id(place, hub), EVENT_HUBS).await.map_err(hub_failed)
    }

    async fn ensure_consumer_group(&self, place: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError> {
        let id = format!("{}/consumergroups/{group}", hub_id(place, hub));
        let target = Target { id: &id, version: EVENT_HUBS };
        self.resource_manager.ensure(target, &json!({ "properties": {} })).await.map_err(hub_failed)?;
        Ok(())
    }

    async fn delete_consumer_group(&self, place: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError> {
        let id = format!("{}/consumergroups/{group}", hub_id(place, hub));
        self.delete(&id, EVENT_HUBS).await.map_err(hub_failed)
    }

    async fn ensure_send_rule(&self, place: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError> {
        self.allow_keys(place).await.map_err(namespace_failed)?;
        let target = Target { id: &rule_id(place, hub, rule), version: EVENT_HUBS };
        let wanted = json!({ "properties": { "rights": ["Send"] } });
        self.resource_manager.ensure(target, &wanted).await.map_err(hub_failed)?;
        Ok(())
    }

    async fn delete_send_rule(&self, place: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError> {
        self.delete(&rule_id(place, hub, rule), EVENT_HUBS).await.map_err(hub_failed)
    }

    async fn ensure_role_assignment(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError> {
        self.assign(place, assignment).await.map_err(|failure| failure.port(ErrorCode::RoleAssignmentFailed))
    }

    async fn delete_role_assignment(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError> {
        self.unassign(place, assignment).await.map_err(|failure| failure.port(ErrorCode::RoleAssignmentFailed))
    }
}

fn federation_id(place: &ScaleInfo, federation: Federation<'_>) -> String {
    let Federation { group, identity, service_account } = federation;
    format!("{}/federatedIdentityCredentials/{}", identity_id(place, group, identity), service_account.name)
}
