//! Access tokens for a FHIR server.
//!
//! A [`TokenSource`] knows how to get one: [`ClientCredentials`] here, a managed
//! or workload identity through a closure that the binary makes.
//! [`CachedTokens`] keeps it until five minutes before its end. Local servers
//! need neither.

mod client_credentials;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

pub use self::client_credentials::{ClientCredentials, ClientCredentialsError, TokenEndpoint};

/// A token is renewed this long before its end (fhir-conversion.md 8.4).
const RENEW_BEFORE_END: Duration = Duration::from_secs(300);

/// So long is an issuer that gave no token not asked again: whoever waited for
/// that answer shares it.
const FAILURE_SHARED_FOR: Duration = Duration::from_secs(1);

/// An access token and when it ends.
#[derive(Clone)]
pub struct AccessToken {
    /// What goes behind `Bearer`.
    pub secret: SecretString,
    /// How long it is good for from now on.
    pub lifetime: Duration,
}

/// Where access tokens come from.
///
/// Closures are sources, so that a binary can join a credential of another
/// crate: `|scope| async move { … }` over an owned scope.
pub trait TokenSource: Send + Sync {
    /// A new token for `scope`, such as `https://fhir.example/.default`.
    fn token<'s>(&'s self, scope: &'s str) -> BoxFuture<'s, Result<AccessToken, TokenError>>;
}

impl<F, T> TokenSource for F
where
    F: Fn(String) -> T + Send + Sync,
    T: Future<Output = Result<AccessToken, TokenError>> + Send + 'static,
{
    fn token<'s>(&'s self, scope: &'s str) -> BoxFuture<'s, Result<AccessToken, TokenError>> {
        Box::pin(self(scope.to_owned()))
    }
}

/// Why there is no token. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The issuer says no: wrong secret, unknown client, unknown scope.
    #[error("the token issuer answers with status {status}, error `{error}`")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The `error` of the answer, such as `invalid_client`; empty without.
        error: String,
    },
    /// The issuer does not answer, or not with a token.
    #[error("no token from the token issuer: {what}")]
    Unreachable {
        /// What is missing, for a person.
        what: &'static str,
        /// The error of whoever asked.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl TokenError {
    pub(crate) fn is_worth_retrying(&self) -> bool {
        matches!(self, TokenError::Unreachable { .. })
    }
}

/// The current token of one scope, shared by all requests.
pub struct CachedTokens {
    source: Arc<dyn TokenSource>,
    scope: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// The last failure and when it happened.
    failed: Option<(Instant, Arc<TokenError>)>,
}

struct Current {
    secret: SecretString,
    renew_at: Instant,
    ends_at: Instant,
}

impl fmt::Debug for CachedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedTokens").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl CachedTokens {
    /// Tokens of `source` for `scope`.
    pub fn new(source: Arc<dyn TokenSource>, scope: impl Into<String>) -> CachedTokens {
        CachedTokens { source, scope: scope.into(), state: Mutex::default() }
    }

    /// The current token, or a new one. Whoever comes while one is being
    /// fetched waits for it, and shares its failure.
    pub async fn token(&self) -> Result<SecretString, Arc<TokenError>> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some(token) = state.current.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.secret.clone());
        }
        let just_failed = state.failed.as_ref().filter(|(at, _)| now.duration_since(*at) < FAILURE_SHARED_FOR);
        let error = match just_failed {
            Some((_, error)) => Arc::clone(error),
            None => match self.source.token(&self.scope).await {
                Ok(token) => {
                    let secret = token.secret.clone();
                    state.current = Some(Current::new(token, Instant::now()));
                    return Ok(secret);
                }
                Err(error) => {
                    let error = Arc::new(error);
                    state.failed = Some((Instant::now(), Arc::clone(&error)));
                    error
                }
            },
        };
        // An issuer that is away for a moment stops nothing while the old token
        // still holds.
        match state.current.as_ref().filter(|token| Instant::now() < token.ends_at) {
            Some(token) => Ok(token.secret.clone()),
            None => Err(error),
        }
    }

    /// Drops `refused`, which the server did not accept, unless it has been
    /// replaced already.
    pub(crate) async fn forget(&self, refused: &SecretString) {
        let current = &mut self.state.lock().await.current;
        if current.as_ref().is_some_and(|token| token.secret.expose_secret() == refused.expose_secret()) {
            *current = None;
        }
    }
}

impl Current {
    fn new(token: AccessToken, now: Instant) -> Current {
        // A token of a few minutes is used for half of them.
        let margin = RENEW_BEFORE_END.min(token.lifetime / 2);
        Current { secret: token.secret, renew_at: now + token.lifetime - margin, ends_at: now + token.lifetime }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counting(lifetime: Duration) -> (Arc<AtomicUsize>, CachedTokens) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let source = move |_scope: String| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(AccessToken { secret: format!("t{number}").into(), lifetime }) }
        };
        (count, CachedTokens::new(Arc::new(source), "s"))
    }

    #[tokio::test]
    async fn keeps_a_token_and_renews_a_refused_one_once() {
        let (count, tokens) = counting(Duration::from_secs(3600));
        let first = tokens.token().await.unwrap();
        tokens.token().await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        tokens.forget(&first).await;
        let second = tokens.token().await.unwrap();
        tokens.forget(&first).await;
        assert_eq!(tokens.token().await.unwrap().expose_secret(), second.expose_secret());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn whoever_waits_shares_a_failure() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let source = move |_scope: String| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Err(TokenError::Unreachable { what: "test", source: None }) }
        };
        let tokens = CachedTokens::new(Arc::new(source), "s");
        let many = futures::future::join_all((0..20).map(|_| tokens.token())).await;
        assert!(many.iter().all(Result::is_err));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let long_ago = Instant::now().checked_sub(FAILURE_SHARED_FOR).unwrap();
        tokens.state.lock().await.failed.as_mut().unwrap().0 = long_ago;
        tokens.token().await.unwrap_err();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn does_not_keep_a_token_that_has_ended() {
        let (count, tokens) = counting(Duration::ZERO);
        tokens.token().await.unwrap();
        tokens.token().await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn renews_five_minutes_before_the_end() {
        let now = Instant::now();
        let current = |seconds| {
            let token = AccessToken { secret: "t".into(), lifetime: Duration::from_secs(seconds) };
            Current::new(token, now).renew_at - now
        };
        assert_eq!(current(3600), Duration::from_secs(3300));
        assert_eq!(current(60), Duration::from_secs(30));
    }
}
