//! What the things are called that are made for a customer
//! (resource-provider.md 4.8). Names come of the ids of documents, never of the
//! names that customers gave; they are stored when they are first made, and
//! what is stored is what counts.

use crate::id::DocumentId;

/// What the hubs begin with that devices send to.
pub const DEVICE_HUBS: &str = "dd-";

/// Names of what a workspace has.
#[derive(Clone, Copy, Debug)]
pub struct WorkspaceNames<'i>(pub &'i DocumentId);

/// Names of what a connector has.
#[derive(Clone, Copy, Debug)]
pub struct ConnectorNames<'i>(pub &'i DocumentId);

/// Names of what a destination has.
#[derive(Clone, Copy, Debug)]
pub struct DestinationNames<'i>(pub &'i DocumentId);

impl WorkspaceNames<'_> {
    /// Sixteen characters are enough for what is unique in one cloud, and short
    /// enough for a storage account.
    fn short(&self) -> &str {
        &self.0.as_str()[..16]
    }

    /// The group that holds the rest.
    pub fn resource_group(&self) -> String {
        format!("rg-ioc-{}", self.short())
    }

    /// The storage account.
    pub fn storage_account(&self) -> String {
        format!("ioc{}", self.short())
    }

    /// The Event Hubs namespace.
    pub fn event_hub_namespace(&self) -> String {
        format!("ehn-ioc-{}", self.short())
    }

    /// The identity by which everything internal is opened.
    pub fn identity(&self) -> String {
        format!("id-ioc-{}", self.short())
    }
}

impl ConnectorNames<'_> {
    /// The hub of measurements.
    pub fn event_hub(&self) -> String {
        format!("nd-{}", self.0)
    }

    /// Of Gen1: the hub that devices send to.
    pub fn device_hub(&self) -> String {
        format!("{DEVICE_HUBS}{}", self.0)
    }

    /// The certificate of the external identity.
    pub fn certificate(&self) -> String {
        format!("mi-{}", self.0)
    }

    /// The workload that normalizes, and what Kubernetes calls it.
    pub fn workload(&self) -> String {
        format!("iotn-{}", self.0)
    }

    /// The container of its positions in an ingestion epoch (design.md D14).
    pub fn checkpoints(&self, epoch: u32) -> String {
        format!("{}-e{epoch}", self.workload())
    }
}

impl DestinationNames<'_> {
    /// The consumer group on the connector's hub.
    pub fn consumer_group(&self) -> String {
        format!("dst-{}", self.0)
    }

    /// The workload that groups and converts, and the container of its positions.
    pub fn workload(&self) -> String {
        format!("iotd-{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_limits_of_azure_and_kubernetes() {
        let id = DocumentId::from_random(u128::MAX);
        let (workspace, connector, destination) = (WorkspaceNames(&id), ConnectorNames(&id), DestinationNames(&id));
        let names = [
            (workspace.resource_group(), 90),
            (workspace.storage_account(), 24),
            (workspace.event_hub_namespace(), 50),
            (workspace.identity(), 128),
            (connector.event_hub(), 50),
            (connector.device_hub(), 50),
            (connector.certificate(), 127),
            (connector.checkpoints(u32::MAX), 63),
            (destination.consumer_group(), 50),
            (destination.workload(), 63),
        ];
        for (name, length_max) in names {
            assert!(name.len() <= length_max, "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{name}"
            );
        }
        assert!(workspace.storage_account().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
