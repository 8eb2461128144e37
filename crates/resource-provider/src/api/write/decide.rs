//! What a write does.

use arm::desired::{Against, Desired, Properties};
use arm::encounter::{Encounter, Request, meet};
use arm::gen2::FhirTarget;
use arm::gen2::fhir_destination::{FhirServiceId, copied_mapping, translate};
use arm::identity::SystemAssigned;
use arm::state::SubscriptionState;
use arm::{ArmError, Body, ErrorCode, Location, ResourceId, ResourceType};

use super::super::call::Call;
use super::super::read::not_found;
use super::super::{Api, Switches};
use super::Verb;
use super::aside::aside;
use super::look::{Seen, directory};
use crate::documents::ResourceDocument;

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// Which of the ways of resource-provider.md 5.4.
    pub encounter: Encounter,
    /// What is wanted.
    pub desired: Desired,
    /// The identity, of a resource that has one.
    pub identity: Option<SystemAssigned>,
}

/// Reads what is asked and decides.
pub async fn decide(api: &Api, call: &Call, id: &ResourceId, verb: Verb, seen: &Seen) -> Result<Plan, ArmError> {
    if verb == Verb::Patch && seen.before.is_none() {
        return Err(not_found(id));
    }
    let body = body(api, call, id, verb, seen).await?;
    let before = seen.before.as_ref().map(ResourceDocument::desired);
    let desired = read(api, call, id, body, (seen.parent_location.clone(), before.clone())).await?;
    if before.is_none() {
        check_switches(api, id, &desired).await?;
        check_region(api, id, &desired)?;
    }
    if let (Properties::Workspace(workspace), Some(Properties::Workspace(before))) =
        (&desired.properties, before.as_ref().map(|before| &before.properties))
    {
        workspace.check_change(before, seen.has_connectors)?;
    }
    check_fhir_service(api, id, &desired, before.as_ref()).await?;
    call.conditions().check(seen.before.as_ref().map(|before| before.etag.as_str()))?;
    let identity = identity(api, call, id, &desired, seen.before.as_ref()).await?;
    let same =
        before.as_ref() == Some(&desired) && seen.before.as_ref().is_some_and(|before| before.identity == identity);
    let request = match verb {
        Verb::Put => Request::Put { same },
        Verb::Patch => Request::Patch { same },
    };
    let encounter = meet(seen.before.as_ref().map(|before| before.state), request)?;
    Ok(Plan { encounter, desired, identity })
}

/// What is asked for, in the newest shape; of PATCH, with what is there.
async fn body(api: &Api, call: &Call, id: &ResourceId, verb: Verb, seen: &Seen) -> Result<Body, ArmError> {
    let body = Body::read(&call.body)?;
    let state = seen.before.as_ref().map(|before| before.state.shown(SubscriptionState::Registered));
    let same_id = |sent: &str| {
        let sent = match arm::Route::of_path(sent) {
            Ok(arm::Route::Resource(sent)) => Some(sent.key()),
            _ => None,
        };
        sent == Some(id.key())
    };
    body.check_read_only(same_id, state.map(|state| state.as_str()))?;
    let body = match id.kind {
        ResourceType::FhirDestination => with_copied_mapping(api, call, id, body).await?,
        _ => body,
    };
    match (verb, &seen.before) {
        (Verb::Patch, Some(before)) => {
            let stored = before.show(SubscriptionState::Registered, |resource| resource.body(call.version))?;
            Ok(stored.merged(body))
        }
        _ => Ok(body),
    }
}

/// Reads what a body asks for, against the region of what is above it and what was wanted
/// before. Its mappings are compiled, for which others need not wait.
async fn read(
    api: &Api,
    call: &Call,
    id: &ResourceId,
    body: Body,
    (parent_location, before): (Option<Location>, Option<Desired>),
) -> Result<Desired, ArmError> {
    let (settings, version, id) = (api.settings.clone(), call.version, id.clone());
    let reading = move || {
        let (parent_location, before) = (parent_location.as_ref(), before.as_ref());
        let against = Against { rules: &settings.rules, version, parent_location, before };
        Desired::read(&id, &body, against)
    };
    aside(reading).await?
}

/// The oldest shape names a mapping of its own, whose text is copied now.
async fn with_copied_mapping(api: &Api, call: &Call, id: &ResourceId, body: Body) -> Result<Body, ArmError> {
    let Some(named) = copied_mapping(&body, call.version)? else { return Ok(body) };
    let target = "properties.outputEndpointConfiguration.fhirMappingResourceId";
    let wrong = |message: &str| ArmError::at(ErrorCode::InvalidMapping, target, message);
    let path = format!("/{}", named.trim_start_matches('/'));
    let mapping = match arm::Route::of_path(&path) {
        Ok(arm::Route::Resource(mapping)) if mapping.kind == ResourceType::IotMapping => mapping,
        _ => return Err(wrong("`fhirMappingResourceId` is not the id of a mapping of a connector.")),
    };
    if mapping.parent().map(|parent| parent.key()) != id.parent().map(|parent| parent.key()) {
        return Err(wrong("`fhirMappingResourceId` has to be a mapping of the same connector."));
    }
    let document = api.store.resource(&mapping).await?;
    match document.map(|document| document.properties) {
        Some(Properties::IotMapping(mapping)) => translate(body, Some(mapping.content.as_str())),
        _ => Err(wrong("The mapping that `fhirMappingResourceId` names does not exist.")),
    }
}

/// Where the feature is off its types are unknown to whoever creates.
async fn check_switches(api: &Api, id: &ResourceId, desired: &Desired) -> Result<(), ArmError> {
    let Switches { off_in, required_feature } = &api.settings.switches;
    let is_on = match required_feature {
        _ if off_in.contains(&desired.location) => false,
        None => true,
        Some(feature) => {
            let subscription = api.store.subscription(&id.subscription).await?;
            subscription.is_some_and(|subscription| subscription.has_feature(feature))
        }
    };
    if is_on {
        return Ok(());
    }
    let kind = arm::name_of_provider(&id.kind.canonical_path());
    let message = format!("The resource type '{kind}' is not available to this subscription in this region.");
    Err(ArmError::new(ErrorCode::InvalidResourceType, message))
}

/// New resources are made in regions that a cluster is known of.
fn check_region(api: &Api, id: &ResourceId, desired: &Desired) -> Result<(), ArmError> {
    let regions = &api.settings.regions;
    if !id.kind.is_tracked() || regions.is_empty() || regions.contains(&desired.location) {
        return Ok(());
    }
    let names: Vec<&str> = regions.iter().map(|region| region.as_str()).collect();
    let message = format!("The location is not available for this type; it is in: {}.", names.join(", "));
    Err(ArmError::at(ErrorCode::LocationNotAvailableForResourceType, "location", message))
}

/// The FHIR service of a destination is there and ready when it is named first.
async fn check_fhir_service(
    api: &Api,
    id: &ResourceId,
    desired: &Desired,
    before: Option<&Desired>,
) -> Result<(), ArmError> {
    let target = |desired: &Desired| match &desired.properties {
        Properties::FhirDestination(destination) => Some(destination.target.clone()),
        _ => None,
    };
    let wanted = target(desired);
    if wanted.is_none() || wanted == before.and_then(target) {
        return Ok(());
    }
    let Some(FhirTarget::FhirServiceResourceId(text)) = wanted else { return Ok(()) };
    let service = FhirServiceId::read(&text, id)?;
    let found = api.fhir_services.get(&service.path).await.map_err(|error| directory(&error))?;
    match found {
        Some(service) if service.is_ready => Ok(()),
        Some(_) => {
            let message = "The FHIR service is not ready. Try again when it is.";
            Err(ArmError::at(ErrorCode::AncestorNotProvisioned, "properties.fhirServiceResourceId", message))
        }
        None => {
            let message = "The FHIR service that `fhirServiceResourceId` names does not exist.";
            Err(ArmError::at(ErrorCode::FhirServiceNotFound, "properties.fhirServiceResourceId", message))
        }
    }
}

/// The identity: what ARM sends now, else what is known, else one that is issued
/// here.
async fn identity(
    api: &Api,
    call: &Call,
    id: &ResourceId,
    desired: &Desired,
    before: Option<&ResourceDocument>,
) -> Result<Option<SystemAssigned>, ArmError> {
    if !desired.has_identity {
        return Ok(None);
    }
    let known = before.and_then(|before| before.identity.clone()).unwrap_or_default();
    let identity = known.renewed(call.identity.clone());
    if identity.principal_id.is_some() {
        return Ok(Some(identity));
    }
    let Some(issuer) = &api.identities else {
        let message = "The request names no principal: Azure Resource Manager has to send x-ms-identity-principal-id.";
        return Err(ArmError::at(ErrorCode::IdentityRequired, "identity", message));
    };
    let issued = issuer.issue(id).await.map_err(|error| {
        tracing::error!(%error, "No identity was issued");
        ArmError::new(ErrorCode::ServiceUnavailable, "An identity cannot be made now. Try again.")
    })?;
    Ok(Some(issued))
}
