//! What a resource provider runs on this machine, by what it keeps of it in the state
//! folder of `iotc up` (resource-provider, `local/processes`).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use delivery::Stage;
use serde::Deserialize;

use crate::app_settings::AppSettings;

/// What is kept of a connector.
#[derive(Deserialize)]
struct Connector {
    workloads: Vec<Workload>,
}

/// One of its functions.
#[derive(Debug, Deserialize)]
pub struct Workload {
    name: String,
    function: Function,
    environment: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
enum Function {
    Normalize,
    GroupConvert,
}

impl Workload {
    /// The one of this name, or the only one of a stage; none where the folder has no
    /// connectors of a provider.
    ///
    /// # Errors
    ///
    /// There is none, or there are several; what is kept cannot be read.
    pub fn find(state: &Path, stage: Stage, name: Option<&str>) -> anyhow::Result<Option<Workload>> {
        let mut all = Workload::all(state)?;
        if all.is_empty() && name.is_none() {
            return Ok(None);
        }
        all.retain(|workload| workload.stage() == stage && name.is_none_or(|name| workload.name == name));
        match (all.len(), name) {
            (1, _) => Ok(all.pop()),
            (0, Some(name)) => bail!("no workload `{name}` does {} here", stage.as_str()),
            (0, None) => bail!("no connector does {} here", stage.as_str()),
            _ => {
                let reads = |workload: &Workload| {
                    let hub = workload.settings().get(&format!("{}EventHubName", super::source(stage)));
                    format!("\n  {}, which reads `{}`", workload.name, hub.unwrap_or_default())
                };
                let named: String = all.iter().map(reads).collect();
                bail!("which workload is it? `--workload` says so:{named}")
            }
        }
    }

    fn all(state: &Path) -> anyhow::Result<Vec<Workload>> {
        let folder = state.join("provider/connectors");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
            let file = entry.with_context(|| format!("cannot read `{}`", folder.display()))?.path();
            // Beside them may be one that is being written.
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let unreadable = || format!("cannot read `{}`", file.display());
            let text = std::fs::read_to_string(&file).with_context(unreadable)?;
            let connector: Connector = serde_json::from_str(&text).with_context(unreadable)?;
            all.extend(connector.workloads);
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn stage(&self) -> Stage {
        match self.function {
            Function::Normalize => Stage::Normalize,
            Function::GroupConvert => Stage::GroupConvert,
        }
    }

    /// Its app settings. A hub whose key is given to it when it starts is one of this
    /// machine.
    pub fn settings(&self) -> AppSettings {
        let mut settings = AppSettings::default();
        settings.set(&format!("{}EventHubNamespaceFQDN", super::source(self.stage())), Some("localhost"));
        for (name, value) in &self.environment {
            settings.set(name, Some(value));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A state folder with these workloads of one connector each.
    fn state(workloads: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let connectors = folder.path().join("provider/connectors");
        std::fs::create_dir_all(&connectors).unwrap();
        std::fs::write(connectors.join("a.json.new"), "{").unwrap();
        for (name, function, hub) in workloads {
            let environment = json!({ (format!("{}EventHubName", super::super::source(Stage::Normalize))): hub });
            let workload = json!({ "name": name, "function": function, "environment": environment, "deviceHub": null });
            let record = json!({ "workloads": [workload], "uids": {}, "isSuspended": false });
            std::fs::write(connectors.join(format!("{name}.json")), record.to_string()).unwrap();
        }
        folder
    }

    #[test]
    fn the_only_workload_of_a_stage_needs_no_name() {
        let state = state(&[("iotn-1", "Normalize", "telemetry"), ("iotd-1", "GroupConvert", "")]);
        let find = |stage, name| Workload::find(state.path(), stage, name).map(|found| found.map(|found| found.name));
        assert_eq!(find(Stage::Normalize, None).unwrap().as_deref(), Some("iotn-1"));
        assert_eq!(find(Stage::GroupConvert, Some("iotd-1")).unwrap().as_deref(), Some("iotd-1"));
        let wrong = find(Stage::Normalize, Some("iotd-1")).unwrap_err().to_string();
        assert_eq!(wrong, "no workload `iotd-1` does normalize here");
        let settings = Workload::find(state.path(), Stage::Normalize, None).unwrap().unwrap().settings();
        assert_eq!(settings.get("InputEventHub__EventHubNamespaceFQDN").as_deref(), Some("localhost"));
    }

    #[test]
    fn one_of_several_has_to_be_named() {
        let state = state(&[("iotn-1", "Normalize", "telemetry"), ("iotn-2", "Normalize", "pumps")]);
        let error = Workload::find(state.path(), Stage::Normalize, None).unwrap_err().to_string();
        let expected = "which workload is it? `--workload` says so:\n  iotn-1, which reads `telemetry`\n  iotn-2, which \
                        reads `pumps`";
        assert_eq!(error, expected);
        assert!(Workload::find(state.path(), Stage::GroupConvert, None).is_err());
    }

    #[test]
    fn a_state_without_a_provider_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Workload::find(folder.path(), Stage::Normalize, None).unwrap().is_none());
        assert!(Workload::find(folder.path(), Stage::Normalize, Some("iotn-1")).is_err());
    }
}
