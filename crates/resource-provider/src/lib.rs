//! The control plane: an API that Azure Resource Manager calls, and a worker
//! that carries out what it accepts (docs/resource-provider.md).
//!
//! ```text
//! request --api--> store: resource + operation, in one transaction
//! store --worker: claim, steps, journal--> ports: Azure, the cluster, or this machine
//! ```

pub mod api;
pub mod documents;
pub mod enqueue;
pub mod lifecycle;
pub mod local;
pub mod ports;
pub mod store;
pub mod worker;
