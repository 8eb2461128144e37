//! Connectors of the second generation (resource-provider.md 4.3).

use serde::{Deserialize, Serialize};

use super::ingestion::IngestionEndpoint;
use crate::body::Body;
use crate::error::ArmError;
use crate::mapping_content::{MappingContent, MappingKind, read_inline};

/// What a customer says of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IotConnector {
    /// The hub that it reads.
    pub ingestion_endpoint_configuration: IngestionEndpoint,
    /// From events to measurements.
    pub device_mapping: MappingContent,
}

impl IotConnector {
    /// Reads it from a body.
    ///
    /// # Errors
    ///
    /// `InvalidIngestionEndpoint`, `InvalidMapping`, `InvalidPropertyValue`,
    /// `InvalidRequestContent`.
    pub fn read(body: &Body, namespace_suffixes: &[String]) -> Result<IotConnector, ArmError> {
        let endpoint = body.property("ingestionEndpointConfiguration");
        let ingestion_endpoint_configuration = IngestionEndpoint::read(endpoint, namespace_suffixes)?;
        let device_mapping = read_inline(body, "deviceMapping", MappingKind::Device)?;
        Ok(IotConnector { ingestion_endpoint_configuration, device_mapping })
    }
}
