//! What a write is decided from.

use arm::encounter::{Request, meet};
use arm::{ArmError, ErrorCode, Location, NAMESPACE, ResourceId, ResourceType};

use super::super::Api;
use crate::documents::ResourceDocument;
use crate::ports::{ErrorClass, FhirService};
use crate::store::Listed;

/// What was there.
#[derive(Debug)]
pub struct Seen {
    /// The resource of ours above it.
    pub parent: Option<ResourceDocument>,
    /// The region of what is above it; none for a workspace.
    pub parent_location: Option<Location>,
    /// The resource.
    pub before: Option<ResourceDocument>,
    /// Of a workspace: whether it has connectors.
    pub has_connectors: bool,
}

/// Looks at a resource and what is above it, which has to be there and ready.
pub async fn look(api: &Api, id: &ResourceId) -> Result<Seen, ArmError> {
    let (parent, parent_location) = match (id.parent(), id.kind) {
        (Some(parent), _) => {
            let parent = api.store.resource(&parent).await?;
            meet(parent.as_ref().map(|parent| parent.state), Request::OfChild)?;
            let location = parent.as_ref().map(|parent| parent.location.clone());
            (parent, location)
        }
        (None, ResourceType::IomtConnector) => {
            let service = id.names.first().map_or("", String::as_str);
            let service = gen1_parent(api, &id.subscription, &id.group, service).await?;
            if !service.is_ready {
                let message = "The FHIR service above it is not ready. Try again when it is.";
                return Err(ArmError::new(ErrorCode::AncestorNotProvisioned, message));
            }
            (None, Some(service.location))
        }
        (None, _) => (None, None),
    };
    let before = api.store.resource(id).await?;
    let has_connectors = match id.kind {
        ResourceType::Workspace => {
            let connectors = id.collection_key(ResourceType::IotConnector);
            !api.store.list(Listed::Collection(&connectors), "", (1, 0)).await?.documents.is_empty()
        }
        _ => false,
    };
    Ok(Seen { parent, parent_location, before, has_connectors })
}

/// The FHIR service that Gen1 connectors are below.
pub async fn gen1_parent(api: &Api, subscription: &str, group: &str, service: &str) -> Result<FhirService, ArmError> {
    let path = format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{NAMESPACE}/services/{service}");
    let found = api.fhir_services.get(&path).await.map_err(|error| directory(&error))?;
    found.ok_or_else(|| {
        let message = format!("The parent resource '{NAMESPACE}/services/{service}' was not found.");
        ArmError::new(ErrorCode::ParentResourceNotFound, message)
    })
}

/// The directory of FHIR services did not answer, or lets us look nothing up.
pub fn directory(error: &crate::ports::PortError) -> ArmError {
    tracing::error!(%error, "The directory of FHIR services failed");
    match error.class {
        ErrorClass::Permanent => {
            let message = "The FHIR services may not be looked up: Azure refuses this provider, which trying again does \
                           not change. Let it read them (docs/resource-provider.md), or contact support.";
            ArmError::new(ErrorCode::InternalServerError, message)
        }
        ErrorClass::Transient { .. } | ErrorClass::UnderWay { .. } => {
            ArmError::new(ErrorCode::ServiceUnavailable, "FHIR services cannot be looked up now. Try again.")
        }
    }
}
