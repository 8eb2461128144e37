//! What a customer wants of a resource, checked: what is stored, compared, given
//! to the worker and shown.

use serde::{Deserialize, Serialize};

use crate::api_version::ApiVersion;
use crate::body::Body;
use crate::error::{ArmError, ErrorCode};
use crate::gen1::{IomtConnector, IomtMapping};
use crate::gen2::fhir_destination::{self, FhirDestination};
use crate::gen2::{IotConnector, IotMapping, Workspace};
use crate::identity;
use crate::location::Location;
use crate::resource_id::ResourceId;
use crate::resource_type::ResourceType;
use crate::tags::{self, Tags};

/// What is wanted. Two are equal when nothing would be done to get from one to
/// the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    /// The region; that of the parent when the customer named none.
    pub location: Location,
    /// Of tracked resources.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Whether it has an identity of its own.
    #[serde(default)]
    pub has_identity: bool,
    /// What is of its type.
    pub properties: Properties,
}

/// What is of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Properties {
    /// Of a workspace.
    Workspace(Workspace),
    /// Of a connector.
    IotConnector(IotConnector),
    /// Of a destination.
    FhirDestination(FhirDestination),
    /// Of a mapping of its own.
    IotMapping(IotMapping),
    /// Of a Gen1 connector.
    IomtConnector(IomtConnector),
    /// Of a Gen1 connection, which has none.
    Connection,
    /// Of a Gen1 mapping.
    IomtMapping(IomtMapping),
}

/// What the platform allows; the defaults are those of the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// How many tags a resource may have.
    pub tags_max: usize,
    /// Whether a connector may have no identity, as the public service lets it.
    pub identity_optional: bool,
    /// What the host name of a namespace may end in; nothing allows anything.
    pub namespace_suffixes: Vec<String>,
    /// What destinations may have beyond the public shape.
    pub destinations: fhir_destination::Allowed,
    /// Names that nobody may take, without letter case.
    pub reserved_names: Vec<String>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            tags_max: 15,
            identity_optional: false,
            namespace_suffixes: Vec::new(),
            destinations: fhir_destination::Allowed::default(),
            reserved_names: Vec::new(),
        }
    }
}

/// What a body is read against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// What the platform allows.
    pub rules: &'a Rules,
    /// Of the request.
    pub version: ApiVersion,
    /// The region of the resource above it; none for a workspace.
    pub parent_location: Option<&'a Location>,
    /// What was wanted before; none for a new resource.
    pub before: Option<&'a Desired>,
}

impl Desired {
    /// Reads what a body asks for: that of a PUT, or what came of merging a PATCH.
    ///
    /// # Errors
    ///
    /// The first that is wrong, in the order of the contract: the name, location,
    /// tags, identity, and then what is of the type.
    pub fn read(id: &ResourceId, body: &Body, against: Against<'_>) -> Result<Desired, ArmError> {
        check_reserved(id, against)?;
        let location = location(id.kind, body, against)?;
        let tags: Tags = if id.kind.is_tracked() { body.read_member("tags")?.unwrap_or_default() } else { Tags::new() };
        tags::check(&tags, against.rules.tags_max)?;
        let has_identity =
            id.kind == ResourceType::IotConnector && identity::is_asked(body, against.rules.identity_optional)?;
        let properties = properties(id, body, against)?;
        Ok(Desired { location, tags, has_identity, properties })
    }
}

fn check_reserved(id: &ResourceId, against: Against<'_>) -> Result<(), ArmError> {
    let reserved = || against.rules.reserved_names.iter().any(|name| name.eq_ignore_ascii_case(id.own_name()));
    if against.before.is_none() && reserved() {
        let message = format!("The name `{}` is reserved. Choose another.", id.own_name());
        return Err(ArmError::at(ErrorCode::ReservedResourceName, "name", message));
    }
    Ok(())
}

/// The region of a resource (resource-provider.md 2.4).
fn location(kind: ResourceType, body: &Body, against: Against<'_>) -> Result<Location, ArmError> {
    let asked = body.read_member::<String>("location")?.filter(|text| !text.trim().is_empty()).map(Location::new);
    // The first generation's proxies have none of their own.
    let asked = asked.filter(|_| kind.is_tracked() || kind == ResourceType::FhirDestination);
    match (asked, against.before, against.parent_location) {
        (Some(asked), Some(before), _) if asked != before.location => {
            let message = format!("The location of a resource never changes; it is `{}`.", before.location);
            Err(ArmError::at(ErrorCode::InvalidResourceLocation, "location", message))
        }
        (Some(asked), None, Some(parent)) if asked != *parent => {
            let message = format!("The location has to be that of the resource above it, `{parent}`.");
            Err(ArmError::at(ErrorCode::LocationMismatch, "location", message))
        }
        (Some(asked), ..) => Ok(asked),
        (None, Some(before), _) => Ok(before.location.clone()),
        (None, None, Some(parent)) => Ok(parent.clone()),
        (None, None, None) => Err(ArmError::at(ErrorCode::LocationRequired, "location", "`location` is required.")),
    }
}

fn properties(id: &ResourceId, body: &Body, against: Against<'_>) -> Result<Properties, ArmError> {
    let rules = against.rules;
    Ok(match id.kind {
        ResourceType::Workspace => {
            let mut workspace = Workspace::read(body)?;
            // Public clients know no SKU and must not reset it.
            if let (None, Some(Properties::Workspace(before))) =
                (body.get("sku"), against.before.map(|before| &before.properties))
            {
                workspace.sku = before.sku;
            }
            Properties::Workspace(workspace)
        }
        ResourceType::IotConnector => Properties::IotConnector(IotConnector::read(body, &rules.namespace_suffixes)?),
        ResourceType::FhirDestination => Properties::FhirDestination(FhirDestination::read(body, rules.destinations)?),
        ResourceType::IotMapping => Properties::IotMapping(IotMapping::read(body)?),
        ResourceType::IomtConnector => Properties::IomtConnector(IomtConnector::read(body)?),
        ResourceType::Connection => Properties::Connection,
        ResourceType::IomtMapping => Properties::IomtMapping(IomtMapping::read(body, id.own_name())?),
    })
}
