//! The id of a resource (resource-provider.md 2.1).
//!
//! ```text
//! /subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.HealthcareApis/workspaces/ws1/iotconnectors/iot1
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NAMESPACE;
use crate::api_version::ApiVersion;
use crate::resource_type::{Generation, ResourceType};

/// Which resource. Names are as the caller wrote them; [`ResourceId::key`]
/// compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceId {
    /// The customer's subscription.
    pub subscription: String,
    /// The resource group.
    pub group: String,
    /// The type.
    pub kind: ResourceType,
    /// The names, outermost first: of Gen1, the FHIR service's comes first.
    pub names: Vec<String>,
}

impl ResourceId {
    /// Its own name, the last.
    pub fn own_name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// All names: `ws1/iot1`, as ARM knows it.
    pub fn nested_name(&self) -> String {
        self.names.join("/")
    }

    /// The resource of ours above it.
    pub fn parent(&self) -> Option<ResourceId> {
        let kind = self.kind.parent()?;
        let names = self.names[..self.names.len() - 1].to_vec();
        Some(ResourceId { subscription: self.subscription.clone(), group: self.group.clone(), kind, names })
    }

    /// A resource below it.
    pub fn child(&self, kind: ResourceType, name: &str) -> ResourceId {
        debug_assert_eq!(kind.parent(), Some(self.kind));
        let names = self.names.iter().cloned().chain([name.to_owned()]).collect();
        ResourceId { subscription: self.subscription.clone(), group: self.group.clone(), kind, names }
    }

    /// The outermost resource that it belongs to: the connector of Gen1, the
    /// workspace of Gen2.
    pub fn root(&self) -> ResourceId {
        self.parent().map_or_else(|| self.clone(), |parent| parent.root())
    }

    /// The FHIR service that a resource of Gen1 is below.
    pub fn fhir_service(&self) -> Option<String> {
        (self.kind.generation() == Generation::Gen1).then(|| {
            let ResourceId { subscription, group, names, .. } = self;
            let service = names.first().map_or("", String::as_str);
            format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{NAMESPACE}/services/{service}")
        })
    }

    /// The id as answers have it: literals and types in their canonical casing,
    /// names as they were written.
    pub fn path(&self, version: ApiVersion) -> String {
        let ResourceId { subscription, group, kind, names } = self;
        let mut path = format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{NAMESPACE}");
        let segments = kind.path(version);
        for (segment, name) in segments.split('/').zip(names) {
            path.push('/');
            path.push_str(segment);
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// What is equal for two spellings of one resource, and for no others.
    pub fn key(&self) -> String {
        folded(&self.to_string())
    }

    /// The part of the keys that all its children of a type have.
    pub fn collection_key(&self, kind: ResourceType) -> String {
        let child = self.child(kind, "");
        child.key()
    }
}

/// What is equal for two spellings of one text, as ARM compares ids: ordinal, without
/// letter case. A letter beyond ASCII is one of ASCII in no case, such as the sign of
/// Kelvin, whose lower case is `k`.
pub fn folded(text: &str) -> String {
    let fold = |letter: char| {
        if letter.is_ascii() {
            return letter.to_ascii_lowercase();
        }
        let mut lower = letter.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(lower), None) if !lower.is_ascii() => lower,
            _ => letter,
        }
    };
    text.chars().map(fold).collect()
}

impl fmt::Display for ResourceId {
    /// The id in the spelling of this document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.kind.versions().last().copied();
        f.write_str(&newest.map(|version| self.path(version)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Route;

    const DESTINATION: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/Rg1/providers/\
                               Microsoft.HealthcareApis/workspaces/Ws1/iotconnectors/iot1/fhirdestinations/dest1";

    fn id(path: &str) -> ResourceId {
        match Route::of_path(path) {
            Ok(Route::Resource(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_id_is_read_and_written() {
        let id = id(DESTINATION);
        assert_eq!(id.to_string(), DESTINATION);
        assert_eq!((id.nested_name().as_str(), id.own_name()), ("Ws1/iot1/dest1", "dest1"));
        assert_eq!(id.root().nested_name(), "Ws1");
        assert_eq!(id.fhir_service(), None);
    }

    #[test]
    fn spellings_of_one_resource_have_one_key() {
        let other = DESTINATION.to_uppercase().replace("FHIRDESTINATIONS", "destinations");
        assert_eq!(id(DESTINATION).key(), id(&other).key());
        assert_ne!(id(DESTINATION).key(), id(DESTINATION).parent().unwrap().key());
    }

    #[test]
    fn a_letter_beyond_ascii_is_none_of_ascii() {
        for (one, other, are_same) in [
            ("K8s", "k8S", true),
            ("Zażółć", "ZAŻÓŁĆ", true),
            ("\u{212a}8s", "k8s", false),
            ("\u{17f}", "s", false),
            ("\u{131}", "i", false),
            ("\u{130}", "i\u{307}", false),
            ("straße", "strasse", false),
            ("straße", "STRAßE", true),
        ] {
            assert_eq!(folded(one) == folded(other), are_same, "{one} {other}");
        }
    }

    #[test]
    fn the_key_of_a_collection_begins_those_of_its_members() {
        let id = id(DESTINATION);
        let parent = id.parent().unwrap();
        assert!(id.key().starts_with(&parent.collection_key(ResourceType::FhirDestination)));
        assert!(!id.key().starts_with(&parent.collection_key(ResourceType::IotMapping)));
    }
}
