//! The types of resources, of both generations (resource-provider.md 1.2, 3.1,
//! 4.1). One table drives routing, versions, the manifest and the list of
//! operations.

use serde::{Deserialize, Serialize};

use crate::api_version::{self, ApiVersion};
use crate::error::ArmError;
use crate::name;

/// A type that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceType {
    /// Gen1: a connector below a FHIR service.
    IomtConnector,
    /// Gen1: a key with which a customer sends.
    Connection,
    /// Gen1: the device or the FHIR mapping of a connector.
    IomtMapping,
    /// Gen2: what connectors share.
    Workspace,
    /// Gen2: a connector, which reads the customer's hub.
    IotConnector,
    /// Gen2: a FHIR service that a connector writes to.
    FhirDestination,
    /// Gen2, the first version only: a mapping of its own.
    IotMapping,
}

/// The two generations (resource-provider.md 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Below `services`.
    Gen1,
    /// Below `workspaces`.
    Gen2,
}

/// How resources of a type change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads one or, without its name, all.
    Get,
    /// Makes or replaces one.
    Put,
    /// Changes one.
    Patch,
    /// Removes one.
    Delete,
}

/// What POST does with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Gives the keys of a connection.
    ListKeys,
    /// Makes one of them anew.
    RegenerateKeys,
}

/// A type's row.
struct Row {
    /// The last segment of the type, canonical.
    segment: &'static str,
    /// What else is read as the segment; letter case never counts.
    aliases: &'static [&'static str],
    parent: Option<ResourceType>,
    versions: &'static [ApiVersion],
    verbs: &'static [Verb],
    tracked: bool,
}

use Verb::{Delete, Get, Patch, Put};

impl ResourceType {
    /// All of them, parents first.
    pub const ALL: [ResourceType; 7] = [
        ResourceType::IomtConnector,
        ResourceType::Connection,
        ResourceType::IomtMapping,
        ResourceType::Workspace,
        ResourceType::IotConnector,
        ResourceType::FhirDestination,
        ResourceType::IotMapping,
    ];

    fn row(self) -> Row {
        match self {
            ResourceType::IomtConnector => Row {
                segment: "iomtconnectors",
                aliases: &["iomtconnector"],
                parent: None,
                versions: api_version::GEN1,
                verbs: &[Get, Put, Patch, Delete],
                tracked: true,
            },
            ResourceType::Connection => Row {
                segment: "connections",
                aliases: &[],
                parent: Some(ResourceType::IomtConnector),
                versions: api_version::GEN1,
                verbs: &[Get, Put, Delete],
                tracked: false,
            },
            ResourceType::IomtMapping => Row {
                segment: "mappings",
                aliases: &[],
                parent: Some(ResourceType::IomtConnector),
                versions: api_version::GEN1,
                verbs: &[Get, Put, Delete],
                tracked: false,
            },
            ResourceType::Workspace => Row {
                segment: "workspaces",
                aliases: &["workspace"],
                parent: None,
                versions: api_version::GEN2,
                verbs: &[Get, Put, Patch, Delete],
                tracked: true,
            },
            ResourceType::IotConnector => Row {
                segment: "iotconnectors",
                aliases: &[],
                parent: Some(ResourceType::Workspace),
                versions: api_version::GEN2,
                verbs: &[Get, Put, Patch, Delete],
                tracked: true,
            },
            ResourceType::FhirDestination => Row {
                segment: "fhirdestinations",
                aliases: &["destinations", "destination"],
                parent: Some(ResourceType::IotConnector),
                versions: api_version::GEN2,
                verbs: &[Get, Put, Patch, Delete],
                tracked: false,
            },
            ResourceType::IotMapping => Row {
                segment: "mappings",
                aliases: &[],
                parent: Some(ResourceType::IotConnector),
                versions: api_version::GEN2_FIRST,
                verbs: &[Get, Put, Delete],
                tracked: false,
            },
        }
    }

    /// The segment of a parent type that is not ours, before our own.
    fn foreign_segment(self) -> Option<&'static str> {
        (self == ResourceType::IomtConnector).then_some("services")
    }

    /// The segments of the canonical type, without the namespace.
    pub fn segments(self) -> Vec<&'static str> {
        let mut segments = match self.parent() {
            Some(parent) => parent.segments(),
            None => self.foreign_segment().into_iter().collect(),
        };
        segments.push(self.row().segment);
        segments
    }

    /// The type without the namespace, as a version writes it:
    /// `workspaces/iotconnectors`.
    pub fn path(self, version: ApiVersion) -> String {
        let mut segments = self.segments();
        if self == ResourceType::FhirDestination && version.has_short_destinations() {
            segments.pop();
            segments.push("destinations");
        }
        segments.join("/")
    }

    /// The type without the namespace, in the spelling of this document.
    pub fn canonical_path(self) -> String {
        self.segments().join("/")
    }

    /// The type of ours that it is a child of.
    pub fn parent(self) -> Option<ResourceType> {
        self.row().parent
    }

    /// The types of ours that are its children.
    pub fn children(self) -> impl Iterator<Item = ResourceType> {
        ResourceType::ALL.into_iter().filter(move |child| child.parent() == Some(self))
    }

    /// Which generation it is of.
    pub fn generation(self) -> Generation {
        match self {
            ResourceType::IomtConnector | ResourceType::Connection | ResourceType::IomtMapping => Generation::Gen1,
            _ => Generation::Gen2,
        }
    }

    /// Whether ARM keeps a record of its resources: those have tags and a
    /// location; the others are proxies and go with their parent.
    pub fn is_tracked(self) -> bool {
        self.row().tracked
    }

    /// The versions that it has.
    pub fn versions(self) -> &'static [ApiVersion] {
        self.row().versions
    }

    /// What can be done with one of its resources.
    pub fn verbs(self) -> &'static [Verb] {
        self.row().verbs
    }

    /// What POST can do with one of its resources.
    pub fn actions(self) -> &'static [Action] {
        match self {
            ResourceType::Connection => &[Action::ListKeys, Action::RegenerateKeys],
            _ => &[],
        }
    }

    /// Checks the name of a resource of this type, its last segment.
    pub fn check_name(self, text: &str) -> Result<(), ArmError> {
        match self {
            ResourceType::IomtMapping => name::check_gen1_mapping(text),
            _ => name::check_resource(text),
        }
    }

    /// The type of a chain of segments, without the namespace.
    pub fn of_segments(segments: &[&str]) -> Option<ResourceType> {
        ResourceType::ALL.into_iter().find(|kind| kind.is_written_as(segments))
    }

    fn is_written_as(self, segments: &[&str]) -> bool {
        let Some((last, before)) = segments.split_last() else { return false };
        let row = self.row();
        let spellings = row.aliases.iter().chain([&row.segment]);
        spellings.into_iter().any(|spelling| spelling.eq_ignore_ascii_case(last))
            && match (row.parent, self.foreign_segment()) {
                (Some(parent), _) => parent.is_written_as(before),
                (None, Some(foreign)) => matches!(before, [one] if foreign.eq_ignore_ascii_case(one)),
                (None, None) => before.is_empty(),
            }
    }
}

impl Verb {
    /// The HTTP method.
    pub fn method(self) -> &'static str {
        match self {
            Get => "GET",
            Put => "PUT",
            Patch => "PATCH",
            Delete => "DELETE",
        }
    }
}

impl Action {
    /// The last segment of the URL.
    pub fn segment(self) -> &'static str {
        match self {
            Action::ListKeys => "listKeys",
            Action::RegenerateKeys => "regenerateKeys",
        }
    }

    /// The action that a segment means.
    pub fn of_segment(text: &str) -> Option<Action> {
        let is = |name: &str| name.eq_ignore_ascii_case(text);
        match () {
            () if is("listKeys") => Some(Action::ListKeys),
            () if is("regenerateKeys") || is("regenerateKey") => Some(Action::RegenerateKeys),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<ResourceType>) {
        let segments: Vec<&str> = path.split('/').collect();
        assert_eq!(ResourceType::of_segments(&segments), expected, "{path}");
    }

    #[test]
    fn types_are_read_in_every_spelling_of_the_seeds() {
        check("services/IoMTConnectors", Some(ResourceType::IomtConnector));
        check("services/iomtconnector/connections", Some(ResourceType::Connection));
        check("services/iomtconnectors/mappings", Some(ResourceType::IomtMapping));
        check("workspace", Some(ResourceType::Workspace));
        check("workspace/IotConnectors", Some(ResourceType::IotConnector));
        check("workspaces/iotconnectors/destination", Some(ResourceType::FhirDestination));
        check("workspaces/iotconnectors/destinations", Some(ResourceType::FhirDestination));
        check("workspaces/iotconnectors/FHIRdestinations", Some(ResourceType::FhirDestination));
        check("workspaces/iotconnectors/mappings", Some(ResourceType::IotMapping));
    }

    #[test]
    fn others_are_not_ours() {
        for path in ["services", "workspaces/fhirservices", "iotconnectors", "workspaces/iotconnectors/connections", ""]
        {
            check(path, None);
        }
    }

    #[test]
    fn a_type_is_written_as_its_version_does() {
        let kind = ResourceType::FhirDestination;
        assert_eq!(kind.path(api_version::GEN2_FIRST[0]), "workspaces/iotconnectors/destinations");
        assert_eq!(kind.path(api_version::GEN2[1]), "workspaces/iotconnectors/fhirdestinations");
        for kind in ResourceType::ALL {
            check(&kind.canonical_path(), Some(kind));
        }
    }
}
