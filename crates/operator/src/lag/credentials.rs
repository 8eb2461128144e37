//! Keeps the credentials that the lag is read with, and so the tokens that they
//! hold: a connector is read every few seconds, and Entra is asked once an hour.
//!
//! A service account that is made anew has another uid, and so another credential.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azure::{CredentialSettings, TokenCredential};
use k8s_openapi::api::core::v1::ServiceAccount;

/// From how many credentials on those that nobody uses any more are let go.
const CREDENTIALS_MAX: usize = 1000;
/// How long nobody has used them then: the life of a token.
const UNUSED: Duration = Duration::from_secs(3600);

/// Who asks: the pods' service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    namespace: String,
    uid: String,
}

impl Account {
    /// Of an account as the API server gives it.
    pub fn of(account: &ServiceAccount) -> Account {
        let metadata = &account.metadata;
        Account {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
        }
    }
}

/// Who asks, and as which identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    account: Account,
    client_id: String,
    tenant_id: String,
    /// Certificate and login of an external identity; else nothing.
    shown: String,
}

/// All that are kept.
#[derive(Debug, Default)]
pub struct Credentials(Mutex<HashMap<Key, Kept>>);

/// When it was used last, and what it is.
#[derive(Debug)]
struct Kept(Instant, Arc<dyn TokenCredential>);

impl Credentials {
    /// The credential of these settings for an account, with the tokens that it
    /// holds already.
    pub fn keep(&self, account: &Account, settings: CredentialSettings) -> anyhow::Result<CredentialSettings> {
        let Some(key) = key(account, &settings) else { return Ok(settings) };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get_mut(&key) {
            kept.0 = Instant::now();
            return Ok(CredentialSettings::Given(kept.1.clone()));
        }
        if all.len() >= CREDENTIALS_MAX {
            all.retain(|_, kept| kept.0.elapsed() < UNUSED);
        }
        let credential = settings.credential()?;
        all.insert(key, Kept(Instant::now(), credential.clone()));
        Ok(CredentialSettings::Given(credential))
    }
}

/// None for what asks nobody for tokens.
fn key(account: &Account, settings: &CredentialSettings) -> Option<Key> {
    let (client_id, tenant_id, shown) = match settings {
        CredentialSettings::Federated { client_id, tenant_id, .. } => (client_id, tenant_id.clone(), String::new()),
        CredentialSettings::ExternalIdentity(identity) => {
            let certificate = identity.certificate.as_ref().map(|certificate| &certificate.uri);
            let shown = format!("{certificate:?} {:?}", identity.authority_host);
            (&identity.client_id, identity.tenant_id.clone().unwrap_or_default(), shown)
        }
        _ => return None,
    };
    Some(Key { account: account.clone(), client_id: client_id.clone(), tenant_id, shown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::identity::FederatedIdentity;

    fn account(namespace: &str, uid: &str) -> Account {
        Account { namespace: namespace.to_owned(), uid: uid.to_owned() }
    }

    /// The credential itself, to be compared.
    fn given(kept: CredentialSettings) -> Arc<dyn TokenCredential> {
        match kept {
            CredentialSettings::Given(credential) => credential,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_identity_of_each_account_has_one_credential() {
        let credentials = Credentials::default();
        let keep = |namespace: &str, uid: &str, client_id: &str, tenant: &str| {
            let identity = FederatedIdentity::for_tests(Some(tenant));
            let settings = identity.credential(client_id, None).unwrap();
            given(credentials.keep(&account(namespace, uid), settings).unwrap())
        };
        let first = keep("ns1", "u1", "c1", "t1");
        assert!(Arc::ptr_eq(&first, &keep("ns1", "u1", "c1", "t1")), "its tokens would be lost");
        let others = [
            ("ns2", "u1", "c1", "t1"),
            ("ns1", "u2", "c1", "t1"),
            ("ns1", "u1", "c2", "t1"),
            ("ns1", "u1", "c1", "t2"),
        ];
        for (namespace, uid, client_id, tenant) in others {
            let other = keep(namespace, uid, client_id, tenant);
            assert!(!Arc::ptr_eq(&first, &other), "{namespace} {uid} {client_id} {tenant}");
        }
    }

    #[test]
    fn what_asks_nobody_is_not_kept() {
        let credentials = Credentials::default();
        let kept = credentials.keep(&account("ns1", "u1"), CredentialSettings::Development).unwrap();
        assert!(kept.is_development());
        assert!(credentials.0.lock().unwrap().is_empty());
    }
}
