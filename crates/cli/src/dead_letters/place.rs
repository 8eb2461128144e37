//! Where the dead letters are: named by flags, or by the app settings
//! `DeadLetters__…` as for the functions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use azure::dead_letter_hub::read_letters;
use azure::{DeadLetterBlobs, SdkHub};
use delivery::StoredDeadLetter;
use delivery::stored_letter::LetterKey;
use folder::DeadLetterFolder;
use futures::future::try_join_all;
use serde::Deserialize;
use settings::{Checks, DeadLetterPlace, DeadLetterSettings};

use crate::app_settings::AppSettings;

/// How many letters are read at the same time: a container answers one in
/// some tens of milliseconds, and one letter has a MB or two at the most.
pub const READ_AT_ONCE: usize = 16;

/// Flags that name the place.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where the dead letters are (without these, the app settings DeadLetters__…)")]
pub struct PlaceArguments {
    /// A folder.
    #[arg(long, value_name = "FOLDER", group = "place")]
    folder: Option<PathBuf>,
    /// A blob container, with a SAS or with `--authentication`. A SAS is better
    /// given as DeadLetters__BlobStorageContainerUri, where no process list
    /// shows it.
    #[arg(long, value_name = "URL", group = "place")]
    container: Option<String>,
    /// A hub, with `--namespace`.
    #[arg(long, value_name = "NAME", group = "place", requires = "namespace")]
    hub: Option<String>,
    /// The namespace of the hub, such as `contoso.servicebus.windows.net`.
    #[arg(long, value_name = "HOST", requires = "hub")]
    namespace: Option<String>,
    /// Another address to dial for the hub, for a local stack.
    #[arg(long, value_name = "ADDRESS", requires = "hub")]
    endpoint: Option<String>,
    /// The consumer group to read the hub as.
    #[arg(long, value_name = "NAME", default_value = "$Default")]
    consumer_group: String,
    /// How container or hub are opened: `DeveloperTools`, `ManagedIdentity`,
    /// `WorkloadIdentity` or `Development`.
    #[arg(long, value_name = "KIND")]
    authentication: Option<String>,
}

/// The settings that name the place.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "internalidentity__clientid")]
    client_id: Option<String>,
    #[serde(flatten)]
    letters: DeadLetterSettings,
}

/// An opened place.
#[derive(Debug)]
pub enum Place {
    /// A folder.
    Folder(DeadLetterFolder),
    /// A container.
    Blobs(DeadLetterBlobs),
    /// What a hub held when it was opened.
    Hub(BTreeMap<String, StoredDeadLetter>),
}

impl PlaceArguments {
    /// Whether a flag names a place.
    pub fn is_given(&self) -> bool {
        self.folder.is_some() || self.container.is_some() || self.hub.is_some()
    }

    /// Opens the place; a hub is read, whole.
    pub async fn open(&self) -> anyhow::Result<Place> {
        let mut settings = AppSettings::environment();
        if self.is_given() {
            settings.forget("DeadLetters__");
            let folder = self.folder.as_ref().map(|folder| folder.display().to_string());
            settings.set("DeadLetters__Folder", folder.as_deref());
            settings.set("DeadLetters__BlobStorageContainerUri", self.container.as_deref());
            settings.set("DeadLetters__EventHubName", self.hub.as_deref());
            settings.set("DeadLetters__EventHubNamespaceFQDN", self.namespace.as_deref());
            settings.set("DeadLetters__CustomEndpoint", self.endpoint.as_deref());
            // A person at a terminal is rarely a managed identity.
            settings.set("DeadLetters__AuthenticationType", Some("DeveloperTools"));
        }
        settings.set("DeadLetters__AuthenticationType", self.authentication.as_deref());
        let raw: Raw = settings.read()?;
        let mut checks = Checks::default();
        let place = raw.letters.place(&raw.client_id, &mut checks);
        match checks.finish(place).context("name the place of the dead letters, such as with `--folder`")? {
            // A misspelt one would be taken for one without letters.
            DeadLetterPlace::Folder(folder) if !folder.is_dir() => {
                anyhow::bail!("there is no folder `{}`", folder.display())
            }
            DeadLetterPlace::Folder(folder) => Ok(Place::Folder(DeadLetterFolder::new(folder))),
            DeadLetterPlace::Container(url, credential) => {
                let blobs = DeadLetterBlobs::new(&url, &credential).context("the container cannot be used")?;
                Ok(Place::Blobs(blobs))
            }
            DeadLetterPlace::Hub(config, credential) => {
                let hub = SdkHub::new(*config, &self.consumer_group, &credential)?;
                let found = read_letters(&hub).await.context("the hub of dead letters cannot be read")?;
                if found.others > 0 {
                    eprintln!("{} events of the hub are no dead letters", found.others);
                }
                Ok(Place::Hub(found.letters))
            }
        }
    }
}

impl Place {
    /// The keys of all letters, sorted.
    pub async fn keys(&self) -> anyhow::Result<Vec<LetterKey>> {
        match self {
            Place::Folder(folder) => folder.keys().context("the folder of dead letters cannot be read"),
            Place::Blobs(blobs) => blobs.keys("").await.context("the container of dead letters cannot be read"),
            Place::Hub(letters) => {
                let key = |text: &String| LetterKey { text: text.clone(), replayed: false };
                Ok(letters.keys().map(key).collect())
            }
        }
    }

    /// The letter with this key.
    pub async fn read(&self, key: &LetterKey) -> anyhow::Result<StoredDeadLetter> {
        let unreadable = || format!("the dead letter `{}` cannot be read", key.text);
        match self {
            Place::Folder(folder) => folder.read(key).with_context(unreadable),
            Place::Blobs(blobs) => blobs.read(key).await.with_context(unreadable),
            Place::Hub(letters) => letters.get(&key.text).cloned().with_context(unreadable),
        }
    }

    /// Several letters, read at the same time, in the order of their keys; no
    /// more than [`READ_AT_ONCE`].
    pub async fn read_some(&self, keys: &[LetterKey]) -> anyhow::Result<Vec<StoredDeadLetter>> {
        try_join_all(keys.iter().map(|key| self.read(key))).await
    }

    /// Takes a letter out of those that wait. A hub keeps what it has.
    pub async fn mark_replayed(&self, key: &str) -> anyhow::Result<()> {
        let unmarked = || format!("the dead letter `{key}` was replayed, and cannot be taken out of those that wait");
        match self {
            Place::Folder(folder) => folder.mark_replayed(key).with_context(unmarked),
            Place::Blobs(blobs) => blobs.mark_replayed(key).await.with_context(unmarked),
            Place::Hub(_) => Ok(()),
        }
    }
}
