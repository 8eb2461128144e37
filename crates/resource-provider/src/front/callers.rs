//! Who is calling.

use arm::{ArmError, ErrorCode};
use axum::http::header;
use axum::http::request::Parts;
use https_server::PeerCertificate;

use super::certificates::AllowedCertificates;
use super::tokens::{Refused, Tokens};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Azure Resource Manager, or who stands for it.
    FrontDoor,
    /// An application of the platform.
    Application(String),
}

/// How callers show who they are.
#[derive(Debug)]
pub enum Callers {
    /// They need not: all are taken for the front door. For development, on
    /// loopback.
    Anybody,
    /// By a certificate of the front door's, or by a token.
    Known {
        /// The front door's certificates.
        certificates: Option<AllowedCertificates>,
        /// Whose tokens count.
        tokens: Option<Box<Tokens>>,
    },
}

impl Callers {
    /// Who sent a request.
    ///
    /// # Errors
    ///
    /// `AuthenticationFailed` for one that shows nothing, or nothing that holds;
    /// `Forbidden` for one that is known and may not; `ServiceUnavailable` when
    /// the keys of tokens are away.
    pub async fn of(&self, request: &Parts) -> Result<Caller, ArmError> {
        let Callers::Known { certificates, tokens } = self else { return Ok(Caller::FrontDoor) };
        let shown = request.extensions.get::<PeerCertificate>().and_then(|shown| shown.0.as_ref());
        // ARM shows both; a certificate that is not on the list is nobody's.
        if let (Some(certificates), Some(shown)) = (certificates, shown) {
            if certificates.allow(shown) {
                return Ok(Caller::FrontDoor);
            }
            if tokens.is_none() || bearer(request).is_none() {
                let message = "The client certificate is not one of the front door's.";
                return Err(ArmError::new(ErrorCode::Forbidden, message));
            }
        }
        match (tokens, bearer(request)) {
            (Some(tokens), Some(token)) => tokens.caller(token).await.map_err(|refused| {
                let code = match refused {
                    Refused::Token(_) => ErrorCode::AuthenticationFailed,
                    Refused::Application => ErrorCode::Forbidden,
                    Refused::NoKeys => ErrorCode::ServiceUnavailable,
                };
                ArmError::new(code, format!("{refused}."))
            }),
            _ => {
                let message = "The caller shows neither a client certificate nor a token that is taken here.";
                Err(ArmError::new(ErrorCode::AuthenticationFailed, message))
            }
        }
    }

    /// Whether all is known that callers are told by.
    pub fn is_ready(&self) -> bool {
        match self {
            Callers::Anybody => true,
            Callers::Known { certificates, .. } => certificates.as_ref().is_none_or(AllowedCertificates::is_known),
        }
    }
}

/// The token of a request.
fn bearer(request: &Parts) -> Option<&str> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
