//! Mappings that are resources of their own: the oldest shape, which destinations
//! of that version may copy (resource-provider.md 4.5).

use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::error::{ArmError, ErrorCode};
use crate::mapping_content::{MappingContent, MappingKind};

/// What a customer says of a mapping; its `templateType` decides which it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IotMapping {
    /// Its text.
    pub content: MappingContent,
    /// Which of the two it is.
    pub kind: MappingKind,
}

impl IotMapping {
    /// Reads it from a body.
    ///
    /// # Errors
    ///
    /// `InvalidMapping`.
    pub fn read(body: &Body) -> Result<IotMapping, ArmError> {
        let text = body.property("content").and_then(|content| content.as_str()).unwrap_or_default();
        let Some(kind) = MappingContent::kind_of(text) else {
            let message = "Invalid `content` mapping. Validation errors: `templateType` has to be `CollectionContent` \
                           or `CollectionFhir`.";
            return Err(ArmError::at(ErrorCode::InvalidMapping, "properties.content", message));
        };
        Ok(IotMapping { content: MappingContent::read(text, kind, "properties.content")?, kind })
    }
}
