//! A resource as answers show it.

use serde::Serialize;
use serde_json::Value;

use crate::api_version::ApiVersion;
use crate::body::Body;
use crate::desired::{Desired, Properties};
use crate::gen2::fhir_destination::FhirTarget;
use crate::gen2::{Resolution, Sku};
use crate::identity::SystemAssigned;
use crate::mapping_content::MappingContent;
use crate::resource_id::ResourceId;
use crate::state::ProvisioningState;
use crate::system_data::SystemData;
use crate::tags::Tags;
use crate::{error::ArmError, name_of_provider};

/// What is shown of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'r> {
    /// Its id, names as they were last written.
    pub id: &'r ResourceId,
    /// Its ETag, quotes included.
    pub etag: &'r str,
    /// What was asked for.
    pub desired: &'r Desired,
    /// The identity that ARM made for it.
    pub identity: Option<&'r SystemAssigned>,
    /// Who made and changed it.
    pub system_data: &'r SystemData,
    /// Where it stands.
    pub state: ProvisioningState,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'r> {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    etag: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'r Tags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<ShownSku>,
    #[serde(rename = "kind", skip_serializing_if = "Option::is_none")]
    workspace_kind: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<crate::identity::Shown<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_data: Option<&'r SystemData>,
    properties: ShownProperties<'r>,
}

#[derive(Serialize)]
struct ShownSku {
    name: Sku,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownProperties<'r> {
    #[serde(flatten)]
    own: Own<'r>,
    provisioning_state: ProvisioningState,
}

/// What is of a type.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Own<'r> {
    Workspace {
        public_network_access: crate::gen2::workspace::PublicNetworkAccess,
        private_endpoint_connections: [(); 0],
    },
    IotConnector {
        ingestion_endpoint_configuration: &'r crate::gen2::IngestionEndpoint,
        device_mapping: Inline<'r>,
    },
    FhirDestination {
        #[serde(skip_serializing_if = "Option::is_none")]
        destination_type: Option<&'static str>,
        resource_identity_resolution_type: Resolution,
        #[serde(flatten)]
        target: &'r FhirTarget,
        fhir_mapping: Inline<'r>,
    },
    Mapping {
        content: &'r MappingContent,
    },
    IomtConnector {
        service_configuration: &'r crate::gen1::IomtConnector,
    },
    Nothing {},
}

#[derive(Serialize)]
struct Inline<'r> {
    content: &'r MappingContent,
}

impl Resource<'_> {
    /// The JSON that a version shows.
    pub fn json(&self, version: ApiVersion) -> String {
        let Resource { id, etag, desired, identity, system_data, state } = self;
        let workspace = match &desired.properties {
            Properties::Workspace(workspace) => Some(workspace),
            _ => None,
        };
        let tracked = id.kind.is_tracked();
        let has_location = tracked || id.kind == crate::ResourceType::FhirDestination;
        let shown = Shown {
            id: id.path(version),
            name: id.nested_name(),
            kind: name_of_provider(&id.kind.path(version)),
            etag,
            location: has_location.then(|| desired.location.as_str()),
            tags: (tracked && !desired.tags.is_empty()).then_some(&desired.tags),
            sku: workspace.map(|workspace| ShownSku { name: workspace.sku }),
            workspace_kind: workspace.and_then(|workspace| workspace.kind.as_deref()),
            identity: identity.filter(|_| desired.has_identity).map(SystemAssigned::shown),
            system_data: Some(*system_data).filter(|data| version.has_system_data() && !data.is_empty()),
            properties: ShownProperties { own: own(&desired.properties, version), provisioning_state: *state },
        };
        // Texts, numbers and texts of JSON only: nothing that cannot be written.
        serde_json::to_string(&shown).unwrap_or_default()
    }

    /// The body of a PUT that asks for what is there; what a PATCH merges into.
    ///
    /// # Errors
    ///
    /// None for what was stored.
    pub fn body(&self, version: ApiVersion) -> Result<Body, ArmError> {
        let mut body = Body::read(self.json(version).as_bytes())?;
        if self.desired.has_identity {
            body.keep("identity", Value::from_iter([("type", "SystemAssigned")]));
        }
        Ok(body.without_property("provisioningState"))
    }
}

fn own(properties: &Properties, version: ApiVersion) -> Own<'_> {
    match properties {
        Properties::Workspace(workspace) => {
            Own::Workspace { public_network_access: workspace.public_network_access, private_endpoint_connections: [] }
        }
        Properties::IotConnector(connector) => Own::IotConnector {
            ingestion_endpoint_configuration: &connector.ingestion_endpoint_configuration,
            device_mapping: Inline { content: &connector.device_mapping },
        },
        Properties::FhirDestination(destination) => Own::FhirDestination {
            destination_type: version.has_short_destinations().then_some("FhirService"),
            resource_identity_resolution_type: destination.resource_identity_resolution_type,
            target: &destination.target,
            fhir_mapping: Inline { content: &destination.fhir_mapping },
        },
        Properties::IotMapping(mapping) => Own::Mapping { content: &mapping.content },
        Properties::IomtMapping(mapping) => Own::Mapping { content: &mapping.content },
        Properties::IomtConnector(connector) => Own::IomtConnector { service_configuration: connector },
        Properties::Connection => Own::Nothing {},
    }
}

#[cfg(test)]
mod tests;
