//! App settings on the command line: those of the environment, under the flags
//! that were given.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use settings::SettingsError;

/// Settings by name, in lower case.
#[derive(Clone, Default)]
pub struct AppSettings(BTreeMap<String, String>);

impl AppSettings {
    /// Those of the environment.
    pub fn environment() -> AppSettings {
        AppSettings(settings::environment().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }

    /// A flag counts more than the environment.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }

    /// A setting that is there.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(&name.to_ascii_lowercase()).cloned()
    }

    /// Leaves out all settings whose names begin with `prefix`.
    pub fn forget(&mut self, prefix: &str) {
        let prefix = prefix.to_ascii_lowercase();
        self.0.retain(|name, _| !name.starts_with(&prefix));
    }

    /// Reads them into a struct.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        settings::read(self.0.iter().map(|(name, value)| (name.clone(), value.clone())))
    }
}
