//! Tokens of applications, issued by Microsoft Entra ID.
//!
//! ```text
//! bearer token --header: kid--> key of the issuer --signature, issuer, audience, time--> application id
//! ```

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::callers::Caller;

/// How old the keys may get; the issuer drops a key that it gave up.
const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often an unknown key makes us look again: callers can send as many as they
/// like.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Whose tokens count.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `iss`: `https://login.microsoftonline.com/{tenant}/v2.0`, or
    /// `https://sts.windows.net/{tenant}/`.
    pub issuers: Vec<String>,
    /// `aud`: what tokens are for.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are, as JWKS.
    pub keys: Url,
    /// Applications that are the front door.
    pub front_doors: Vec<String>,
    /// Applications of the platform that may call beside it.
    pub applications: Vec<String>,
}

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be taken for what it says.
    #[error("The token is not taken: {0}")]
    Token(&'static str),
    /// It is whole, and of somebody who may not call.
    #[error("The application of the token may not call this service")]
    Application,
    /// The keys of the issuer cannot be read.
    #[error("The keys of the token's issuer are away; try again")]
    NoKeys,
}

/// Reads tokens.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    client: reqwest::Client,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    set: Option<JwkSet>,
    read: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Deserialize)]
struct Claims {
    /// The application, in tokens of version 2.
    azp: Option<String>,
    /// The application, in tokens of version 1.
    appid: Option<String>,
    /// There when a user signed in, for whom the application acts.
    scp: Option<String>,
}

impl Tokens {
    /// Reads tokens with keys that are fetched when the first comes.
    pub fn new(settings: TokenSettings, client: reqwest::Client) -> Tokens {
        Tokens { settings, client, keys: Mutex::default() }
    }

    /// Whose a token is.
    ///
    /// # Errors
    ///
    /// [`Refused`]; its text holds nothing of the token.
    pub async fn caller(&self, token: &str) -> Result<Caller, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Token("it is not a JWT"))?;
        if header.alg != Algorithm::RS256 {
            return Err(Refused::Token("it is not signed with RS256"));
        }
        let kid = header.kid.ok_or(Refused::Token("it names no key"))?;
        let key = self.key(&kid).await?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&self.settings.issuers);
        validation.set_audience(&self.settings.audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims = decode::<Claims>(token, &key, &validation).map_err(|error| Refused::Token(why(&error)))?.claims;
        if claims.scp.is_some() {
            return Err(Refused::Token("it is a user's; an application has to call as itself"));
        }
        let application = claims.azp.or(claims.appid).ok_or(Refused::Token("it names no application"))?;
        let is_in = |known: &[String]| known.iter().any(|known| known.eq_ignore_ascii_case(&application));
        if is_in(&self.settings.front_doors) {
            Ok(Caller::FrontDoor)
        } else if is_in(&self.settings.applications) {
            Ok(Caller::Application(application))
        } else {
            Err(Refused::Application)
        }
    }

    async fn key(&self, kid: &str) -> Result<DecodingKey, Refused> {
        // One reads for all that wait.
        let mut keys = self.keys.lock().await;
        let is_old = keys.read.is_none_or(|read| read.elapsed() > KEYS_AGE_MAX);
        let is_unknown = keys.set.as_ref().is_none_or(|set| set.find(kid).is_none());
        let may_look = keys.tried.is_none_or(|tried| tried.elapsed() > LOOK_EVERY) || keys.set.is_none();
        if (is_old || is_unknown) && may_look {
            keys.tried = Some(Instant::now());
            match self.read().await {
                Ok(set) => (keys.set, keys.read) = (Some(set), Some(Instant::now())),
                // Those at hand hold on while the issuer is away.
                Err(error) => tracing::warn!(error = format!("{error:#}"), "The keys of tokens cannot be read"),
            }
        }
        let set = keys.set.as_ref().ok_or(Refused::NoKeys)?;
        let key = set.find(kid).ok_or(Refused::Token("its key is not one of the issuer's"))?;
        DecodingKey::from_jwk(key).map_err(|_| Refused::Token("its key cannot be used"))
    }

    async fn read(&self) -> anyhow::Result<JwkSet> {
        let response = self.client.get(self.settings.keys.clone()).timeout(READ_LIMIT).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }
}

/// What is wrong, for the caller: nothing of what stands in the token.
fn why(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it does not hold yet",
        ErrorKind::InvalidIssuer => "its issuer is another",
        ErrorKind::InvalidAudience => "it is for somebody else",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        _ => "it cannot be read",
    }
}
