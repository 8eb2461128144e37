//! The second generation: workspaces, connectors that read the customer's hub,
//! and where they write (resource-provider.md 4).

pub mod fhir_destination;
pub mod ingestion;
pub mod iot_connector;
pub mod iot_mapping;
pub mod workspace;

pub use fhir_destination::{FhirDestination, FhirTarget, Resolution};
pub use ingestion::IngestionEndpoint;
pub use iot_connector::IotConnector;
pub use iot_mapping::IotMapping;
pub use workspace::{Sku, Workspace};
