//! A laptop as the platform: hubs of the Event Hubs stand-in, storage accounts in
//! folders, workloads as processes. Groups, identities, namespaces and roles are
//! names that are remembered: nothing on one machine asks for them.
//!
//! ```text
//! STATE/lock            held while a process uses the folder
//! STATE/names.json      what has no more than a name
//! STATE/accounts/       mappings, positions, dead letters (see `blobs`)
//! STATE/connectors/     what is to run (see `processes`)
//! STATE/logs/           one file a workload
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arm::gen1::{ConnectionKeys, KeyType};
use arm::infrastructure::DEVICE_HUBS;
use async_trait::async_trait;
use serde::Deserialize;
use url::Url;

use super::NamedFhirServices;
use super::blobs::Accounts;
use super::cloud::LocalCloud;
use super::environment::Surroundings;
use super::files;
use super::hubs::{Hubs, LISTEN_RULE, Right};
use super::process::Programs;
use super::processes::Processes;
use super::sas_blobs::SasBlobs;
use crate::documents::{InternalIdentity, ScaleInfo};
use crate::ports::{Azure, ConnectionRule, Federation, Keys, Platform, PortError, RoleAssignment};

/// How long the stand-in may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// What a machine is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineSettings {
    /// Where everything is kept.
    pub state: PathBuf,
    /// The folder of `normalize` and `group-convert`.
    pub programs: PathBuf,
    /// The port on loopback where the Event Hubs stand-in takes events.
    pub event_hubs_port: u16,
    /// The port on loopback where its hubs are made.
    pub administration_port: u16,
    /// The file of the token that this wants.
    pub administration_token: PathBuf,
    /// The storage account of workloads that run on a cluster, and not here.
    #[serde(default)]
    pub blobs: Option<SasBlobs>,
    /// How long a window of measurements lasts, in seconds.
    #[serde(default = "window_seconds")]
    pub window_seconds: u32,
}

/// Nobody wants to wait on a laptop.
fn window_seconds() -> u32 {
    1
}

/// Everything that is outside, on this machine.
#[derive(Clone, Debug)]
pub struct Machine {
    names: Arc<LocalCloud>,
    accounts: Accounts,
    hubs: Arc<Hubs>,
    processes: Arc<Processes>,
    fhir_services: Arc<NamedFhirServices>,
    /// Released by the system when the process dies.
    _lock: Arc<File>,
}

impl MachineSettings {
    /// Whether workloads could be started.
    ///
    /// # Errors
    ///
    /// Which program is not there.
    pub fn check_programs(&self) -> io::Result<()> {
        for program in ["normalize", "group-convert"] {
            let path = self.programs.join(program);
            if !path.is_file() {
                return Err(io::Error::other(format!("`machine.programs`: there is no `{}`", path.display())));
            }
        }
        Ok(())
    }
}

impl Machine {
    /// Opens the state and runs again what ran before. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The state cannot be used, or another process uses it: both would keep the
    /// same workloads running.
    pub fn open(settings: MachineSettings, fhir_services: NamedFhirServices) -> io::Result<Machine> {
        let MachineSettings { state, programs, event_hubs_port, administration_port, .. } = settings;
        files::make_folder(&state)?;
        let state = state.canonicalize()?;
        // Dead letters hold what devices sent, also where somebody else made the folder.
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700))?;
        let lock = File::options().create(true).append(true).open(state.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other(format!("another process uses `{}`", state.display())),
            TryLockError::Error(error) => error,
        })?;
        let client = reqwest::Client::builder().timeout(ANSWER_LIMIT).build().map_err(io::Error::other)?;
        let administration = format!("http://127.0.0.1:{administration_port}");
        let hubs = Arc::new(Hubs {
            administration: Url::parse(&administration).map_err(io::Error::other)?,
            token_file: settings.administration_token,
            endpoint: format!("localhost:{event_hubs_port}"),
            client: client.clone(),
        });
        let accounts = Accounts(state.join("accounts"));
        let surroundings = Surroundings {
            event_hubs: format!("127.0.0.1:{event_hubs_port}"),
            accounts: accounts.clone(),
            window_seconds: settings.window_seconds,
        };
        let programs = Programs { programs, logs: state.join("logs"), hubs: hubs.clone() };
        Ok(Machine {
            names: Arc::new(LocalCloud::kept_in(state.join("names.json"))?),
            processes: Arc::new(Processes::open(state.join("connectors"), surroundings, programs, client)?),
            accounts,
            hubs,
            fhir_services: Arc::new(fhir_services),
            _lock: Arc::new(lock),
        })
    }

    /// What a worker needs.
    pub fn platform(&self) -> Platform {
        Platform {
            allocation: self.names.clone(),
            azure: Arc::new(self.clone()),
            certificates: self.names.clone(),
            blobs: Arc::new(self.accounts.clone()),
            cluster: self.processes.clone(),
            fhir_services: self.fhir_services.clone(),
        }
    }

    /// The keys of connections, which the API needs.
    pub fn keys(&self) -> Arc<dyn Keys> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Keys for Machine {
    async fn list(&self, rule: ConnectionRule<'_>) -> Result<ConnectionKeys, PortError> {
        self.hubs.keys(device_hub(rule)?, rule.connection).await
    }

    async fn regenerate(&self, rule: ConnectionRule<'_>, key: KeyType) -> Result<ConnectionKeys, PortError> {
        self.hubs.regenerate(device_hub(rule)?, rule.connection, key).await
    }
}

fn device_hub<'r>(rule: ConnectionRule<'r>) -> Result<&'r str, PortError> {
    rule.connector.infrastructure.device_hub_name.as_deref().ok_or_else(|| {
        PortError::permanent(
            arm::ErrorCode::EventHubProvisioningFailed,
            "the connector has no hub that devices send to",
        )
    })
}

#[async_trait]
impl Azure for Machine {
    async fn ensure_resource_group(&self, place: &ScaleInfo, name: &str, for_resource: &str) -> Result<(), PortError> {
        self.names.ensure_resource_group(place, name, for_resource).await
    }

    async fn delete_resource_group(&self, place: &ScaleInfo, name: &str) -> Result<(), PortError> {
        self.names.delete_resource_group(place, name).await
    }

    async fn ensure_storage_account(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError> {
        self.names.ensure_storage_account(place, group, name).await
    }

    async fn delete_storage_account(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError> {
        self.accounts.remove(name)?;
        self.names.delete_storage_account(place, group, name).await
    }

    async fn ensure_identity(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<InternalIdentity, PortError> {
        self.names.ensure_identity(place, group, name).await
    }

    async fn delete_identity(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError> {
        self.names.delete_identity(place, group, name).await
    }

    async fn ensure_federation(&self, place: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError> {
        self.names.ensure_federation(place, federation).await
    }

    async fn delete_federation(&self, place: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError> {
        self.names.delete_federation(place, federation).await
    }

    async fn ensure_namespace(&self, place: &ScaleInfo) -> Result<(), PortError> {
        self.names.ensure_namespace(place).await
    }

    async fn delete_namespace(&self, place: &ScaleInfo) -> Result<(), PortError> {
        self.names.delete_namespace(place).await
    }

    /// A hub of measurements is open, as everything between our functions is on
    /// this machine; one that devices send to wants keys.
    async fn ensure_event_hub(&self, place: &ScaleInfo, hub: &str) -> Result<(), PortError> {
        self.names.ensure_event_hub(place, hub).await?;
        let is_of_devices = hub.starts_with(DEVICE_HUBS);
        self.hubs.put(hub, !is_of_devices).await?;
        if is_of_devices {
            self.hubs.put_rule(hub, LISTEN_RULE, Right::Listen).await?;
        }
        Ok(())
    }

    async fn delete_event_hub(&self, place: &ScaleInfo, hub: &str) -> Result<(), PortError> {
        self.hubs.delete(hub).await?;
        self.names.delete_event_hub(place, hub).await
    }

    async fn ensure_consumer_group(&self, place: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError> {
        self.names.ensure_consumer_group(place, hub, group).await?;
        self.hubs.put_consumer_group(hub, group).await
    }

    async fn delete_consumer_group(&self, place: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError> {
        self.hubs.delete_consumer_group(hub, group).await?;
        self.names.delete_consumer_group(place, hub, group).await
    }

    async fn ensure_send_rule(&self, place: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError> {
        self.names.ensure_send_rule(place, hub, rule).await?;
        self.hubs.put_rule(hub, rule, Right::Send).await
    }

    async fn delete_send_rule(&self, place: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError> {
        self.hubs.delete_rule(hub, rule).await?;
        self.names.delete_send_rule(place, hub, rule).await
    }

    async fn ensure_role_assignment(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError> {
        self.names.ensure_role_assignment(place, assignment).await
    }

    async fn delete_role_assignment(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError> {
        self.names.delete_role_assignment(place, assignment).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_state_folder_serves_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let settings = MachineSettings {
            blobs: None,
            state: folder.path().join("state"),
            programs: folder.path().to_owned(),
            event_hubs_port: 1,
            administration_port: 2,
            administration_token: folder.path().join("token"),
            window_seconds: window_seconds(),
        };
        let missing = settings.check_programs().unwrap_err().to_string();
        assert!(missing.starts_with("`machine.programs`: there is no"), "{missing}");
        let machine = Machine::open(settings.clone(), NamedFhirServices::default()).unwrap();
        let error = Machine::open(settings.clone(), NamedFhirServices::default()).unwrap_err().to_string();
        assert!(error.starts_with("another process uses"), "{error}");
        drop(machine);
        assert!(Machine::open(settings, NamedFhirServices::default()).is_ok());
    }
}
