//! Who may do what: shared access keys, and the tokens of a connection.
//!
//! Where nothing is wanted any token is taken and none is needed. Else a token
//! has to be a shared access signature by a key of one of the rules, for an
//! audience above or at what is to be used, and not ended
//! (functions-eventhubs-keda.md 7.2). It opens something only as long as its key
//! is one of the rule's, so that a new key shuts out who has the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::watch;
use url::form_urlencoded;

use super::access::{Access, Right, Rule, Rules};

/// Shared access keys of all hubs, by their names. Empty: a hub is opened by its
/// own rules, or by anything.
#[derive(Clone, Default)]
pub struct SharedAccessKeys(BTreeMap<String, String>);

impl SharedAccessKeys {
    /// Keys by their names.
    pub fn new(keys: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What opens a hub beside its own rules, or `None`: anything does. A key of
    /// all hubs counts as a rule with all rights.
    pub(super) fn wanted(&self, hub: Option<&Access>) -> Option<Rules> {
        let own = hub.filter(|hub| !hub.is_open).map(|hub| hub.rules.clone());
        if self.is_empty() {
            return own;
        }
        let mut rules = own.unwrap_or_default();
        for (name, key) in &self.0 {
            let rights = BTreeSet::from([Right::Manage]);
            rules.put(Rule { name: name.clone(), rights, primary_key: key.clone(), secondary_key: key.clone() });
        }
        Some(rules)
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
    held: Mutex<Vec<Held>>,
    shown: watch::Sender<()>,
}

/// A token that was good when it was shown.
struct Held {
    /// What it is for, in segments and lower case.
    path: Vec<String>,
    ends: SystemTime,
    /// Whose key signed it.
    rule: String,
    /// Which key.
    key: String,
}

/// Without the key.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("path", &self.path).field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self { held: Mutex::default(), shown: watch::channel(()).0 }
    }
}

impl Tokens {
    /// Takes a token for `audience`, if it is good.
    pub fn show(&self, wanted: Option<&Rules>, token: &str, audience: &str) -> Result<(), NotAuthorized> {
        if token.is_empty() {
            return Err(NotAuthorized::NoSignature);
        }
        let Some(rules) = wanted else { return Ok(()) };
        let signed = verify(rules, token, audience, SystemTime::now())?;
        let mut held = self.held();
        held.retain(|known| known.path != signed.path);
        held.push(signed);
        drop(held);
        self.shown.send_replace(());
        Ok(())
    }

    /// Whether a token for `entity`, such as `hub/Partitions/0`, or something
    /// above it was shown and is still good for a right, or for any. The empty
    /// entity is covered by any token.
    pub fn cover(&self, wanted: Option<&Rules>, entity: &str, right: Option<Right>) -> bool {
        let Some(rules) = wanted else { return true };
        self.end(rules, entity, right).is_some_and(|end| SystemTime::now() < end)
    }

    /// When the last token ends that is good for a right on `entity`.
    pub fn end(&self, rules: &Rules, entity: &str, right: Option<Right>) -> Option<SystemTime> {
        let entity = segments(entity);
        let is_good = |held: &&Held| {
            let rule = rules.get(&held.rule).filter(|rule| rule.has_key(&held.key));
            let covers = entity.is_empty() || entity.starts_with(&held.path);
            covers && rule.is_some_and(|rule| right.is_none_or(|right| rule.gives(right)))
        };
        self.held().iter().filter(is_good).map(|held| held.ends).max()
    }

    /// Changes whenever a token is shown.
    pub fn shown(&self) -> watch::Receiver<()> {
        self.shown.subscribe()
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a token that is shown for one request only is good for `entity`.
pub fn is_good(wanted: Option<&Rules>, token: &str, entity: &str) -> bool {
    let audience = format!("sb://localhost/{entity}");
    wanted.is_none_or(|rules| verify(rules, token, &audience, SystemTime::now()).is_ok())
}

/// The hub that an audience is, or is below.
pub fn hub_of(audience: &str) -> Option<String> {
    path(audience).into_iter().next()
}

/// What a token is that is good for `audience`.
fn verify(rules: &Rules, token: &str, audience: &str, now: SystemTime) -> Result<Held, NotAuthorized> {
    let fields = token.strip_prefix("SharedAccessSignature ").ok_or(NotAuthorized::NoSignature)?;
    let raw = |name: &str| fields.split('&').filter_map(|field| field.split_once('=')).find(|(key, _)| *key == name);
    let field = |name: &str| raw(name).map(|(_, value)| decoded(value)).ok_or(NotAuthorized::NoSignature);
    let rule = rules.get(&field("skn")?).ok_or(NotAuthorized::UnknownKey)?;
    let (resource, end) = (raw("sr").map_or("", |(_, value)| value), field("se")?);
    let signature = BASE64_STANDARD.decode(field("sig")?).map_err(|_| NotAuthorized::Signature)?;
    // What is signed is the resource as it stands there, encoded.
    let signed = format!("{resource}\n{end}");
    let is_by = |key: &&String| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    };
    let key = [&rule.primary_key, &rule.secondary_key].into_iter().find(is_by).ok_or(NotAuthorized::Signature)?;
    let of_audience = path(audience);
    if !of_audience.starts_with(&path(&decoded(resource))) || audience.is_empty() {
        return Err(NotAuthorized::Audience);
    }
    let seconds: u64 = end.parse().map_err(|_| NotAuthorized::NoSignature)?;
    let ends = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(NotAuthorized::NoSignature)?;
    if ends <= now {
        return Err(NotAuthorized::Ended);
    }
    Ok(Held { path: of_audience, ends, rule: rule.name.clone(), key: key.clone() })
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

    fn keys() -> Rules {
        SharedAccessKeys::new([("read".to_owned(), "k3y".to_owned())]).wanted(None).unwrap()
    }

    /// When tokens end that do not end in a test.
    const FAR: u64 = 4_000_000_000;

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
        let rules = keys();
        let cover = |entity| tokens.cover(Some(&rules), entity, Some(Right::Listen));
        assert!(!cover("") && !cover("hub"));
        tokens.show(Some(&rules), &sign("sb://h/hub", FAR, "read", "k3y"), "sb://h/hub").unwrap();
        let covered = ["", "hub", "Hub/ConsumerGroups/$Default/Partitions/0", "hub2", "other/hub"].map(cover);
        assert_eq!(covered, [true, true, true, false, false]);
    }

    #[test]
    fn without_keys_any_token_is_taken_and_none_is_needed() {
        let (tokens, none) = (Tokens::default(), SharedAccessKeys::default().wanted(None));
        assert!(tokens.cover(none.as_ref(), "hub", Some(Right::Send)));
        assert_eq!(tokens.show(none.as_ref(), "x", "y"), Ok(()));
        assert_eq!(tokens.show(none.as_ref(), "", "y"), Err(NotAuthorized::NoSignature));
    }

    #[test]
    fn a_token_opens_what_its_rule_has_a_right_to_and_only_while_its_key_is_one_of_the_rule() {
        let mut rules = Rules::default();
        rules.put(Rule::new("Device", BTreeSet::from([Right::Send])).unwrap());
        let [old, other] = {
            let rule = rules.get("device").unwrap();
            [rule.primary_key.clone(), rule.secondary_key.clone()]
        };
        let tokens = Tokens::default();
        tokens.show(Some(&rules), &sign("sb://h/hub", FAR, "device", &old), "sb://h/hub").unwrap();
        let cover = |rules: &Rules, right| tokens.cover(Some(rules), "hub", right);
        assert!(cover(&rules, Some(Right::Send)) && cover(&rules, None));
        assert!(!cover(&rules, Some(Right::Listen)));
        rules.get_mut("device").unwrap().regenerate(super::super::access::KeyType::PrimaryKey).unwrap();
        assert!(!cover(&rules, Some(Right::Send)));
        let show = |key: &str| tokens.show(Some(&rules), &sign("sb://h/hub", FAR, "Device", key), "sb://h/hub");
        assert_eq!(show(&old), Err(NotAuthorized::Signature));
        let of_request =
            |key: &str| is_good(Some(&rules), &sign("amqp://h/hub", FAR, "device", key), "hub/$management");
        assert_eq!([&old, &other].map(|key| of_request(key)), [false, true]);
        assert_eq!(show(&other), Ok(()));
        assert!(cover(&rules, Some(Right::Send)));
        rules.remove("DEVICE");
        assert!(!cover(&rules, None));
    }

    #[test]
    fn keys_of_all_hubs_count_beside_the_rules_of_a_hub() {
        let all = SharedAccessKeys::new([("root".to_owned(), "k3y".to_owned())]);
        let mut hub = Access {
            name: "h".to_owned(),
            partitions: 1,
            is_open: true,
            consumer_groups: BTreeSet::new(),
            rules: Rules::default(),
            is_removed: false,
        };
        hub.rules.put(Rule::new("own", BTreeSet::new()).unwrap());
        let names = |rules: Option<Rules>| rules.map(|rules| rules.iter().map(|rule| rule.name.clone()).collect());
        let wanted = |keys: &SharedAccessKeys, hub: &Access| -> Option<Vec<String>> { names(keys.wanted(Some(hub))) };
        assert_eq!(wanted(&SharedAccessKeys::default(), &hub), None);
        assert_eq!(wanted(&all, &hub), Some(vec!["root".to_owned()]));
        hub.is_open = false;
        assert_eq!(wanted(&SharedAccessKeys::default(), &hub), Some(vec!["own".to_owned()]));
        assert_eq!(wanted(&all, &hub), Some(vec!["own".to_owned(), "root".to_owned()]));
    }
}
