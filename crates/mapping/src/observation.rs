//! FHIR Observations: made from groups of readings, and merged with them.
//!
//! ```text
//! ObservationGroup, template, ids --create--> Observation
//! Observation as stored, ObservationGroup --merge--> Observation, changed or not
//! ```
//!
//! An [`Observation`] keeps what it does not understand, in its order and with
//! every digit, since a server's Observations hold more than what we wrote. The
//! rules are fhir-conversion.md 5 and 6, with the repairs of its section 12.
//! Nothing here reads a clock or talks to a server.

mod absorb;
mod create;
mod effective;
mod members;
mod merge;
pub(crate) mod quantity;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use expressions::UtcTime;

use crate::convert_error::ConvertError;
use crate::fhir_mapping::{FhirMapping, FhirTemplate};
use crate::group::ObservationGroup;
use crate::identifier::{ObservationIdentity, ResourceIds};
use crate::json;
use members::Members;

pub use crate::sampled_data::MergePolicy;

/// A FHIR R4 Observation.
#[derive(Clone, Debug)]
pub struct Observation {
    members: Members,
}

/// A server's answer was not an Observation. Says where in the text, and never
/// quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadObservationError {
    /// Not a JSON object.
    #[error("not a JSON object, at line {line} column {column}")]
    NotAnObject {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An object of another kind.
    #[error("`resourceType` is not `Observation`")]
    OtherResource,
}

/// A business identifier of a resource. Anything else that it has is left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identifier {
    /// The system that the value is of.
    pub system: Option<String>,
    /// The identifier.
    pub value: Option<String>,
}

/// What became of a stored Observation.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The Observation with the readings in it; its status is as it was.
    pub observation: Observation,
    /// Whether it differs from what is stored.
    pub changed: bool,
}

impl Merged {
    /// What has to be written: the Observation as `amended`. None when nothing
    /// changed.
    pub fn amended(mut self) -> Option<Observation> {
        self.observation.members.set("status", "\"amended\"");
        self.changed.then_some(self.observation)
    }
}

impl Observation {
    /// Reads what a server gave back.
    pub fn read(json: &[u8]) -> Result<Observation, ReadObservationError> {
        let members = Members::parse(json)
            .map_err(|error| ReadObservationError::NotAnObject { line: error.line(), column: error.column() })?;
        if members.text("resourceType").as_deref() != Some("Observation") {
            return Err(ReadObservationError::OtherResource);
        }
        Ok(Observation { members })
    }

    /// The JSON to send.
    pub fn to_json(&self) -> Vec<u8> {
        self.members.json().as_bytes().to_vec()
    }

    /// Its logical id.
    pub fn id(&self) -> Option<String> {
        Some(self.members.text("id")?.into_owned())
    }

    /// `meta.versionId`.
    pub fn version_id(&self) -> Option<String> {
        Some(json::text(json::member(self.members.get("meta")?, "versionId")?)?.into_owned())
    }

    /// `meta.lastUpdated`, as the server wrote it.
    pub fn last_updated(&self) -> Option<String> {
        Some(json::text(json::member(self.members.get("meta")?, "lastUpdated")?)?.into_owned())
    }

    /// Its status, for instance `final`.
    pub fn status(&self) -> Option<String> {
        Some(self.members.text("status")?.into_owned())
    }

    /// Its identifiers; those that are malformed are left out.
    pub fn identifiers(&self) -> Vec<Identifier> {
        let identifiers = self.members.get("identifier").and_then(json::elements);
        identifiers.into_iter().flatten().filter_map(|identifier| serde_json::from_str(identifier).ok()).collect()
    }

    /// Whether one of its identifiers has just this system and value, whatever
    /// else was added to it (quirk 38).
    pub fn has_identifier(&self, system: &str, value: &str) -> bool {
        let is_same = |identifier: &Identifier| {
            identifier.system.as_deref() == Some(system) && identifier.value.as_deref() == Some(value)
        };
        self.identifiers().iter().any(is_same)
    }

    /// Whether it has a value, or a component. One without either was made of
    /// readings whose properties the FHIR template does not name (quirk 49).
    pub fn has_value(&self) -> bool {
        let has_components =
            || self.members.get("component").and_then(json::elements).is_some_and(|mut c| c.next().is_some());
        merge::stored_value(&self.members).is_some() || has_components()
    }
}

impl FhirMapping {
    /// A new Observation of the group (fhir-conversion.md 5). `issued` is now.
    pub fn create(
        &self,
        group: &ObservationGroup<'_>,
        ids: &ResourceIds,
        issued: UtcTime,
    ) -> Result<Observation, ConvertError> {
        self.create_identified(group, ids, &ObservationIdentity::of(ids, group), issued)
    }

    /// The same for those who have the group's identity already.
    pub fn create_identified(
        &self,
        group: &ObservationGroup<'_>,
        ids: &ResourceIds,
        identity: &ObservationIdentity,
        issued: UtcTime,
    ) -> Result<Observation, ConvertError> {
        let observation = create::create(self.template_of(&group.r#type)?, group, ids, identity, issued)?;
        if self.compatibility().skip_empty_observations && !observation.has_value() {
            return Err(ConvertError::NoValue { type_name: group.r#type.clone().into_owned() });
        }
        Ok(observation)
    }

    /// The Observation that [`FhirMapping::create`] would make, without what
    /// only a FHIR server knows: `id`, `identifier`, `subject`, `device` and
    /// `encounter`. For tools that show what a mapping does.
    pub fn preview(&self, group: &ObservationGroup, issued: UtcTime) -> Result<Observation, ConvertError> {
        let nobody = ResourceIds { device: String::new(), patient: String::new(), encounter: None };
        let mut observation = self.create(group, &nobody, issued)?;
        for member in ["id", "identifier", "subject", "device"] {
            observation.members.remove(member);
        }
        Ok(observation)
    }

    /// The stored Observation with the readings of the group in it
    /// (fhir-conversion.md 6.4). `stored` is not touched.
    pub fn merge(
        &self,
        stored: &Observation,
        group: &ObservationGroup<'_>,
        policy: MergePolicy,
    ) -> Result<Merged, ConvertError> {
        let merged = merge::merge(stored, self.template_of(&group.r#type)?, group, policy)?;
        let withdrawn = ["entered-in-error", "cancelled"];
        let status = stored.status();
        let withdrawn = withdrawn.into_iter().find(|withdrawn| status.as_deref() == Some(*withdrawn));
        match withdrawn {
            Some(status) if merged.changed && !self.compatibility().overwrite_entered_in_error => {
                Err(ConvertError::Withdrawn { status })
            }
            _ => Ok(merged),
        }
    }

    pub(crate) fn template_of(&self, type_name: &str) -> Result<&FhirTemplate, ConvertError> {
        if type_name.trim().is_empty() {
            return Err(ConvertError::TypeNotDefined);
        }
        self.template(type_name)
            .ok_or_else(|| ConvertError::TemplateNotFound { type_name: shown_type(type_name).to_owned() })
    }
}

/// A type that may be said in an error: one that looks like the `typeName` of a
/// device mapping, codes of terminologies included. Anybody who can write to the
/// internal hub chooses the type of a measurement, so it may be anything.
fn shown_type(type_name: &str) -> &str {
    const LENGTH_MAX: usize = 64;
    // More digits are an id; `8867-4` is a code.
    const DIGITS_MAX: usize = 6;
    let is_name = type_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/ ".contains(&byte));
    let digits = type_name.bytes().filter(u8::is_ascii_digit).count();
    if is_name && digits <= DIGITS_MAX && type_name.len() <= LENGTH_MAX { type_name } else { "(not shown)" }
}
