//! The cluster of this machine: the functions of each connector, as processes.
//!
//! ```text
//! CONNECTORS/<connector>.json   what is to run; on disk before anything starts
//! ```
//!
//! A provider that starts over such a folder runs again what ran before.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arm::ErrorCode;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::environment::{Surroundings, Workload, workloads};
use super::files;
use super::process::{LOOK_PERIOD, Programs, Supervised};
use crate::documents::{KubernetesObject, ScaleInfo};
use crate::ports::{Cluster, ConnectorSpec, PortError, WorkloadStatus};

/// How long processes may take to be gone, which is longer than it takes to kill
/// them.
const GONE_LIMIT: Duration = Duration::from_secs(60);
/// How long a process may take to say that it is well.
const HEALTH_LIMIT: Duration = Duration::from_secs(2);

/// What is to run of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    workloads: Vec<Workload>,
    /// What each is known by, as long as it is there.
    uids: BTreeMap<String, String>,
    is_suspended: bool,
}

/// The functions of all connectors.
#[derive(Debug)]
pub struct Processes {
    folder: PathBuf,
    surroundings: Surroundings,
    programs: Arc<Programs>,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the connectors' names.
    records: HashMap<String, Record>,
    /// By the workloads' names.
    running: HashMap<String, Supervised>,
}

impl Processes {
    /// Reads what ran before and runs it again. Needs a runtime.
    ///
    /// # Errors
    ///
    /// A record cannot be read.
    pub fn open(
        folder: PathBuf,
        surroundings: Surroundings,
        programs: Programs,
        client: reqwest::Client,
    ) -> io::Result<Processes> {
        for made in [&folder, &programs.logs] {
            super::files::make_folder(made)?;
        }
        let (programs, mut state) = (Arc::new(programs), State::default());
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if let (Some(name), true) = (connector_of(&path), path.is_file())
                && let Some(record) = files::read::<Record>(&path)?
            {
                state.records.insert(name.clone(), record);
                state.run(&name, &programs);
            }
        }
        Ok(Processes { folder, surroundings, programs, client, state: Mutex::new(state) })
    }

    fn file(&self, connector: &str) -> PathBuf {
        self.folder.join(format!("{connector}.json"))
    }

    async fn until_gone(&self, names: &[String]) -> Result<(), PortError> {
        let deadline = Instant::now() + GONE_LIMIT;
        for name in names {
            while !self.programs.is_gone(name)? {
                if Instant::now() > deadline {
                    return Err(unavailable(format!("the process of `{name}` does not end")));
                }
                tokio::time::sleep(LOOK_PERIOD).await;
            }
            self.programs.forget(name)?;
        }
        Ok(())
    }

    async fn is_well(&self, url: &str) -> bool {
        let answer = self.client.get(url).timeout(HEALTH_LIMIT).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

/// The connector whose record a file is.
fn connector_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    Some(name.to_owned())
}

impl State {
    /// Starts and stops until just that runs of a connector which is to.
    fn run(&mut self, connector: &str, programs: &Arc<Programs>) {
        let Some(record) = self.records.get(connector) else { return };
        for workload in &record.workloads {
            let runs = self.running.get(&workload.name).is_some_and(|running| running.workload == *workload);
            if runs && !record.is_suspended {
                continue;
            }
            // One of other settings stops, and the new one waits until it is gone.
            self.running.remove(&workload.name);
            if !record.is_suspended {
                let started = Supervised::start(programs.clone(), workload.clone());
                self.running.insert(workload.name.clone(), started);
            }
        }
    }
}

#[async_trait]
impl Cluster for Processes {
    async fn apply(&self, _: &ScaleInfo, connector: &ConnectorSpec) -> Result<(), PortError> {
        let mut state = self.state.lock().await;
        let wanted = workloads(connector, &self.surroundings);
        let before = state.records.get(&connector.name);
        let uid = |name: &str| {
            let known = before.and_then(|before| before.uids.get(name)).cloned();
            (name.to_owned(), known.unwrap_or_else(|| Uuid::new_v4().to_string()))
        };
        let uids = wanted.iter().map(|workload| uid(&workload.name)).collect();
        let dropped: Vec<String> = before.map_or_else(Vec::new, |before| {
            let names = before.workloads.iter().map(|workload| workload.name.clone());
            names.filter(|name| wanted.iter().all(|workload| workload.name != *name)).collect()
        });
        let record = Record { workloads: wanted, uids, is_suspended: connector.is_suspended };
        if before != Some(&record) {
            let file = self.file(&connector.name);
            files::write(&file, &record).map_err(|error| files::failed(&file, &error))?;
            state.records.insert(connector.name.clone(), record);
        }
        for name in dropped {
            state.running.remove(&name);
        }
        state.run(&connector.name, &self.programs);
        Ok(())
    }

    async fn workload(
        &self,
        _: &ScaleInfo,
        connector: &str,
        workload: &str,
    ) -> Result<Option<WorkloadStatus>, PortError> {
        let state = self.state.lock().await;
        let record = state.records.get(connector);
        let Some(uid) = record.and_then(|record| record.uids.get(workload)) else {
            drop(state);
            if self.programs.is_gone(workload)? {
                self.programs.forget(workload)?;
                return Ok(None);
            }
            let object = KubernetesObject { uid: String::new(), name: workload.to_owned() };
            return Ok(Some(WorkloadStatus { object, is_ready: false }));
        };
        let object = KubernetesObject { uid: uid.clone(), name: workload.to_owned() };
        // One that is at zero is as it was asked for.
        let is_suspended = record.is_some_and(|record| record.is_suspended);
        let url = state.running.get(workload).and_then(Supervised::health_url);
        drop(state);
        let is_ready = match url {
            Some(url) => self.is_well(&url).await,
            None => is_suspended,
        };
        Ok(Some(WorkloadStatus { object, is_ready }))
    }

    async fn delete(&self, _: &ScaleInfo, connector: &str) -> Result<(), PortError> {
        let names: Vec<String> = {
            let mut state = self.state.lock().await;
            let Some(record) = state.records.get(connector) else { return Ok(()) };
            let names: Vec<String> = record.workloads.iter().map(|workload| workload.name.clone()).collect();
            for name in &names {
                state.running.remove(name);
            }
            names
        };
        self.until_gone(&names).await?;
        // Last: a delete that broke off before finds again what it has to wait for.
        let file = self.file(connector);
        files::remove(&file).map_err(|error| files::failed(&file, &error))?;
        self.state.lock().await.records.remove(connector);
        Ok(())
    }
}

fn unavailable(message: String) -> PortError {
    PortError::transient(ErrorCode::ClusterUnavailable, message)
}
