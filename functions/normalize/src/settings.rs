//! The app settings of normalize.

use std::path::PathBuf;

use azure::credentials::CredentialSettings;
use mapping::Compatibility;
use secrecy::SecretString;
use serde::Deserialize;
use settings::{Checks, CompatibilitySettings, SettingsError, non_blank};
use url::Url;

/// Everything normalize needs to start, checked.
#[derive(Debug)]
pub struct Settings {
    /// `FUNCTIONS_CUSTOMHANDLER_PORT`: where the host wants the handler.
    pub port: u16,
    /// Where the device mapping lies.
    pub mapping: MappingPlace,
    /// The internal hub.
    pub output: HubSettings,
    /// How we show who we are.
    pub credential: CredentialSettings,
    /// `DeadLetters__Folder`: where rejected events go.
    pub dead_letters: PathBuf,
    /// `Ingest__Token`: who may post events; nobody when it is not set.
    pub ingest_token: Option<SecretString>,
    /// The `Compatibility__…` switches.
    pub compatibility: Compatibility,
}
