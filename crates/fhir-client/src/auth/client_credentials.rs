//! Tokens by the OAuth 2.0 client credentials grant.

use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::{AccessToken, TokenError, TokenSource};

/// What an issuer without `expires_in` is taken to have meant; RFC 6749 only
/// recommends the member.
const LIFETIME_UNSAID: Duration = Duration::from_secs(600);

/// Where tokens are asked for and how, decided by `FhirService__Authority`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// Microsoft Entra, v1: the form names a `resource`.
    EntraV1(Url),
    /// Microsoft Entra, v2: the form names a `scope` that ends in `/.default`.
    EntraV2(Url),
    /// Any other OAuth 2.0 token endpoint: the client shows itself by HTTP Basic
    /// and the scope is sent as it is, or not at all.
    OAuth2(Url),
}

impl TokenEndpoint {
    /// Reads `FhirService__Authority`: an address that ends in `/token` is a
    /// token endpoint, every other is an Entra authority, to which
    /// `/oauth2/v2.0/token` is appended.
    pub fn from_authority(authority: &str) -> Result<TokenEndpoint, ClientCredentialsError> {
        let invalid = || ClientCredentialsError::InvalidAuthority;
        let mut url = Url::parse(authority.trim()).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid());
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.ends_with("/oauth2/token") {
            return Ok(TokenEndpoint::EntraV1(url));
        }
        if path.ends_with("/oauth2/v2.0/token") {
            return Ok(TokenEndpoint::EntraV2(url));
        }
        if path.ends_with("/token") {
            return Ok(TokenEndpoint::OAuth2(url));
        }
        // The issuer's name in tokens ends in `/v2.0`, and people copy it.
        let path = path.strip_suffix("/v2.0").unwrap_or(&path);
        url.set_path(&format!("{path}/oauth2/v2.0/token"));
        Ok(TokenEndpoint::EntraV2(url))
    }

    fn url(&self) -> &Url {
        match self {
            TokenEndpoint::EntraV1(url) | TokenEndpoint::EntraV2(url) | TokenEndpoint::OAuth2(url) => url,
        }
    }

    /// The scope for `FhirService__Resource` as this endpoint wants it.
    /// `/.default` is appended for v2 and taken away for v1.
    pub fn scope(&self, resource: &str) -> String {
        let bare = resource.strip_suffix("/.default").unwrap_or(resource);
        match self {
            TokenEndpoint::EntraV1(_) => bare.to_owned(),
            TokenEndpoint::EntraV2(_) => format!("{}/.default", bare.trim_end_matches('/')),
            TokenEndpoint::OAuth2(_) => resource.to_owned(),
        }
    }
}

/// A client with its secret: `FhirService__Authority`, `__ClientId` and
/// `__ClientSecret`.
#[derive(Debug)]
pub struct ClientCredentials {
    http: reqwest::Client,
    endpoint: TokenEndpoint,
    client_id: String,
    client_secret: SecretString,
}

/// Client credentials cannot be used as they are given.
#[derive(Debug, thiserror::Error)]
pub enum ClientCredentialsError {
    /// The authority is not an address.
    #[error("expected an absolute http or https URL of an authority or token endpoint")]
    InvalidAuthority,
    /// No HTTP client could be made.
    #[error("cannot set up an HTTP client")]
    Http(#[source] reqwest::Error),
}

impl ClientCredentials {
    /// Credentials for `endpoint`.
    pub fn new(
        endpoint: TokenEndpoint,
        client_id: impl Into<String>,
        client_secret: SecretString,
    ) -> Result<ClientCredentials, ClientCredentialsError> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            // A secret does not follow redirects.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(ClientCredentialsError::Http)?;
        Ok(ClientCredentials { http, endpoint, client_id: client_id.into(), client_secret })
    }

    async fn ask(&self, scope: &str) -> Result<AccessToken, TokenError> {
        let secret = self.client_secret.expose_secret();
        let mut form = vec![("grant_type", "client_credentials")];
        let mut request = self.http.post(self.endpoint.url().clone());
        match &self.endpoint {
            TokenEndpoint::OAuth2(_) => request = request.basic_auth(&self.client_id, Some(secret)),
            _ => form.extend([("client_id", self.client_id.as_str()), ("client_secret", secret)]),
        }
        match &self.endpoint {
            TokenEndpoint::EntraV1(_) => form.push(("resource", scope)),
            _ if scope.is_empty() => {}
            _ => form.push(("scope", scope)),
        }
        let response = request.form(&form).send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(unreachable)?;
        read(status, &body)
    }
}

impl TokenSource for ClientCredentials {
    fn token<'s>(&'s self, scope: &'s str) -> BoxFuture<'s, Result<AccessToken, TokenError>> {
        Box::pin(self.ask(scope))
    }
}

/// The answer of a token endpoint, RFC 6749 5.1 and 5.2. Entra v1 writes
/// `expires_in` as text.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    expires_in: Option<Seconds>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Option<Duration> {
        let seconds = match self {
            Seconds::Number(number) => *number,
            Seconds::Text(text) => text.parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

fn read(status: u16, body: &[u8]) -> Result<AccessToken, TokenError> {
    let answer: Option<TokenAnswer> = serde_json::from_slice(body).ok();
    if matches!(status, 408 | 429) || status >= 500 {
        return Err(TokenError::Unreachable { what: "it answers that it is busy", source: None });
    }
    let Some(answer) = answer.filter(|_| status < 300) else {
        let error = serde_json::from_slice::<TokenAnswer>(body).map(|answer| answer.error).unwrap_or_default();
        // RFC 6749 codes are short words; anything else may be a page of text.
        let error = if error.len() <= 64 { error } else { String::new() };
        return Err(TokenError::Refused { status, error });
    };
    let Some(secret) = answer.access_token else {
        return Err(TokenError::Unreachable { what: "its answer holds no `access_token`", source: None });
    };
    let lifetime = answer.expires_in.and_then(|seconds| seconds.duration()).unwrap_or(LIFETIME_UNSAID);
    Ok(AccessToken { secret: secret.into(), lifetime })
}

fn unreachable(error: reqwest::Error) -> TokenError {
    TokenError::Unreachable { what: "it does not answer", source: Some(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_token_endpoint() {
        let cases = [
            ("https://login.microsoftonline.com/t1", "v2 https://login.microsoftonline.com/t1/oauth2/v2.0/token"),
            ("https://login.microsoftonline.com/t1/", "v2 https://login.microsoftonline.com/t1/oauth2/v2.0/token"),
            ("https://login.microsoftonline.com/t1/v2.0", "v2 https://login.microsoftonline.com/t1/oauth2/v2.0/token"),
            (
                "https://login.microsoftonline.com/t1/oauth2/token",
                "v1 https://login.microsoftonline.com/t1/oauth2/token",
            ),
            ("http://127.0.0.1:8107/auth/token", "oauth http://127.0.0.1:8107/auth/token"),
            ("login", "invalid"),
        ];
        for (authority, expected) in cases {
            let found = match TokenEndpoint::from_authority(authority) {
                Ok(TokenEndpoint::EntraV1(url)) => format!("v1 {url}"),
                Ok(TokenEndpoint::EntraV2(url)) => format!("v2 {url}"),
                Ok(TokenEndpoint::OAuth2(url)) => format!("oauth {url}"),
                Err(_) => "invalid".to_owned(),
            };
            assert_eq!(found, expected, "{authority}");
        }
    }

    #[test]
    fn appends_default_where_it_is_missing() {
        let endpoint = |authority| TokenEndpoint::from_authority(authority).unwrap();
        let v2 = endpoint("https://l/t");
        assert_eq!(v2.scope("https://f.example"), "https://f.example/.default");
        assert_eq!(v2.scope("https://f.example/"), "https://f.example/.default");
        assert_eq!(v2.scope("https://f.example/.default"), "https://f.example/.default");
        assert_eq!(endpoint("https://l/t/oauth2/token").scope("https://f.example/.default"), "https://f.example");
        assert_eq!(endpoint("https://l/auth/token").scope("system/*.*"), "system/*.*");
    }

    #[test]
    fn reads_the_answers_of_issuers() {
        let lifetime = |body: &str| read(200, body.as_bytes()).map(|token| token.lifetime.as_secs()).ok();
        assert_eq!(lifetime(r#"{"access_token":"a","expires_in":3599}"#), Some(3599));
        assert_eq!(lifetime(r#"{"access_token":"a","expires_in":"3599"}"#), Some(3599));
        assert_eq!(lifetime(r#"{"access_token":"a"}"#), Some(600));
        assert_eq!(lifetime("{}"), None);
        let refused = read(401, br#"{"error":"invalid_client","error_description":"..."}"#).err().unwrap();
        assert_eq!(refused.to_string(), "the token issuer answers with status 401, error `invalid_client`");
        assert!(!refused.is_worth_retrying());
        assert!(read(503, b"<html>").err().unwrap().is_worth_retrying());
    }
}
