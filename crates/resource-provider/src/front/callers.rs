//! Who is calling.

use arm::{ArmError, ErrorCode};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, header};
use azure::connection_string::is_loopback;
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
    /// `Forbidden` for one that is known and may not, and where nobody shows anything
    /// for one that may be a page's; `ServiceUnavailable` when the keys of tokens are
    /// away.
    pub async fn of(&self, request: &Parts) -> Result<Caller, ArmError> {
        let Callers::Known { certificates, tokens } = self else { return from_here(request) };
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

/// Lets in who is on this machine and no page that a browser on it shows: those reach
/// loopback too, by a name of their own or by a form.
fn from_here(request: &Parts) -> Result<Caller, ArmError> {
    let forbidden = |message: &str| Err(ArmError::new(ErrorCode::Forbidden, message));
    if request.headers.contains_key(header::ORIGIN) {
        return forbidden("Pages of browsers may not call: without authentication no request may have an `Origin`.");
    }
    let is_loopback = |authority: Authority| is_loopback(authority.host());
    let mut hosts = request.headers.get_all(header::HOST).iter().peekable();
    let named = hosts.peek().is_some();
    let is_here = |host: &HeaderValue| Authority::try_from(host.as_bytes()).is_ok_and(is_loopback);
    if named && hosts.all(is_here) && request.uri.authority().cloned().is_none_or(is_loopback) {
        return Ok(Caller::FrontDoor);
    }
    forbidden("Without authentication the `Host` has to be localhost or an address of loopback.")
}

/// The token of a request.
fn bearer(request: &Parts) -> Option<&str> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[tokio::test]
    async fn without_authentication_no_page_of_a_browser_gets_in() {
        for (uri, headers, is_let_in) in [
            ("/x", vec![("host", "127.0.0.1:8443")], true),
            ("/x", vec![("host", "LocalHost")], true),
            ("/x", vec![("host", "127.9.9.9")], true),
            ("/x", vec![("host", "[::1]:8443")], true),
            ("http://localhost/x", vec![("host", "localhost")], true),
            ("/x", vec![], false),
            ("/x", vec![("host", "evil.example:8443")], false),
            ("/x", vec![("host", "127.0.0.1.evil.example")], false),
            ("/x", vec![("host", "localhost@evil.example")], false),
            ("/x", vec![("host", "10.0.0.1")], false),
            ("/x", vec![("host", "localhost"), ("host", "evil.example")], false),
            ("http://evil.example/x", vec![("host", "localhost")], false),
            ("/x", vec![("host", "localhost"), ("origin", "http://evil.example")], false),
            ("/x", vec![("host", "localhost"), ("origin", "null")], false),
        ] {
            let mut request = Request::builder().uri(uri);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let expected = if is_let_in { Ok(Caller::FrontDoor) } else { Err(ErrorCode::Forbidden) };
            assert_eq!(Callers::Anybody.of(&parts).await.map_err(|error| error.code), expected, "{uri} {headers:?}");
        }
    }
}
