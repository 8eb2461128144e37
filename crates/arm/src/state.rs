//! States of resources (resource-provider.md 5.1, 5.2).

use serde::{Deserialize, Serialize};

/// The state as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResourceState {
    /// Written; no worker has it yet.
    Accepted,
    /// It is being made.
    Provisioning,
    /// It is being changed.
    Updating,
    /// It is being removed.
    Deprovisioning,
    /// It is as it was asked for.
    Provisioned,
    /// The last operation failed.
    Failed,
    /// It was removed before it was made.
    Canceled,
}

/// `provisioningState`, as answers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProvisioningState {
    /// Of [`ResourceState::Accepted`].
    Accepted,
    /// Of [`ResourceState::Provisioning`].
    Creating,
    /// Of [`ResourceState::Updating`].
    Updating,
    /// Of [`ResourceState::Deprovisioning`].
    Deleting,
    /// Of [`ResourceState::Provisioned`].
    Succeeded,
    /// Of [`ResourceState::Failed`].
    Failed,
    /// Of [`ResourceState::Canceled`].
    Canceled,
    /// Provisioned, of a subscription that was warned.
    Warned,
    /// Provisioned, of a subscription that is suspended.
    Suspended,
}

/// The state of a subscription, which ARM puts (resource-provider.md 2.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubscriptionState {
    /// It uses the provider.
    Registered,
    /// Payment is late: reads and deletes only.
    Warned,
    /// The same, later.
    Suspended,
    /// It does not use the provider, or not any more.
    Unregistered,
    /// It is gone, and so is all that it had.
    Deleted,
}

impl ResourceState {
    /// As answers show it to a subscription in a state.
    pub fn shown(self, subscription: SubscriptionState) -> ProvisioningState {
        match self {
            ResourceState::Accepted => ProvisioningState::Accepted,
            ResourceState::Provisioning => ProvisioningState::Creating,
            ResourceState::Updating => ProvisioningState::Updating,
            ResourceState::Deprovisioning => ProvisioningState::Deleting,
            ResourceState::Failed => ProvisioningState::Failed,
            ResourceState::Canceled => ProvisioningState::Canceled,
            ResourceState::Provisioned => match subscription {
                SubscriptionState::Warned => ProvisioningState::Warned,
                SubscriptionState::Suspended => ProvisioningState::Suspended,
                _ => ProvisioningState::Succeeded,
            },
        }
    }

    /// Whether nothing is being done with it.
    pub fn is_terminal(self) -> bool {
        matches!(self, ResourceState::Provisioned | ResourceState::Failed | ResourceState::Canceled)
    }
}

impl SubscriptionState {
    /// Whether what it has stands still: workloads are scaled to zero.
    pub fn is_suspended(self) -> bool {
        matches!(self, SubscriptionState::Warned | SubscriptionState::Suspended)
    }
}

impl ProvisioningState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            ProvisioningState::Accepted => "Accepted",
            ProvisioningState::Creating => "Creating",
            ProvisioningState::Updating => "Updating",
            ProvisioningState::Deleting => "Deleting",
            ProvisioningState::Succeeded => "Succeeded",
            ProvisioningState::Failed => "Failed",
            ProvisioningState::Canceled => "Canceled",
            ProvisioningState::Warned => "Warned",
            ProvisioningState::Suspended => "Suspended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_subscription_shows_on_what_is_ready_only() {
        let shown = |state: ResourceState| state.shown(SubscriptionState::Suspended).as_str();
        assert_eq!(shown(ResourceState::Provisioned), "Suspended");
        assert_eq!(shown(ResourceState::Deprovisioning), "Deleting");
        assert_eq!(ResourceState::Provisioned.shown(SubscriptionState::Registered).as_str(), "Succeeded");
    }
}
