//! Tokens of applications, issued by Microsoft Entra ID.
//!
//! ```text
//! bearer token --header: kid--> key of the issuer --signature, issuer, audience, time--> application id
//! ```

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::callers::Caller;
use super::trusted;

/// How old the keys get before others are asked for: the issuer drops a key that
/// it gave up.
const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How old they may get while the issuer is away.
const KEYS_LIMIT: Duration = Duration::from_secs(3 * 24 * 3600);
/// How often an unknown key makes us look again: callers can send as many as they
/// like.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often it is tried while there are none at all.
const TRY_EVERY: Duration = Duration::from_secs(2);
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
    keys: RwLock<Keys>,
    looking: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Keys {
    set: Option<Arc<JwkSet>>,
    read: Option<Instant>,
    tried: Option<Instant>,
}

impl Keys {
    fn is_good(&self) -> bool {
        self.read.is_some_and(|read| read.elapsed() < KEYS_AGE_MAX)
    }

    fn has(&self, kid: &str) -> bool {
        self.set.as_ref().is_some_and(|set| set.find(kid).is_some())
    }

    /// How long after a look the next may be.
    fn pause(&self) -> Duration {
        if self.set.is_none() { TRY_EVERY } else { LOOK_EVERY }
    }

    fn key(&self, kid: &str) -> Result<DecodingKey, Refused> {
        let set = self.set.as_ref().filter(|_| self.read.is_some_and(|read| read.elapsed() < KEYS_LIMIT));
        let key = set.ok_or(Refused::NoKeys)?.find(kid);
        let key = key.ok_or(Refused::Token("its key is not one of the issuer's"))?;
        DecodingKey::from_jwk(key).map_err(|_| Refused::Token("its key cannot be used"))
    }
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
        Tokens { settings, client, keys: RwLock::default(), looking: Mutex::default() }
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
        let known = self.known();
        if known.has(kid) && known.is_good() {
            return known.key(kid);
        }
        // One looks for all. Who shows a key that is known does not wait for it.
        let looking = match known.has(kid) {
            true => self.looking.try_lock().ok(),
            false => Some(self.looking.lock().await),
        };
        if looking.is_some() {
            self.look(kid).await;
        }
        self.known().key(kid)
    }

    /// Reads the keys, unless that was just done.
    async fn look(&self, kid: &str) {
        let known = self.known();
        let is_needed = !known.is_good() || !known.has(kid);
        if !is_needed || known.tried.is_some_and(|tried| tried.elapsed() < known.pause()) {
            return;
        }
        let read = self.read().await;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.tried = Some(Instant::now());
        match read {
            Ok(set) => (keys.set, keys.read) = (Some(Arc::new(set)), Some(Instant::now())),
            // Those at hand hold on while the issuer is away, for a while.
            Err(error) => tracing::warn!(error = format!("{error:#}"), "The keys of tokens cannot be read"),
        }
    }

    fn known(&self) -> Keys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> anyhow::Result<JwkSet> {
        trusted::read(&self.client, &self.settings.keys, READ_LIMIT).await
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
