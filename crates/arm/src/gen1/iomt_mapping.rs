//! Mappings of the first generation; the name says which it is
//! (resource-provider.md 3.2).

use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::error::{ArmError, ErrorCode};
use crate::mapping_content::{MappingContent, MappingKind};

/// What a customer says of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IomtMapping {
    /// Its text.
    pub content: MappingContent,
}

impl IomtMapping {
    /// The mapping that a name means.
    pub fn kind_of_name(name: &str) -> MappingKind {
        if name.eq_ignore_ascii_case("fhir") { MappingKind::Fhir } else { MappingKind::Device }
    }

    /// Reads it from a body.
    ///
    /// # Errors
    ///
    /// `InvalidMapping`.
    pub fn read(body: &Body, name: &str) -> Result<IomtMapping, ArmError> {
        let Some(text) = body.property("content").and_then(|content| content.as_str()) else {
            let message = "Invalid `content` mapping. Validation errors: `properties.content` is required.";
            return Err(ArmError::at(ErrorCode::InvalidMapping, "properties.content", message));
        };
        let content = MappingContent::read(text, Self::kind_of_name(name), "properties.content")?;
        Ok(IomtMapping { content })
    }
}
