//! An Entra-like token endpoint that checks what clients show.
//!
//! A client shows an assertion: a service account's token, which has to be the
//! one it is known by, or a JWT signed with one of its certificates.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use super::{ClientCertificate, Https, IdentityError, PrivateCa};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Whom a token was given to, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The client.
    pub client_id: String,
    /// Such as `https://vault.azure.net/.default`.
    pub scope: String,
    /// Base64 (URL) of the SHA-256 of the certificate that was shown.
    pub thumbprint: Option<String>,
}

/// A running endpoint. Gone when it is dropped.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    https: Arc<Https>,
    shared: Arc<Shared>,
}

struct Shared {
    tenant: String,
    /// How long tokens last.
    lifetime: Duration,
    /// Set when the port is known.
    url: Mutex<String>,
    state: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Clients and the service account token that each shows.
    federated: HashMap<String, String>,
    /// Clients, and thumbprint and public key of what each may show.
    certificates: Vec<(String, String, Vec<u8>)>,
    issued: HashMap<String, Issued>,
    /// Ids of assertions: each may be shown once.
    seen: Vec<String>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
    x5c: Vec<String>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    jti: String,
    nbf: u64,
    exp: u64,
}

impl TokenEndpoint {
    /// An endpoint of `tenant` that knows nobody yet.
    pub async fn start(ca: &PrivateCa, tenant: &str, lifetime: Duration) -> Result<TokenEndpoint, IdentityError> {
        let shared =
            Arc::new(Shared { tenant: tenant.to_owned(), lifetime, url: Mutex::default(), state: Mutex::default() });
        let routes = Router::new().route("/{tenant}/oauth2/v2.0/token", post(token)).with_state(shared.clone());
        let https = Arc::new(Https::start(ca, routes).await?);
        *shared.url.lock().unwrap_or_else(PoisonError::into_inner) = https.url();
        Ok(TokenEndpoint { https, shared })
    }

    /// The authority host.
    pub fn url(&self) -> String {
        self.https.url()
    }

    /// Lets a client in that shows this service account token.
    pub fn federate(&self, client_id: &str, token: &str) {
        self.shared.state().federated.insert(client_id.to_owned(), token.to_owned());
    }

    /// Lets a client in that shows this certificate, beside what it showed
    /// before.
    pub fn register(&self, client_id: &str, certificate: &ClientCertificate) {
        let known = (client_id.to_owned(), thumbprint(certificate), certificate.public_key().to_vec());
        self.shared.state().certificates.push(known);
    }

    /// Forgets a certificate, and the tokens that were given for it.
    pub fn withdraw(&self, certificate: &ClientCertificate) {
        let withdrawn = thumbprint(certificate);
        let mut state = self.shared.state();
        state.certificates.retain(|(_, known, _)| *known != withdrawn);
        state.issued.retain(|_, issued| issued.thumbprint.as_ref() != Some(&withdrawn));
    }

    /// Whom a token was given to; none for one that is not from here.
    pub fn issued(&self, token: &str) -> Option<Issued> {
        self.shared.state().issued.get(token).cloned()
    }
}

/// Base64 (URL) of a certificate's SHA-256, as assertions name it.
fn thumbprint(certificate: &ClientCertificate) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate.der()))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token for a request, or what is wrong with it.
    fn grant(&self, tenant: &str, form: &HashMap<String, String>) -> Result<String, String> {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if tenant != self.tenant {
            return Err(format!("there is no tenant {tenant}"));
        }
        if field("grant_type") != "client_credentials" || field("client_assertion_type") != ASSERTION_TYPE {
            return Err("expected client credentials with a JWT".to_owned());
        }
        let (client_id, assertion) = (field("client_id"), field("client_assertion"));
        let mut state = self.state();
        let thumbprint = match state.federated.get(client_id) {
            Some(known) if known == assertion => None,
            Some(_) => return Err("the service account token is another".to_owned()),
            None => {
                let (header, claims) = self.check(&state, client_id, assertion)?;
                if state.seen.contains(&claims.jti) {
                    return Err("the assertion was shown before".to_owned());
                }
                state.seen.push(claims.jti);
                Some(header.thumbprint)
            }
        };
        let token = Uuid::new_v4().to_string();
        let issued = Issued { client_id: client_id.to_owned(), scope: field("scope").to_owned(), thumbprint };
        state.issued.insert(token.clone(), issued);
        Ok(token)
    }

    fn check(&self, state: &Known, client_id: &str, assertion: &str) -> Result<(Header, Claims), String> {
        let unreadable = || "the assertion is not a JWT".to_owned();
        let (signed, signature) = assertion.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or_else(unreadable)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| unreadable());
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| unreadable())?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| unreadable())?;
        if header.alg != "PS256" {
            return Err("expected the algorithm PS256".to_owned());
        }
        let known = state
            .certificates
            .iter()
            .find(|(client, thumbprint, _)| client == client_id && *thumbprint == header.thumbprint);
        let (_, _, public_key) = known.ok_or("AADSTS700027: the certificate is not registered")?;
        let shown = header.x5c.first().and_then(|der| BASE64_STANDARD.decode(der).ok()).unwrap_or_default();
        if BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &shown)) != header.thumbprint {
            return Err("x5c and x5t#S256 are of different certificates".to_owned());
        }
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public_key)
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| "the signature is not valid".to_owned())?;
        let url = self.url.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let audience = format!("{url}/{}/oauth2/v2.0/token", self.tenant);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if claims.aud != audience {
            return Err(format!("the audience is not {audience}"));
        }
        if claims.iss != client_id || claims.sub != client_id {
            return Err("issuer and subject are not the client".to_owned());
        }
        // A day is more than any service takes.
        if claims.exp <= now || claims.nbf > now || claims.exp > now + 86_400 {
            return Err("the assertion is not valid now".to_owned());
        }
        Ok((header, claims))
    }
}

async fn token(State(shared): State<Arc<Shared>>, Path(tenant): Path<String>, body: Bytes) -> Response {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    match shared.grant(&tenant, &form) {
        Ok(token) => {
            let seconds = shared.lifetime.as_secs();
            axum::Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": seconds })).into_response()
        }
        Err(description) => {
            let body = json!({ "error": "invalid_client", "error_description": description, "error_codes": [7000] });
            (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response()
        }
    }
}
