//! The control plane: an API that Azure Resource Manager calls, and a worker
//! that carries out what it accepts (docs/resource-provider.md).
//!
//! ```text
//! request --front--> --api--> store: resource + operation, in one transaction
//! store --worker: claim, steps, journal--> ports: Azure, the cluster, or this machine
//! ```

pub mod api;
pub mod azure;
pub mod documents;
pub mod enqueue;
pub mod front;
pub mod kubernetes;
pub mod lifecycle;
pub mod local;
pub mod metrics;
pub mod openapi;
pub mod outside;
pub mod platform_file;
pub mod pools;
pub mod ports;
pub mod settings;
pub mod store;
pub mod worker;
