//! The first generation: connectors below a FHIR service, which own the hub that
//! devices send to (resource-provider.md 3).

pub mod iomt_connector;
pub mod iomt_mapping;
pub mod keys;

pub use iomt_connector::IomtConnector;
pub use iomt_mapping::IomtMapping;
pub use keys::{ConnectionKeys, KeyType};
