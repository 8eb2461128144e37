//! Connectors of the first generation (resource-provider.md 3.2).

use serde::{Deserialize, Serialize};

use crate::body::{Body, typed};
use crate::error::{ArmError, ErrorCode};
use crate::gen2::Resolution;

/// What a customer says of a connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IomtConnector {
    /// The one member of `serviceConfiguration`.
    pub resource_identity_resolution_type: Resolution,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceConfiguration {
    resource_identity_resolution_type: Option<String>,
}

impl IomtConnector {
    /// Reads it from a body. Without a word about it, Lookup.
    ///
    /// # Errors
    ///
    /// `InvalidPropertyValue`, `InvalidRequestContent`.
    pub fn read(body: &Body) -> Result<IomtConnector, ArmError> {
        let configuration = body.property("serviceConfiguration");
        let configuration = configuration.map(|value| typed(value, "properties.serviceConfiguration")).transpose()?;
        let text = configuration.and_then(|asked: ServiceConfiguration| asked.resource_identity_resolution_type);
        let resource_identity_resolution_type = match text.as_deref() {
            None => Resolution::Lookup,
            Some(text) if text.eq_ignore_ascii_case("Lookup") => Resolution::Lookup,
            Some(text) if text.eq_ignore_ascii_case("Create") => Resolution::Create,
            Some(_) => {
                let target = "properties.serviceConfiguration.resourceIdentityResolutionType";
                let message = "`resourceIdentityResolutionType` has to be `Create` or `Lookup`.";
                return Err(ArmError::at(ErrorCode::InvalidPropertyValue, target, message));
            }
        };
        Ok(IomtConnector { resource_identity_resolution_type })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolution_is_read_without_letter_case_and_is_lookup_by_default() {
        let read = |text: &str| {
            let body = Body::read(text.as_bytes()).unwrap();
            IomtConnector::read(&body).map(|it| it.resource_identity_resolution_type).map_err(|error| error.code)
        };
        let with = |word: &str| {
            read(&format!(r#"{{"properties":{{"serviceConfiguration":{{"resourceIdentityResolutionType":{word}}}}}}}"#))
        };
        assert_eq!(read("{}"), Ok(Resolution::Lookup));
        assert_eq!(with("\"create\""), Ok(Resolution::Create));
        assert_eq!(with("\"Update\""), Err(ErrorCode::InvalidPropertyValue));
        assert_eq!(with("3"), Err(ErrorCode::InvalidRequestContent));
    }
}
