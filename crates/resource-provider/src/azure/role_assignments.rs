//! Role assignments (resource-provider.md 4.10). Each has an id that was stored
//! before it is used; what counts is principal, role and scope.

use serde_json::{Value, json};

use super::AzurePorts;
use super::failure::Failure;
use super::resource_manager::Target;
use super::resources::{account_id, hub_id};
use crate::documents::ScaleInfo;
use crate::ports::{Role, RoleAssignment, Scope};

const VERSION: &str = "2022-04-01";

/// The ids of Azure's built-in roles, the same everywhere.
fn definition(role: Role) -> &'static str {
    match role {
        Role::EventHubsDataSender => "2b629674-e913-4c01-ae53-ef4638d8f975",
        Role::EventHubsDataReceiver => "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
        Role::StorageBlobDataContributor => "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        Role::FhirDataContributor => "5a1fc7df-4bf1-4951-a576-89034ee01acd",
        Role::KeyVaultSecretsUser => "4633458b-17de-408a-b874-0445c86b69e6",
    }
}

fn scope_id(place: &ScaleInfo, scope: Scope<'_>) -> String {
    match scope {
        Scope::EventHub(hub) => hub_id(place, hub),
        Scope::StorageAccount { group, name } => account_id(place, group, name),
        Scope::FhirService(id) => id.to_owned(),
        // The key of a certificate is a secret of the same name.
        Scope::Certificate(name) => format!("{}/secrets/{name}", place.key_vault_resource_id),
    }
}

impl AzurePorts {
    /// Gives a principal a role.
    pub(super) async fn assign(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), Failure> {
        let scope = scope_id(place, assignment.scope);
        let id = assignment_id(&scope, assignment.id);
        let target = Target { id: &id, version: VERSION };
        if let Some(found) = self.resource_manager.get(target).await? {
            if is_of(&found, assignment) {
                return Ok(());
            }
            // Of an identity that was made anew since. An assignment does not
            // change whom it is for.
            self.resource_manager.delete(target).await?;
        }
        let role = definition(assignment.role);
        let subscription = &place.subscription_id;
        let wanted = json!({
            "properties": {
                "principalId": assignment.principal_id,
                // Said, so that Azure need not find a principal that is seconds old.
                "principalType": "ServicePrincipal",
                "roleDefinitionId": format!(
                    "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
                ),
            },
        });
        match self.resource_manager.put(target, &wanted).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("RoleAssignmentExists") => {
                match self.same(&scope, assignment).await?.is_empty() {
                    // Another under our id, which is gone by the next try.
                    true => Err(failure),
                    false => Ok(()),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Takes a role from a principal, under whatever ids it was given. Where the customer
    /// lets us in no more, so that we could not, it is theirs: what is ours goes all the
    /// same, the principal with it.
    pub(super) async fn unassign(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), Failure> {
        match self.unassign_everywhere(place, assignment).await {
            Err(failure) if is_customers(assignment.scope) && lets_nobody_in(&failure) => {
                tracing::warn!(role = ?assignment.role, scope = scope_id(place, assignment.scope), code = failure.code,
                    "A role on a customer's resource cannot be taken away, and is left");
                Ok(())
            }
            other => other,
        }
    }

    async fn unassign_everywhere(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), Failure> {
        let scope = scope_id(place, assignment.scope);
        let own = assignment_id(&scope, assignment.id);
        self.resource_manager.delete(Target { id: &own, version: VERSION }).await?;
        for id in self.same(&scope, assignment).await? {
            self.resource_manager.delete(Target { id: &id, version: VERSION }).await?;
        }
        Ok(())
    }

    /// The ids of the assignments of a principal's role on just this scope.
    async fn same(&self, scope: &str, assignment: RoleAssignment<'_>) -> Result<Vec<String>, Failure> {
        if assignment.principal_id.is_empty() {
            return Ok(Vec::new());
        }
        let all = format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
        let filter = format!("principalId eq '{}'", assignment.principal_id);
        let listed = self.resource_manager.list(Target { id: &all, version: VERSION }, Some(&filter)).await?;
        let is_here = |found: &&Value| {
            let at = found.pointer("/properties/scope").and_then(Value::as_str).unwrap_or_default();
            at.trim_start_matches('/').eq_ignore_ascii_case(scope.trim_start_matches('/')) && is_of(found, assignment)
        };
        let ids = listed.iter().filter(is_here).filter_map(|found| found.get("id").and_then(Value::as_str));
        Ok(ids.map(str::to_owned).collect())
    }
}

/// Whether we may not, which no other token changes: also in a tenant that does not know us.
fn lets_nobody_in(failure: &Failure) -> bool {
    failure.status == Some(403) || failure.is("InvalidAuthenticationTokenTenant")
}

/// Whether a scope is of a customer's subscription, and not of ours.
fn is_customers(scope: Scope<'_>) -> bool {
    matches!(scope, Scope::FhirService(_))
}

fn assignment_id(scope: &str, id: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}")
}

fn is_of(found: &Value, assignment: RoleAssignment<'_>) -> bool {
    let text = |member: &str| found["properties"][member].as_str().unwrap_or_default();
    let role = text("roleDefinitionId").rsplit('/').next().unwrap_or_default();
    text("principalId").eq_ignore_ascii_case(assignment.principal_id)
        && role.eq_ignore_ascii_case(definition(assignment.role))
}
