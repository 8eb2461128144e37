//! Destinations: the FHIR service that a connector writes to
//! (resource-provider.md 4.4).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::NAMESPACE;
use crate::api_version::ApiVersion;
use crate::body::{Body, typed};
use crate::error::{ArmError, ErrorCode};
use crate::mapping_content::{MappingContent, MappingKind, read_inline};
use crate::resource_id::ResourceId;
use crate::resource_type::Generation;

/// How Devices and Patients are found on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Resolution {
    /// What is not there is made.
    Create,
    /// What is not there is an error.
    #[default]
    Lookup,
    /// As Lookup, and the Encounter too.
    LookupWithEncounter,
}

/// Where Observations go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FhirTarget {
    /// A FHIR service of Azure's, by its resource id as the customer wrote it.
    FhirServiceResourceId(String),
    /// Any FHIR server, where that is allowed.
    FhirServerUrl(String),
}

impl PartialEq for FhirTarget {
    /// Letter case and the slash before it do not count in an id.
    fn eq(&self, other: &FhirTarget) -> bool {
        match (self, other) {
            (FhirTarget::FhirServiceResourceId(one), FhirTarget::FhirServiceResourceId(other)) => {
                one.trim_start_matches('/').eq_ignore_ascii_case(other.trim_start_matches('/'))
            }
            (FhirTarget::FhirServerUrl(one), FhirTarget::FhirServerUrl(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for FhirTarget {}

/// What a customer says of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FhirDestination {
    /// How Devices and Patients are found.
    pub resource_identity_resolution_type: Resolution,
    /// Where Observations go.
    pub target: FhirTarget,
    /// From measurements to Observations.
    pub fhir_mapping: MappingContent,
}

/// What is allowed beyond the public shape.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Allowed {
    /// `fhirServerUrl` in the place of `fhirServiceResourceId`.
    #[serde(rename = "allowManualFhirUrl")]
    pub manual_url: bool,
    /// The resolution `LookupWithEncounter`.
    #[serde(rename = "allowLookupWithEncounter")]
    pub encounter: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    destination_type: Option<String>,
    resource_identity_resolution_type: Option<String>,
    fhir_service_resource_id: Option<String>,
    fhir_server_url: Option<String>,
}

/// Where the oldest shape is.
const WRAPPER: &str = "properties.outputEndpointConfiguration";

/// The oldest shape, in `outputEndpointConfiguration`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wrapper {
    connection_type: Option<String>,
    resource_identity_resolution_type: Option<String>,
    fhir_server_url: Option<String>,
    fhir_mapping_resource_id: Option<String>,
}

impl FhirDestination {
    /// Reads it from a body in the newest shape; see [`translate`] for the
    /// oldest.
    ///
    /// # Errors
    ///
    /// `InvalidPropertyValue`, `InvalidFhirServiceResourceId`, `InvalidMapping`,
    /// `InvalidRequestContent`.
    pub fn read(body: &Body, allowed: Allowed) -> Result<FhirDestination, ArmError> {
        let asked: Asked = body.read_properties()?;
        let kind = asked.destination_type.unwrap_or_else(|| "FhirService".to_owned());
        if !["FhirService", "FhirServer"].iter().any(|known| known.eq_ignore_ascii_case(&kind)) {
            return Err(value("destinationType", "`destinationType` has to be `FhirService`."));
        }
        let resolution = resolution(asked.resource_identity_resolution_type.as_deref(), allowed.encounter)?;
        let target = match (asked.fhir_service_resource_id, asked.fhir_server_url) {
            (Some(id), None) => FhirTarget::FhirServiceResourceId(id),
            (None, Some(url)) if allowed.manual_url => FhirTarget::FhirServerUrl(url),
            (_, Some(_)) if !allowed.manual_url => {
                return Err(value(
                    "fhirServerUrl",
                    "`fhirServerUrl` is not supported: name the FHIR service by its id.",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(value("fhirServerUrl", "Give `fhirServiceResourceId` or `fhirServerUrl`, not both."));
            }
            (None, _) => {
                let (target, message) = (
                    "properties.fhirServiceResourceId",
                    "`fhirServiceResourceId` is required: the id of a FHIR service.",
                );
                return Err(ArmError::at(ErrorCode::InvalidFhirServiceResourceId, target, message));
            }
        };
        if let FhirTarget::FhirServerUrl(url) = &target
            && !is_https_url(url)
        {
            return Err(value("fhirServerUrl", "`fhirServerUrl` has to be an absolute https URL."));
        }
        let fhir_mapping = read_inline(body, "fhirMapping", MappingKind::Fhir)?;
        Ok(FhirDestination { resource_identity_resolution_type: resolution, target, fhir_mapping })
    }
}

fn value(member: &str, message: &str) -> ArmError {
    ArmError::at(ErrorCode::InvalidPropertyValue, format!("properties.{member}"), message)
}

/// Reads a resolution, which is required (`P` of the contract).
fn resolution(text: Option<&str>, encounter: bool) -> Result<Resolution, ArmError> {
    let is = |name: &str| text.is_some_and(|text| text.eq_ignore_ascii_case(name));
    match () {
        () if is("Create") => Ok(Resolution::Create),
        () if is("Lookup") => Ok(Resolution::Lookup),
        () if is("LookupWithEncounter") && encounter => Ok(Resolution::LookupWithEncounter),
        () => {
            let message = "`resourceIdentityResolutionType` has to be `Create` or `Lookup`.";
            Err(value("resourceIdentityResolutionType", message))
        }
    }
}

fn is_https_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let allowed = |letter: char| letter.is_ascii_graphic();
    // Where a chart does not write it otherwise, the kubelet puts something else in the
    // place of `$(NAME)`.
    let is_literal = text.chars().all(allowed) && !text.contains("$(");
    scheme.eq_ignore_ascii_case("https") && !host.is_empty() && !host.contains('@') && is_literal
}

/// The mapping that the oldest shape copies, by its id as it was written; none
/// for the newest shape.
///
/// # Errors
///
/// `InvalidRequestContent` for both shapes at once, for the oldest one in a
/// newer version, and for a wrapper that names no mapping.
pub fn copied_mapping(body: &Body, version: ApiVersion) -> Result<Option<String>, ArmError> {
    let Some(wrapper) = wrapper(body)? else { return Ok(None) };
    let refused = |message: &str| Err(ArmError::at(ErrorCode::InvalidRequestContent, WRAPPER, message));
    if !version.has_short_destinations() {
        return refused("`outputEndpointConfiguration` is of api-version 2020-11-01-preview only.");
    }
    let newest = ["destinationType", "resourceIdentityResolutionType", "fhirServiceResourceId", "fhirMapping"];
    if newest.iter().any(|member| body.property(member).is_some()) {
        return refused("`outputEndpointConfiguration` and the members that took its place are both there.");
    }
    match wrapper.fhir_mapping_resource_id {
        Some(id) => Ok(Some(id)),
        None => refused("`fhirMappingResourceId` is required."),
    }
}

fn wrapper(body: &Body) -> Result<Option<Wrapper>, ArmError> {
    body.property("outputEndpointConfiguration").map(|value| typed(value, WRAPPER)).transpose()
}

/// The newest shape of a body that may have the oldest, with the text of the
/// mapping that it copies (resource-provider.md 4.4).
///
/// # Errors
///
/// As [`copied_mapping`], and `InvalidPropertyValue`.
pub fn translate(body: Body, mapping: Option<&str>) -> Result<Body, ArmError> {
    let (Some(wrapper), Some(mapping)) = (wrapper(&body)?, mapping) else { return Ok(body) };
    let kind = wrapper.connection_type.unwrap_or_else(|| "FhirServer".to_owned());
    if !kind.eq_ignore_ascii_case("FhirServer") {
        return Err(value("outputEndpointConfiguration.connectionType", "`connectionType` has to be `FhirServer`."));
    }
    let resolution = match wrapper.resource_identity_resolution_type {
        Some(text) if text.eq_ignore_ascii_case("Update") => Some("Lookup".to_owned()),
        other => other,
    };
    let properties = json!({ "properties": {
        "outputEndpointConfiguration": Value::Null,
        "destinationType": "FhirService",
        "resourceIdentityResolutionType": resolution,
        "fhirServerUrl": wrapper.fhir_server_url,
        "fhirMapping": { "content": mapping },
    } });
    let Value::Object(patch) = properties else { return Ok(body) };
    Ok(body.merged(Body::of_members(patch)))
}

/// A FHIR service, read from a resource id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirServiceId {
    /// The id with a slash before it, for looking it up; letter case does not
    /// count.
    pub path: String,
}

impl FhirServiceId {
    /// Reads the id that a destination of a connector names: a service of the
    /// connector's workspace, or one of the first generation in its
    /// subscription.
    ///
    /// # Errors
    ///
    /// `InvalidFhirServiceResourceId` for another form, `FhirServiceOutOfScope`
    /// for another workspace or subscription.
    pub fn read(text: &str, destination: &ResourceId) -> Result<FhirServiceId, ArmError> {
        let target = "properties.fhirServiceResourceId";
        let path = format!("/{}", text.strip_prefix('/').unwrap_or(text));
        let segments = segments(&path);
        let Some(generation) = generation(&segments) else {
            let message = "`fhirServiceResourceId` has to be /subscriptions/{s}/resourceGroups/{g}/providers/\
                           Microsoft.HealthcareApis/workspaces/{w}/fhirservices/{f}, or …/services/{f}.";
            return Err(ArmError::at(ErrorCode::InvalidFhirServiceResourceId, target, message));
        };
        let workspace = destination.root();
        let is = |index: usize, name: &str| segments[index].eq_ignore_ascii_case(name);
        let same_subscription = is(1, &workspace.subscription);
        let same_workspace = is(3, &workspace.group) && is(7, workspace.own_name());
        if !same_subscription || (generation == Generation::Gen2 && !same_workspace) {
            let message = "The FHIR service has to be in the connector's workspace, or be an Azure API for FHIR in its \
                           subscription.";
            return Err(ArmError::at(ErrorCode::FhirServiceOutOfScope, target, message));
        }
        Ok(FhirServiceId { path })
    }

    /// Whether a text, with a slash before it, has the form of the id of a FHIR service
    /// of either generation; its names may be anything.
    pub fn has_form(path: &str) -> bool {
        path.starts_with('/') && generation(&segments(path)).is_some()
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.strip_prefix('/').unwrap_or(path).split('/').collect()
}

/// The generation of the FHIR service whose id has these segments.
fn generation(segments: &[&str]) -> Option<Generation> {
    let is = |index: usize, literal: &str| {
        segments.get(index).is_some_and(|segment: &&str| segment.eq_ignore_ascii_case(literal))
    };
    let form = is(0, "subscriptions") && is(2, "resourceGroups") && is(4, "providers") && is(5, NAMESPACE);
    // A dot would have another resource looked at than is written. So would what URLs
    // drop: control characters, and blanks at an end.
    let is_full = |segment: &str| !matches!(segment, "" | "." | "..");
    let is_kept = |segment: &str| !segment.contains(char::is_control) && segment.trim() == segment;
    let full = segments.iter().all(|segment| is_full(segment) && is_kept(segment));
    match segments.len() {
        8 if form && full && is(6, "services") => Some(Generation::Gen1),
        10 if form && full && is(6, "workspaces") && is(8, "fhirservices") => Some(Generation::Gen2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource_type::ResourceType;

    const S: &str = "0b1f6471-1bf0-4dda-aec3-111122223333";

    fn destination() -> ResourceId {
        ResourceId {
            subscription: S.to_owned(),
            group: "rg1".to_owned(),
            kind: ResourceType::FhirDestination,
            names: ["ws1", "iot1", "dest1"].map(str::to_owned).to_vec(),
        }
    }

    #[track_caller]
    fn check_id(id: &str, expected: Result<(), ErrorCode>) {
        let id = id.replace("{s}", S);
        let read = FhirServiceId::read(&id, &destination());
        assert_eq!(read.map(|_| ()).map_err(|error| error.code), expected, "{id}");
    }

    #[test]
    fn names_may_stand_for_many_services() {
        let below = "/subscriptions/*/resourceGroups/*/providers/Microsoft.HealthcareApis";
        for (id, expected) in [
            (format!("{below}/services/*"), true),
            (format!("{below}/Workspaces/ws1/FhirServices/fhir1"), true),
            (format!("{below}/workspaces/ws1"), false),
            (format!("{below}/services/"), false),
            (format!("{below}/services/f").replace("Microsoft.HealthcareApis", "*"), false),
            (format!("{}/services/f", &below[1..]), false),
            (format!("/{below}/services/f"), false),
        ] {
            assert_eq!(FhirServiceId::has_form(&id), expected, "{id}");
        }
    }

    #[test]
    fn a_service_is_of_the_workspace_or_of_the_first_generation() {
        let ns = "providers/Microsoft.HealthcareApis";
        check_id(&format!("/subscriptions/{{s}}/resourceGroups/rg1/{ns}/workspaces/ws1/fhirservices/f"), Ok(()));
        check_id(&format!("SUBSCRIPTIONS/{{s}}/resourcegroups/RG1/{ns}/workspaces/WS1/fhirServices/f"), Ok(()));
        check_id(&format!("/subscriptions/{{s}}/resourceGroups/other/{ns}/services/f"), Ok(()));
        let scope = Err(ErrorCode::FhirServiceOutOfScope);
        check_id(&format!("/subscriptions/{{s}}/resourceGroups/rg1/{ns}/workspaces/ws2/fhirservices/f"), scope);
        check_id(&format!("/subscriptions/{{s}}/resourceGroups/rg2/{ns}/workspaces/ws1/fhirservices/f"), scope);
        let other = S.replace('0', "9");
        check_id(&format!("/subscriptions/{other}/resourceGroups/rg1/{ns}/services/f"), scope);
        let form = Err(ErrorCode::InvalidFhirServiceResourceId);
        check_id("f", form);
        check_id(&format!("/subscriptions/{{s}}/resourceGroups/rg1/{ns}/workspaces/ws1/dicomservices/f"), form);
        check_id(&format!("/subscriptions/{{s}}/resourceGroups/rg1/{ns}/workspaces/ws1/fhirservices/"), form);
        for wrong in ["f\t", "f\n", "\r", ".\t.", "\t..", " ..", "f ", "\u{0}", "\u{a0}f"] {
            check_id(
                &format!("/subscriptions/{{s}}/resourceGroups/rg1/{ns}/workspaces/ws1/fhirservices/{wrong}"),
                form,
            );
        }
    }

    const MAPPING: &str = r#"{"templateType":"CollectionFhirTemplate","template":[]}"#;

    fn read(properties: &str, allowed: Allowed) -> Result<FhirDestination, ErrorCode> {
        let body = Body::read(format!(r#"{{"properties":{properties}}}"#).as_bytes()).unwrap();
        FhirDestination::read(&body, allowed).map_err(|error| error.code)
    }

    #[test]
    fn each_member_is_checked() {
        let with = |members: &str| {
            read(&format!(r#"{{"fhirMapping":{{"content":{MAPPING}}},{members}}}"#), Allowed::default())
        };
        let good = with(
            r#""resourceIdentityResolutionType":"create","fhirServiceResourceId":"/a","destinationType":"fhirserver""#,
        );
        assert_eq!(good.map(|it| it.resource_identity_resolution_type), Ok(Resolution::Create));
        let value = Err(ErrorCode::InvalidPropertyValue);
        assert_eq!(with(r#""fhirServiceResourceId":"/a""#).map(|_| ()), value);
        for word in ["Update", "LookupWithEncounter", ""] {
            let members = format!(r#""fhirServiceResourceId":"/a","resourceIdentityResolutionType":"{word}""#);
            assert_eq!(with(&members).map(|_| ()), value, "{word}");
        }
        let lookup = r#""resourceIdentityResolutionType":"Lookup""#;
        assert_eq!(with(&format!(r#"{lookup},"fhirServiceResourceId":"/a","destinationType":"x""#)).map(|_| ()), value);
        assert_eq!(with(&format!(r#"{lookup},"fhirServerUrl":"https://f""#)).map(|_| ()), value);
        assert_eq!(with(lookup).map(|_| ()), Err(ErrorCode::InvalidFhirServiceResourceId));
        let none = read(&format!(r#"{{{lookup},"fhirServiceResourceId":"/a"}}"#), Allowed::default());
        assert_eq!(none.map(|_| ()), Err(ErrorCode::InvalidMapping));
        let reference = format!(r#"{{{lookup},"fhirServiceResourceId":"/a","fhirMapping":{{"reference":"x"}}}}"#);
        assert_eq!(read(&reference, Allowed::default()).map(|_| ()), value);
    }

    #[test]
    fn flags_allow_more() {
        let allowed = Allowed { manual_url: true, encounter: true };
        let with = |url: &str| {
            let mapping = format!(r#""fhirMapping":{{"content":{MAPPING}}}"#);
            let resolution = r#""resourceIdentityResolutionType":"LookupWithEncounter""#;
            read(&format!(r#"{{{mapping},{resolution},"fhirServerUrl":"{url}"}}"#), allowed)
        };
        assert_eq!(
            with("https://fhir.example/r4").map(|it| it.target),
            Ok(FhirTarget::FhirServerUrl("https://fhir.example/r4".into()))
        );
        for url in
            ["http://fhir.example", "https://", "fhir.example", "https://a b", "https://u:p@h", "https://$(HOST)/"]
        {
            assert_eq!(with(url).map(|_| ()), Err(ErrorCode::InvalidPropertyValue), "{url}");
        }
    }

    #[test]
    fn the_oldest_shape_is_translated() {
        let (first, later) = (ApiVersion::all()[1], *ApiVersion::all().last().unwrap());
        let old = r#"{"properties":{"outputEndpointConfiguration":{"connectionType":"FhirServer",
            "resourceIdentityResolutionType":"Update","fhirServerUrl":"https://f.example","fhirMappingResourceId":"/m"}}}"#;
        let body = Body::read(old.as_bytes()).unwrap();
        assert_eq!(copied_mapping(&body, first), Ok(Some("/m".to_owned())));
        assert_eq!(copied_mapping(&body, later).map_err(|error| error.code), Err(ErrorCode::InvalidRequestContent));
        let body = translate(body, Some(MAPPING)).unwrap();
        let read = FhirDestination::read(&body, Allowed { manual_url: true, encounter: false }).unwrap();
        assert_eq!(read.resource_identity_resolution_type, Resolution::Lookup);
        assert_eq!(read.target, FhirTarget::FhirServerUrl("https://f.example".into()));
        let both = r#"{"properties":{"outputEndpointConfiguration":{"fhirMappingResourceId":"/m"},"destinationType":"FhirService"}}"#;
        let both = copied_mapping(&Body::read(both.as_bytes()).unwrap(), first);
        assert_eq!(both.map_err(|error| error.code), Err(ErrorCode::InvalidRequestContent));
        let newest = Body::read(b"{\"properties\":{}}").unwrap();
        assert_eq!(copied_mapping(&newest, first), Ok(None));
    }
}
