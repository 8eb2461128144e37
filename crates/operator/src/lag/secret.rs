//! The Secret that all replicas share: the key that tokens are made of, and that
//! of the certificate authority. Made by whoever comes first; never written again.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_lc_rs::rand;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::authority::Authority;
use crate::cluster::is_conflict;
use crate::manifest::{MANAGED_BY, OPERATOR};

/// Its name.
pub const NAME: &str = "iot-connector-operator-lag";

const TOKEN_KEY: &str = "token-key";
const CA_KEY: &str = "ca.key";

/// What the Secret holds.
#[derive(Clone)]
pub struct Shared {
    /// What tokens are made of.
    pub token_key: Vec<u8>,
    /// The key of the authority, PEM.
    pub ca_key: String,
}

/// Without what opens anything.
impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Reads the Secret, or makes it.
    pub async fn obtain(client: Client, namespace: &str) -> anyhow::Result<Shared> {
        let secrets: Api<Secret> = Api::namespaced(client, namespace);
        let reading = || format!("cannot read the Secret `{NAME}` of `{namespace}`");
        if let Some(secret) = secrets.get_opt(NAME).await.with_context(reading)? {
            return Shared::of(secret);
        }
        let made = Shared::make()?;
        match secrets.create(&PostParams::default(), &made.secret()).await {
            Ok(_) => {
                tracing::info!(namespace, secret = NAME, "Made the key and the authority of the lag server");
                Ok(made)
            }
            // Another replica was faster.
            Err(error) if is_conflict(&error) => Shared::of(secrets.get(NAME).await.with_context(reading)?),
            Err(error) => Err(error).with_context(|| format!("cannot make the Secret `{NAME}` in `{namespace}`")),
        }
    }

    fn make() -> anyhow::Result<Shared> {
        let mut token_key = vec![0; 32];
        rand::fill(&mut token_key).context("there is no randomness")?;
        let authority = Authority::make().context("cannot make a certificate authority")?;
        Ok(Shared { token_key, ca_key: authority.key() })
    }

    fn of(secret: Secret) -> anyhow::Result<Shared> {
        let mut data = secret.data.unwrap_or_default();
        let mut take = |key: &str| {
            let value = data.remove(key).filter(|value| !value.0.is_empty());
            value
                .map(|value| value.0)
                .with_context(|| format!("the Secret `{NAME}` has no `{key}`; delete it, and it is made anew"))
        };
        let token_key = take(TOKEN_KEY)?;
        let ca_key = String::from_utf8(take(CA_KEY)?);
        let ca_key = ca_key.with_context(|| format!("`{CA_KEY}` of the Secret `{NAME}` is no text"))?;
        Ok(Shared { token_key, ca_key })
    }

    fn secret(&self) -> Secret {
        let data = [(TOKEN_KEY, self.token_key.as_slice()), (CA_KEY, self.ca_key.as_bytes())];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.to_vec()))).collect();
        let labels = BTreeMap::from([(MANAGED_BY.to_owned(), OPERATOR.to_owned())]);
        Secret {
            metadata: ObjectMeta { name: Some(NAME.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
            data: Some(data),
            ..Secret::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_made() {
        let made = Shared::make().unwrap();
        let read = Shared::of(made.secret()).unwrap();
        assert_eq!(read.token_key, made.token_key);
        assert!(Authority::of(&read.ca_key).is_ok());
        let mut broken = made.secret();
        broken.data.get_or_insert_default().remove(CA_KEY);
        assert!(Shared::of(broken).unwrap_err().to_string().contains("`ca.key`"));
    }
}
