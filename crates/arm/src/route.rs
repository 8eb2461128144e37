//! What a URL means (resource-provider.md 2.1, 2.13, 2.14).
//!
//! ```text
//! path --split, decode once--> segments --Route--> resource, collection, action, …
//! ```
//!
//! Literal segments, the namespace, types and names are compared without letter
//! case.

use percent_encoding::percent_decode_str;

use crate::NAMESPACE;
use crate::error::{ArmError, ErrorCode};
use crate::name::{check_group, check_subscription};
use crate::resource_id::ResourceId;
use crate::resource_type::{Action, ResourceType, Verb};

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// One resource.
    Resource(ResourceId),
    /// All resources of a type within something.
    Collection(Scope),
    /// Something done with a resource, by POST.
    Action(ResourceId, Action),
    /// What the provider can do.
    Operations,
    /// How an operation goes, or what it gave.
    OperationResult {
        /// Of the resource.
        subscription: String,
        /// As it was written.
        location: String,
        /// Of the operation.
        id: String,
    },
    /// Whether a name is free, by POST.
    CheckNameAvailability {
        /// Of the asker.
        subscription: String,
    },
    /// A subscription's state, which ARM puts.
    Subscription {
        /// Its id.
        subscription: String,
    },
    /// The provider, as a subscription sees it; ARM's own, which a front door
    /// for development answers in its place.
    Provider {
        /// Of the asker.
        subscription: String,
    },
    /// A subscription begins to use the provider, by POST; as [`Route::Provider`].
    Register {
        /// Which does.
        subscription: String,
    },
    /// Resources go to another group, by POST, which is refused.
    MoveResources {
        /// Where they are.
        subscription: String,
        /// Where they are.
        group: String,
    },
}

/// What a list is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The subscription.
    pub subscription: String,
    /// The group; none for a whole subscription.
    pub group: Option<String>,
    /// The type of what is listed.
    pub kind: ResourceType,
    /// The names of what is above, outermost first.
    pub names: Vec<String>,
}

impl Scope {
    /// The resource of ours that the list is of the children of.
    pub fn parent(&self) -> Option<ResourceId> {
        let (group, kind) = (self.group.clone()?, self.kind.parent()?);
        Some(ResourceId { subscription: self.subscription.clone(), group, kind, names: self.names.clone() })
    }

    /// The FHIR service that a list of Gen1 connectors is below, by its name.
    pub fn fhir_service(&self) -> Option<&str> {
        (self.kind == ResourceType::IomtConnector).then(|| self.names.first().map(String::as_str))?
    }
}

impl Route {
    /// What a path means, without its query.
    ///
    /// # Errors
    ///
    /// `InvalidResourceType` for what is not ours; `InvalidResourceName`;
    /// `InvalidRequestContent` for a path that cannot be decoded.
    pub fn of_path(path: &str) -> Result<Route, ArmError> {
        let segments = decode(path)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut rest = Segments(&segments);
        if rest.take("providers") {
            return rest.provider_level();
        }
        let subscription = rest.named("subscriptions").ok_or_else(unknown)?.to_owned();
        check_subscription(&subscription)?;
        if rest.0.is_empty() {
            return Ok(Route::Subscription { subscription });
        }
        if rest.take("providers") {
            return rest.of_subscription(subscription);
        }
        let group = rest.named("resourceGroups").ok_or_else(unknown)?.to_owned();
        check_group(&group)?;
        if let [one] = rest.0
            && one.eq_ignore_ascii_case("moveResources")
        {
            return Ok(Route::MoveResources { subscription, group });
        }
        if !rest.take("providers") {
            return Err(unknown());
        }
        rest.of_group(subscription, group)
    }

    /// The methods that it has.
    pub fn methods(&self) -> Vec<&'static str> {
        match self {
            Route::Resource(id) => {
                let get = id.kind.verbs().contains(&Verb::Get).then_some("HEAD");
                id.kind.verbs().iter().map(|verb| verb.method()).chain(get).collect()
            }
            Route::Collection(_) | Route::Operations | Route::OperationResult { .. } | Route::Provider { .. } => {
                vec!["GET", "HEAD"]
            }
            Route::Action(..)
            | Route::CheckNameAvailability { .. }
            | Route::Register { .. }
            | Route::MoveResources { .. } => vec!["POST"],
            Route::Subscription { .. } => vec!["PUT"],
        }
    }

    /// The subscription that it is within.
    pub fn subscription(&self) -> Option<&str> {
        match self {
            Route::Resource(ResourceId { subscription, .. })
            | Route::Action(ResourceId { subscription, .. }, _)
            | Route::Collection(Scope { subscription, .. })
            | Route::OperationResult { subscription, .. }
            | Route::CheckNameAvailability { subscription }
            | Route::Subscription { subscription }
            | Route::Provider { subscription }
            | Route::Register { subscription }
            | Route::MoveResources { subscription, .. } => Some(subscription),
            Route::Operations => None,
        }
    }
}

/// The segments of a path, decoded once.
fn decode(path: &str) -> Result<Vec<String>, ArmError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let decoded = path.split('/').map(|segment| {
        let text = percent_decode_str(segment).decode_utf8().ok()?;
        let is_one = !text.contains(['/', '\\']) && !text.chars().any(char::is_control);
        // URLs of others are made of what stands here, and those would lead elsewhere.
        (is_one && !matches!(&*text, "." | "..")).then(|| text.into_owned())
    });
    let segments: Option<Vec<String>> = decoded.collect();
    segments.ok_or_else(|| {
        let message = "A segment of the path is not UTF-8, is `.` or `..`, or holds a slash or a control character.";
        ArmError::new(ErrorCode::InvalidRequestContent, message)
    })
}

fn unknown() -> ArmError {
    ArmError::new(ErrorCode::InvalidResourceType, format!("The path is not one of the namespace '{NAMESPACE}'."))
}

/// What is left of a path.
struct Segments<'s>(&'s [&'s str]);

impl<'s> Segments<'s> {
    /// Goes on when the next segment is the literal.
    fn take(&mut self, literal: &str) -> bool {
        let is = self.0.first().is_some_and(|segment| segment.eq_ignore_ascii_case(literal));
        if is {
            self.0 = &self.0[1..];
        }
        is
    }

    /// The segment after a literal.
    fn named(&mut self, literal: &str) -> Option<&'s str> {
        if !self.take(literal) {
            return None;
        }
        let (name, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(name)
    }

    fn provider_level(mut self) -> Result<Route, ArmError> {
        if self.take(NAMESPACE) && self.take("operations") && self.0.is_empty() {
            return Ok(Route::Operations);
        }
        Err(unknown())
    }

    fn of_subscription(mut self, subscription: String) -> Result<Route, ArmError> {
        if !self.take(NAMESPACE) {
            return Err(unknown());
        }
        let is = |segment: &str, literal: &str| segment.eq_ignore_ascii_case(literal);
        match self.0 {
            [] => Ok(Route::Provider { subscription }),
            [one] if is(one, "register") => Ok(Route::Register { subscription }),
            [one] if is(one, "checkNameAvailability") => Ok(Route::CheckNameAvailability { subscription }),
            [locations, _, one] if is(locations, "locations") && is(one, "checkNameAvailability") => {
                Ok(Route::CheckNameAvailability { subscription })
            }
            [locations, location, results, id] if is(locations, "locations") && is(results, "operationresults") => {
                let (location, id) = ((*location).to_owned(), id.to_ascii_lowercase());
                Ok(Route::OperationResult { subscription, location, id })
            }
            segments => match ResourceType::of_segments(segments) {
                Some(kind) if kind.parent().is_none() && segments.len() == 1 => {
                    Ok(Route::Collection(Scope { subscription, group: None, kind, names: Vec::new() }))
                }
                _ => Err(unknown_type(segments)),
            },
        }
    }

    fn of_group(mut self, subscription: String, group: String) -> Result<Route, ArmError> {
        if !self.take(NAMESPACE) {
            return Err(unknown());
        }
        let segments = self.0;
        let types: Vec<&str> = segments.iter().step_by(2).copied().collect();
        let names: Vec<String> = segments.iter().skip(1).step_by(2).map(|name| (*name).to_owned()).collect();
        if segments.len().is_multiple_of(2) {
            let kind = ResourceType::of_segments(&types).ok_or_else(|| unknown_type(&types))?;
            check_names(kind, &names)?;
            return Ok(Route::Resource(ResourceId { subscription, group, kind, names }));
        }
        if let Some(kind) = ResourceType::of_segments(&types) {
            check_names_above(kind, &names)?;
            return Ok(Route::Collection(Scope { subscription, group: Some(group), kind, names }));
        }
        let (kind, action) = types
            .split_last()
            .and_then(|(action, types)| Some((ResourceType::of_segments(types)?, Action::of_segment(action)?)))
            .filter(|(kind, action)| kind.actions().contains(action))
            .ok_or_else(|| unknown_type(&types))?;
        check_names(kind, &names)?;
        Ok(Route::Action(ResourceId { subscription, group, kind, names }, action))
    }
}

fn unknown_type(types: &[&str]) -> ArmError {
    let message = format!("The resource type '{}' is not one of the namespace '{NAMESPACE}'.", types.join("/"));
    ArmError::new(ErrorCode::InvalidResourceType, message)
}

/// Checks the names of a resource and of what is above it. The name of a FHIR
/// service is not ours to judge, beyond that it is there.
fn check_names(kind: ResourceType, names: &[String]) -> Result<(), ArmError> {
    let Some((own, above)) = names.split_last() else { return Err(unknown()) };
    kind.check_name(own)?;
    check_names_above(kind, above)
}

fn check_names_above(kind: ResourceType, names: &[String]) -> Result<(), ArmError> {
    match kind.parent() {
        Some(parent) => check_names(parent, names),
        None if names.iter().any(String::is_empty) => Err(unknown()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: &str = "0b1f6471-1bf0-4dda-aec3-111122223333";

    /// A path in few words: `type names`, or the error's code.
    fn summary(path: &str) -> String {
        let path = path.replace("{s}", S).replace("{ns}", "/providers/Microsoft.HealthcareApis");
        match Route::of_path(&path) {
            Ok(Route::Resource(id)) => format!("{:?} {} in {}", id.kind, id.nested_name(), id.group),
            Ok(Route::Collection(scope)) => {
                let group = scope.group.as_deref().unwrap_or("all groups");
                format!("all {:?} below {:?} in {group}", scope.kind, scope.names.join("/"))
            }
            Ok(Route::Action(id, action)) => format!("{action:?} {}", id.nested_name()),
            Ok(other) => format!("{other:?}").replace(S, "S"),
            Err(error) => error.code.as_str().to_owned(),
        }
    }

    #[track_caller]
    fn check(path: &str, expected: &str) {
        assert_eq!(summary(path), expected, "{path}");
    }

    #[test]
    fn resources() {
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws1", "Workspace ws1 in rg1");
        check(
            "/SUBSCRIPTIONS/{s}/resourcegroups/RG{ns}/WorkSpaces/Ws1/IOTCONNECTORS/i-1",
            "IotConnector Ws1/i-1 in RG",
        );
        check(
            "/subscriptions/{s}/resourceGroups/rg1{ns}/services/Fhir/iomtconnector/c12/mappings/device",
            "IomtMapping Fhir/c12/device in rg1",
        );
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws1/", "Workspace ws1 in rg1");
        check("/subscriptions/{s}/resourceGroups/rg%281%29{ns}/workspaces/ws1", "Workspace ws1 in rg(1)");
    }

    #[test]
    fn collections() {
        check("/subscriptions/{s}{ns}/workspaces", r#"all Workspace below "" in all groups"#);
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces", r#"all Workspace below "" in rg1"#);
        check(
            "/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws1/iotconnectors",
            r#"all IotConnector below "ws1" in rg1"#,
        );
        check(
            "/subscriptions/{s}/resourceGroups/rg1{ns}/services/f/iomtconnectors/c12/connections",
            r#"all Connection below "f/c12" in rg1"#,
        );
    }

    #[test]
    fn actions() {
        let connection = "/subscriptions/{s}/resourceGroups/rg1{ns}/services/f/iomtconnectors/c12/connections/n12";
        check(&format!("{connection}/listkeys"), "ListKeys f/c12/n12");
        check(&format!("{connection}/regenerateKey"), "RegenerateKeys f/c12/n12");
        check(&format!("{connection}/drop"), "InvalidResourceType");
        check(
            "/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws1/iotconnectors/iot1/listKeys",
            "InvalidResourceType",
        );
    }

    #[test]
    fn what_belongs_to_the_provider() {
        check("{ns}/operations", "Operations");
        check("/subscriptions/{s}", r#"Subscription { subscription: "S" }"#);
        check("/subscriptions/{s}{ns}", r#"Provider { subscription: "S" }"#);
        check("/subscriptions/{s}{ns}/Register", r#"Register { subscription: "S" }"#);
        check("/subscriptions/{s}{ns}/checkNameAvailability", r#"CheckNameAvailability { subscription: "S" }"#);
        check(
            "/subscriptions/{s}{ns}/locations/westus2/checkNameAvailability",
            r#"CheckNameAvailability { subscription: "S" }"#,
        );
        check(
            "/subscriptions/{s}{ns}/locations/westus2/operationresults/I56w",
            r#"OperationResult { subscription: "S", location: "westus2", id: "i56w" }"#,
        );
        check(
            "/subscriptions/{s}/resourceGroups/rg1/moveResources",
            r#"MoveResources { subscription: "S", group: "rg1" }"#,
        );
    }

    #[test]
    fn what_is_not_ours() {
        for path in [
            "",
            "/",
            "/subscriptions",
            "/subscriptions/{s}/resourceGroups/rg1",
            "/subscriptions/{s}/resourceGroups/rg1/providers/Other/workspaces/ws1",
            "/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws1/fhirservices/f12",
            "/subscriptions/{s}/resourceGroups/rg1{ns}/services/f12",
            "/subscriptions/{s}/resourceGroups/rg1{ns}/services//iomtconnectors",
            "/subscriptions/{s}{ns}/workspaces/ws1",
            "/subscriptions/{s}{ns}/services/f/iomtconnectors",
        ] {
            check(path, "InvalidResourceType");
        }
    }

    #[test]
    fn names_that_break_the_rules() {
        check("/subscriptions/not-a-guid{ns}/workspaces", "InvalidResourceName");
        check("/subscriptions/{s}/resourceGroups/rg1./providers/x/y/z", "InvalidResourceName");
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/w", "InvalidResourceName");
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/w/iotconnectors/iot1", "InvalidResourceName");
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces//iotconnectors", "InvalidResourceName");
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws%2F1", "InvalidRequestContent");
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws%ff1", "InvalidRequestContent");
        check("/subscriptions/{s}/resourceGroups/rg1{ns}/workspaces/ws%252F1", "InvalidResourceName");
    }
}
