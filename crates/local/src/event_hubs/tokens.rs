//! Who may do what: shared access keys, and the tokens of a connection.
//!
//! Without keys any token is taken and none is needed. With keys a token has to
//! be a shared access signature of one of them, for an audience above or at
//! what is to be used, and not ended (functions-eventhubs-keda.md 7.2); links
//! without one are refused, and those that receive are closed when it ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::watch;
use url::form_urlencoded;

/// Shared access keys by their names. Empty: everyone may do everything.
#[derive(Clone, Default)]
pub struct SharedAccessKeys(BTreeMap<String, String>);

impl SharedAccessKeys {
    /// Keys by their names.
    pub fn new(keys: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// Whether everyone may do everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names only.
impl fmt::Debug for SharedAccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedAccessKeys").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthorized {
    /// Empty, or no shared access signature although keys are wanted.
    #[error("the token is not a shared access signature")]
    NoSignature,
    /// `skn` is no key's name.
    #[error("there is no key of that name")]
    UnknownKey,
    /// `sig` is not the key's.
    #[error("the signature is not valid")]
    Signature,
    /// `sr` does not cover the audience.
    #[error("the signature is for another resource")]
    Audience,
    /// `se` has passed.
    #[error("the signature has ended")]
    Ended,
}

/// The tokens that one connection has shown.
#[derive(Debug)]
pub struct Tokens {
    /// Path of the resource, in segments and lower case, and when it ends.
    held: Mutex<Vec<(Vec<String>, SystemTime)>>,
    shown: watch::Sender<()>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { held: Mutex::default(), shown: watch::channel(()).0 }
    }
}

impl Tokens {
    /// Takes a token for `audience`, if it is good.
    pub fn show(&self, keys: &SharedAccessKeys, token: &str, audience: &str) -> Result<(), NotAuthorized> {
        if token.is_empty() {
            return Err(NotAuthorized::NoSignature);
        }
        if keys.is_empty() {
            return Ok(());
        }
        let ends = verify(keys, token, audience, SystemTime::now())?;
        let path = path(audience);
        let mut held = self.held();
        held.retain(|(known, _)| *known != path);
        held.push((path, ends));
        drop(held);
        self.shown.send_replace(());
        Ok(())
    }

    /// Whether a token for `entity`, such as `hub/Partitions/0`, or something
    /// above it was shown and has not ended. The empty entity is covered by any.
    pub fn cover(&self, keys: &SharedAccessKeys, entity: &str) -> bool {
        keys.is_empty() || self.end(entity).is_some_and(|end| SystemTime::now() < end)
    }

    /// Waits until no token covers `entity` any more.
    pub async fn ended(&self, keys: &SharedAccessKeys, entity: &str) {
        if keys.is_empty() {
            return std::future::pending().await;
        }
        let mut shown = self.shown.subscribe();
        loop {
            let end = self.end(entity).unwrap_or(UNIX_EPOCH);
            let Ok(left) = end.duration_since(SystemTime::now()) else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => (),
                // The sender is `self`'s own.
                _ = shown.changed() => (),
            }
        }
    }

    fn end(&self, entity: &str) -> Option<SystemTime> {
        let entity = segments(entity);
        let held = self.held();
        held.iter().filter(|(path, _)| entity.is_empty() || entity.starts_with(path)).map(|(_, end)| *end).max()
    }

    fn held(&self) -> MutexGuard<'_, Vec<(Vec<String>, SystemTime)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a token ends that is good for `audience`.
fn verify(keys: &SharedAccessKeys, token: &str, audience: &str, now: SystemTime) -> Result<SystemTime, NotAuthorized> {
    let fields = token.strip_prefix("SharedAccessSignature ").ok_or(NotAuthorized::NoSignature)?;
    let raw = |name: &str| fields.split('&').filter_map(|field| field.split_once('=')).find(|(key, _)| *key == name);
    let field = |name: &str| raw(name).map(|(_, value)| decoded(value)).ok_or(NotAuthorized::NoSignature);
    let key = keys.0.get(&field("skn")?).ok_or(NotAuthorized::UnknownKey)?;
    let (resource, end) = (raw("sr").map_or("", |(_, value)| value), field("se")?);
    let signature = BASE64_STANDARD.decode(field("sig")?).map_err(|_| NotAuthorized::Signature)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    // What is signed is the resource as it stands there, encoded.
    hmac::verify(&key, format!("{resource}\n{end}").as_bytes(), &signature).map_err(|_| NotAuthorized::Signature)?;
    if !path(audience).starts_with(&path(&decoded(resource))) || audience.is_empty() {
        return Err(NotAuthorized::Audience);
    }
    let seconds: u64 = end.parse().map_err(|_| NotAuthorized::NoSignature)?;
    let end = UNIX_EPOCH + Duration::from_secs(seconds);
    if end <= now { Err(NotAuthorized::Ended) } else { Ok(end) }
}

fn decoded(value: &str) -> String {
    // A form's `+` is a blank; signatures write theirs as `%2B`.
    form_urlencoded::parse(format!("v={value}").as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// The path of an audience: scheme and host mean nothing to the stand-in.
fn path(audience: &str) -> Vec<String> {
    let rest = audience.split_once("://").map_or(audience, |(_, rest)| rest.split_once('/').map_or("", |rest| rest.1));
    segments(rest)
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> SharedAccessKeys {
        SharedAccessKeys::new([("read".to_owned(), "k3y".to_owned())])
    }

    /// A signature made here in another way: with the form encoding of `url`.
    fn sign(resource: &str, end: u64, name: &str, key: &str) -> String {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let resource = encode(resource);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, format!("{resource}\n{end}").as_bytes()));
        format!("SharedAccessSignature sr={resource}&sig={}&se={end}&skn={name}", encode(&signature))
    }

    #[test]
    fn takes_signatures_of_its_keys_for_what_they_cover() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let check = |token: &str, audience: &str| verify(&keys(), token, audience, now).map(|_| ());
        let good = sign("sb://h/Hub", 1_001, "read", "k3y");
        for audience in ["sb://h/hub", "amqps://other:5671/hub/ConsumerGroups/$default/Partitions/0", "sb://h/HUB/"] {
            assert_eq!(check(&good, audience), Ok(()), "{audience}");
        }
        let cases = [
            (good.as_str(), "sb://h/hub2", NotAuthorized::Audience),
            (&good, "sb://h/", NotAuthorized::Audience),
            (&good, "", NotAuthorized::Audience),
            (&sign("sb://h/hub/Partitions/0", 1_001, "read", "k3y"), "sb://h/hub", NotAuthorized::Audience),
            (&sign("sb://h/hub", 1_000, "read", "k3y"), "sb://h/hub", NotAuthorized::Ended),
            (&sign("sb://h/hub", 1_001, "read", "other"), "sb://h/hub", NotAuthorized::Signature),
            (&good.replace("se=1001", "se=2001"), "sb://h/hub", NotAuthorized::Signature),
            (&good.replace("skn=read", "skn=write"), "sb://h/hub", NotAuthorized::UnknownKey),
            ("eyJhbGciOiJub25lIn0.e30.", "sb://h/hub", NotAuthorized::NoSignature),
        ];
        for (token, audience, expected) in cases {
            assert_eq!(check(token, audience), Err(expected), "{token} for {audience}");
        }
    }

    #[test]
    fn a_token_covers_what_is_below_it() {
        let tokens = Tokens::default();
        assert!(!tokens.cover(&keys(), "") && !tokens.cover(&keys(), "hub"));
        let far = 4_000_000_000;
        tokens.show(&keys(), &sign("sb://h/hub", far, "read", "k3y"), "sb://h/hub").unwrap();
        let covered = ["", "hub", "Hub/ConsumerGroups/$Default/Partitions/0", "hub2", "other/hub"]
            .map(|entity| tokens.cover(&keys(), entity));
        assert_eq!(covered, [true, true, true, false, false]);
    }

    #[test]
    fn without_keys_any_token_is_taken_and_none_is_needed() {
        let (tokens, none) = (Tokens::default(), SharedAccessKeys::default());
        assert!(tokens.cover(&none, "hub"));
        assert_eq!(tokens.show(&none, "x", "y"), Ok(()));
        assert_eq!(tokens.show(&none, "", "y"), Err(NotAuthorized::NoSignature));
    }
}
