//! The identity of a connector (resource-provider.md 2.11).

use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::error::{ArmError, ErrorCode};

/// What a body says of an identity; `principalId` and `tenantId` are read-only
/// and not looked at.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// An identity that ARM made for a connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SystemAssigned {
    /// Whom the customer grants rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// The customer's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Where the worker gets the identity's credential. Never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_url: Option<String>,
}

/// The identity as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'i> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_id: Option<&'i str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'i str>,
}

impl SystemAssigned {
    /// As answers show it.
    pub fn shown(&self) -> Shown<'_> {
        let SystemAssigned { principal_id, tenant_id, .. } = self;
        Shown { kind: "SystemAssigned", principal_id: principal_id.as_deref(), tenant_id: tenant_id.as_deref() }
    }

    /// The identity with what ARM sent now, where it sent something.
    pub fn renewed(&self, sent: SystemAssigned) -> SystemAssigned {
        SystemAssigned {
            principal_id: sent.principal_id.or_else(|| self.principal_id.clone()),
            tenant_id: sent.tenant_id.or_else(|| self.tenant_id.clone()),
            credential_url: sent.credential_url.or_else(|| self.credential_url.clone()),
        }
    }
}

/// Whether a body asks for a system-assigned identity, which a connector has to
/// unless `optional`.
///
/// # Errors
///
/// `IdentityRequired` for none, `InvalidPropertyValue` for other kinds.
pub fn is_asked(body: &Body, optional: bool) -> Result<bool, ArmError> {
    let asked: Option<Asked> = body.read_member("identity")?;
    let kind = asked.and_then(|asked| asked.kind).filter(|kind| !kind.eq_ignore_ascii_case("None"));
    match kind {
        Some(kind) if kind.eq_ignore_ascii_case("SystemAssigned") => Ok(true),
        Some(_) => {
            let message = "`identity.type` is not supported; it has to be `SystemAssigned`.";
            Err(ArmError::at(ErrorCode::InvalidPropertyValue, "identity.type", message))
        }
        None if optional => Ok(false),
        None => {
            let message = "A connector reads the event hub with its own identity: set `identity.type` to \
                           `SystemAssigned`.";
            Err(ArmError::at(ErrorCode::IdentityRequired, "identity", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, optional: bool, expected: Result<bool, ErrorCode>) {
        let body = Body::read(text.as_bytes()).unwrap();
        assert_eq!(is_asked(&body, optional).map_err(|error| error.code), expected, "{text}");
    }

    #[test]
    fn a_connector_needs_one_of_its_own() {
        check(r#"{"identity":{"type":"systemassigned"}}"#, false, Ok(true));
        for text in ["{}", r#"{"identity":null}"#, r#"{"identity":{}}"#, r#"{"identity":{"type":"None"}}"#] {
            check(text, false, Err(ErrorCode::IdentityRequired));
            check(text, true, Ok(false));
        }
        check(r#"{"identity":{"type":"UserAssigned"}}"#, true, Err(ErrorCode::InvalidPropertyValue));
        check(r#"{"identity":{"type":"SystemAssigned,UserAssigned"}}"#, false, Err(ErrorCode::InvalidPropertyValue));
        check(r#"{"identity":"SystemAssigned"}"#, false, Err(ErrorCode::InvalidRequestContent));
    }

    #[test]
    fn the_credential_is_not_shown() {
        let identity = SystemAssigned {
            principal_id: Some("p".into()),
            tenant_id: Some("t".into()),
            credential_url: Some("https://c".into()),
        };
        let shown = serde_json::to_string(&identity.shown()).unwrap();
        assert_eq!(shown, r#"{"type":"SystemAssigned","principalId":"p","tenantId":"t"}"#);
        assert_eq!(identity.renewed(SystemAssigned::default()), identity);
    }
}
