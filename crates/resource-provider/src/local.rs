//! What is outside, on one machine: for a laptop and for tests (design.md D9).
//!
//! ```text
//! LocalCloud   remembers what was made in it: for tests
//! Machine      hubs of the Event Hubs stand-in, mappings in folders, workloads as processes: for a laptop
//! ```

mod blobs;
mod cloud;
mod environment;
mod files;
mod hubs;
mod machine;
mod process;
mod processes;
mod sas_blobs;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use arm::ResourceId;
use arm::gen1::{ConnectionKeys, KeyType};
use arm::identity::SystemAssigned;
use arm::resource_id::folded;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

pub use self::cloud::{Gate, LocalCloud, Moment, Open};
pub use self::machine::{Machine, MachineSettings};
pub use self::sas_blobs::SasBlobs;
use crate::ports::{ConnectionRule, FhirService, FhirServices, IdentityIssuer, Keys, PortError};

/// FHIR services that are named when the program starts. A name may have `*` in
/// place of a segment: it stands for any, of services that nobody has named. Where
/// several names fit, the one with the fewest counts, of equals the first by its text.
#[derive(Debug, Default)]
pub struct NamedFhirServices(Mutex<BTreeMap<String, FhirService>>);

impl NamedFhirServices {
    /// Names a service by its resource id.
    pub fn put(&self, path: &str, service: FhirService) {
        self.all().insert(folded(path), service);
    }

    /// Forgets a service.
    pub fn remove(&self, path: &str) {
        self.all().remove(&folded(path));
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, FhirService>> {
        // Whoever panicked had the map in a whole state: each change is one call.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl FhirServices for NamedFhirServices {
    async fn get(&self, path: &str) -> Result<Option<FhirService>, PortError> {
        let (path, all) = (folded(path), self.all());
        let fitting = all.iter().filter(|(name, _)| fits(name, &path));
        let named = fitting.min_by_key(|(name, _)| name.matches('*').count());
        Ok(named.map(|(_, found)| found.clone()))
    }

    async fn has_any(&self, workspace: &ResourceId) -> Result<bool, PortError> {
        let begin = format!("{}/", workspace.key());
        Ok(self.all().keys().any(|path| path.starts_with(&begin)))
    }
}

/// Whether a path is what a name with `*` in place of segments stands for.
fn fits(name: &str, path: &str) -> bool {
    let (mut name, mut path) = (name.split('/'), path.split('/'));
    loop {
        match (name.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Identities that name nobody: made of the resource's id, so that they are the
/// same each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalIdentities;

#[async_trait]
impl IdentityIssuer for LocalIdentities {
    async fn issue(&self, resource: &ResourceId) -> Result<SystemAssigned, PortError> {
        let of = |what: &str| Some(Uuid::new_v8(digest(&format!("{what} {}", resource.key()))).to_string());
        Ok(SystemAssigned { principal_id: of("principal"), tenant_id: of("tenant"), credential_url: None })
    }
}

/// Sixteen bytes that a text always gives.
fn digest(text: &str) -> [u8; 16] {
    use sha2::{Digest, Sha256};
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(text)[..16]);
    bytes
}

/// Keys of connections, in memory only.
#[derive(Debug, Default)]
pub struct LocalKeys {
    /// The host name in connection strings.
    host: String,
    keys: Mutex<HashMap<String, [String; 2]>>,
}

impl LocalKeys {
    /// Keys of hubs behind a host.
    pub fn of_host(host: impl Into<String>) -> LocalKeys {
        LocalKeys { host: host.into(), keys: Mutex::default() }
    }

    fn of_rule(&self, rule: ConnectionRule<'_>, change: impl FnOnce(&mut [String; 2])) -> ConnectionKeys {
        let name = format!("{}/{}", rule.connector.id, rule.connection.to_lowercase());
        let mut all = self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let keys = all.entry(name).or_insert_with(|| [new_key(), new_key()]);
        change(keys);
        let string = |key: &str| {
            let hub = rule.connector.infrastructure.device_hub_name.as_deref().unwrap_or_default();
            let (host, rule) = (&self.host, rule.connection);
            format!("Endpoint=sb://{host}/;SharedAccessKeyName={rule};SharedAccessKey={key};EntityPath={hub}")
        };
        ConnectionKeys {
            key_name: rule.connection.to_owned(),
            primary_connection_string: string(&keys[0]),
            secondary_connection_string: string(&keys[1]),
            primary_key: keys[0].clone(),
            secondary_key: keys[1].clone(),
        }
    }
}

fn new_key() -> String {
    STANDARD.encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
}

#[async_trait]
impl Keys for LocalKeys {
    async fn list(&self, rule: ConnectionRule<'_>) -> Result<ConnectionKeys, PortError> {
        Ok(self.of_rule(rule, |_| {}))
    }

    async fn regenerate(&self, rule: ConnectionRule<'_>, key: KeyType) -> Result<ConnectionKeys, PortError> {
        let position = match key {
            KeyType::Primary => 0,
            KeyType::Secondary => 1,
        };
        Ok(self.of_rule(rule, |keys| keys[position] = new_key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_with_stars_stands_for_what_nobody_has_named() {
        let services = NamedFhirServices::default();
        let location = arm::Location::new("westus2");
        let service =
            |url: &str| FhirService { location: location.clone(), is_ready: true, url: url.to_owned(), audience: None };
        services.put("/subscriptions/*/resourceGroups/*/providers/P/services/*", service("any"));
        services.put("/subscriptions/s/resourceGroups/*/providers/P/services/near", service("near"));
        services.put("/subscriptions/S/resourceGroups/g/providers/p/services/named", service("named"));
        for (path, expected) in [
            ("/subscriptions/s/resourcegroups/g/providers/p/services/Named", Some("named")),
            ("/subscriptions/s/resourceGroups/g/providers/p/services/other", Some("any")),
            ("/subscriptions/s/resourceGroups/g/providers/p/services/near", Some("near")),
            ("/subscriptions/s/resourceGroups/g/providers/p/services/", None),
            ("/subscriptions/s/resourceGroups/g/providers/p/services", None),
            ("/subscriptions/s/resourceGroups/g/providers/p/services/a/b", None),
            ("/subscriptions/s/resourceGroups/g/providers/p/workspaces/a", None),
        ] {
            let found = services.get(path).await.unwrap();
            assert_eq!(found.map(|found| found.url).as_deref(), expected, "{path}");
        }
    }
}
