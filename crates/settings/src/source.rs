//! The settings of a process that reads its hub natively: which hub, where its
//! positions are, when a window closes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azure::sdk_hub::SdkReader;
use azure::{BlobPositions, ConnectionString, ExternalIdentity, SasHub, SasHubConfig, SdkHub, TokenCredential};
use delivery::{
    Away, Bounds, Checkpoint, Hub, HubEvent, Ownership, Positions, ReadError, Reader, Source, Start, Version,
    WindowMark, WindowRules,
};
use folder::PositionFolder;
use serde::Deserialize;
use url::Url;

use crate::function::credential;
use crate::hub::HubTexts;
use crate::identity::{HubAccess, hub_access};
use crate::{Checks, NamedHub, non_blank};

/// The settings as they are, besides those of the hub; flatten this into a
/// function's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NativeSettings {
    #[serde(rename = "checkpointstorage__blobstoragecontaineruri")]
    container: Option<String>,
    #[serde(rename = "checkpointstorage__authenticationtype")]
    authentication: Option<String>,
    #[serde(rename = "checkpointstorage__folder")]
    folder: Option<String>,
    #[serde(rename = "checkpoint__blobprefix")]
    prefix: Option<String>,
    #[serde(rename = "eventbatching__flushtimespan")]
    span: Option<String>,
    #[serde(rename = "eventbatching__maxevents")]
    max_events: Option<String>,
    #[serde(rename = "eventbatching__maxeventsallpartitions")]
    max_events_all_partitions: Option<String>,
    #[serde(rename = "eventbatching__maxbytes")]
    max_bytes: Option<String>,
    #[serde(rename = "http__listen")]
    listen: Option<String>,
    #[serde(rename = "process__name")]
    name: Option<String>,
    #[serde(rename = "process__stoponstdinend")]
    stop_on_stdin_end: Option<String>,
}

/// The settings of the hub that is read, whatever their names begin with.
#[derive(Clone, Debug, Default)]
pub struct SourceTexts {
    /// Namespace, name, authentication.
    pub hub: HubTexts,
    /// `…__EventHubConsumerGroup`.
    pub consumer_group: Option<String>,
    /// `…__ConnectionString`.
    pub connection_string: Option<String>,
    /// As whom the hub is opened when nothing else is said: for the customer's.
    pub external: Option<ExternalIdentity>,
}

/// What a native process needs besides its function.
#[derive(Debug)]
pub struct NativeOptions {
    /// The hub to read.
    pub hub: EitherHub,
    /// Where it stands.
    pub positions: EitherPositions,
    /// `EventBatching__…`.
    pub rules: WindowRules,
    /// What concerns the process.
    pub process: ProcessOptions,
}

/// What concerns a native process, whatever its hub.
#[derive(Clone, Debug, Default)]
pub struct ProcessOptions {
    /// `Process__Name`: what it calls itself among the others that read the
    /// hub; the same after a restart, and no two that run have the same.
    pub name: Option<String>,
    /// `Http__Listen`.
    pub listen: Option<SocketAddr>,
    /// `Process__StopOnStdinEnd`.
    pub stop_on_stdin_end: bool,
}

/// Where positions are kept.
#[derive(Clone)]
pub enum PositionPlace {
    /// In a blob container; with a SAS in the URL there is no credential.
    Container(Url, Option<Arc<dyn TokenCredential>>),
    /// In a folder of this machine.
    Folder(PathBuf),
}

impl std::fmt::Debug for PositionPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // The URL may carry a SAS.
            PositionPlace::Container(url, _) => f.debug_tuple("Container").field(&url.path()).finish(),
            PositionPlace::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
        }
    }
}

impl PositionPlace {
    /// The positions there of a hub that the function `reader` reads; the error
    /// says what is wrong.
    pub fn of(&self, source: &Source, reader: &'static str) -> Result<EitherPositions, String> {
        match self {
            PositionPlace::Container(url, credential) => BlobPositions::new(url, (source, reader), credential.clone())
                .map(EitherPositions::Blobs)
                .map_err(|error| error.to_string()),
            PositionPlace::Folder(path) => PositionFolder::new(path, source, reader)
                .map(EitherPositions::Folder)
                .map_err(|error| error.to_string()),
        }
    }
}

/// Checked settings of positions and windows.
#[derive(Clone, Debug, Default)]
pub struct PositionOptions {
    /// Where positions are kept, if anywhere.
    pub place: Option<PositionPlace>,
    /// When a window closes.
    pub rules: WindowRules,
    /// What concerns the process.
    pub process: ProcessOptions,
}

impl NativeSettings {
    /// Checks the settings.
    pub fn check(self, client_id: &Option<String>, checks: &mut Checks) -> PositionOptions {
        const CONTAINER: &str = "CheckpointStorage__BlobStorageContainerUri";
        let container = checks.url(CONTAINER, self.container);
        let authentication = "CheckpointStorage__AuthenticationType";
        let credential = credential(authentication, self.authentication, client_id, checks);
        let folder = non_blank(self.folder).map(PathBuf::from);
        if container.is_some() && folder.is_some() {
            checks.problem(format!("app settings `{CONTAINER}` and `CheckpointStorage__Folder` exclude each other"));
        }
        let place = match container {
            None => folder.map(PositionPlace::Folder),
            Some(url) if url.query().is_some() => Some(PositionPlace::Container(url, None)),
            Some(url) => match credential.credential() {
                Ok(credential) => Some(PositionPlace::Container(url, Some(credential))),
                Err(error) => {
                    checks.problem(format!("app setting `{CONTAINER}` cannot be used: {error}"));
                    None
                }
            },
        };
        if non_blank(self.prefix).is_some() {
            checks.problem(
                "app setting `Checkpoint__BlobPrefix` is set; expected nothing: a scaler finds positions only at the \
                 top of the container, so give each connector or destination a container of its own"
                    .to_owned(),
            );
        }
        let usual = WindowRules::default();
        let (span, events) = ("EventBatching__FlushTimespan", "EventBatching__MaxEvents");
        let all = "EventBatching__MaxEventsAllPartitions";
        let expected = "a whole number from 1 to 1000000";
        let rules = WindowRules {
            span: Duration::from_secs(checks.number(span, self.span, 1..=86_400, usual.span.as_secs())),
            max_events: checks.number(events, self.max_events, 1..=100_000, usual.max_events as u64) as usize,
            max_events_all_partitions: checks.optional(all, self.max_events_all_partitions, expected, |text| {
                text.parse().ok().filter(|events| (1..=1_000_000).contains(events))
            }),
            max_bytes: checks.number(
                "EventBatching__MaxBytes",
                self.max_bytes,
                1024..=64 * 1024 * 1024,
                usual.max_bytes as u64,
            ) as usize,
        };
        let expected = "an address and port such as `0.0.0.0:8080`";
        let listen = checks.optional("Http__Listen", self.listen, expected, |text| text.parse().ok());
        let stop_on_stdin_end = checks.flag("Process__StopOnStdinEnd", self.stop_on_stdin_end, false);
        let process = ProcessOptions { name: non_blank(self.name), listen, stop_on_stdin_end };
        PositionOptions { place, rules, process }
    }
}

impl SourceTexts {
    /// The name of the hub, when there is one: that of a connection string that
    /// is used goes before all others, and `host_namespace`, as the Functions
    /// host has it, before the one here.
    pub fn named(&self, prefix: &'static str, host_namespace: &Option<String>) -> Option<NamedHub> {
        let wanted = non_blank(self.hub.authentication.clone());
        let by_string = wanted.is_none_or(|wanted| wanted.trim().eq_ignore_ascii_case("ConnectionString"));
        let string = non_blank(self.connection_string.clone()).filter(|_| by_string);
        // What is wrong with it is said elsewhere.
        let string = string.and_then(|text| text.trim().parse::<ConnectionString>().ok());
        let (namespace, hub) = match &string {
            Some(string) => (Some(string.namespace().to_owned()), string.hub().map(str::to_owned)),
            None => (non_blank(host_namespace.clone()).or(self.hub.namespace.clone()), None),
        };
        NamedHub::new(prefix, namespace, hub.or(self.hub.hub.clone()))
    }

    /// The hub and its positions for the function `reader` as a process of its
    /// own; `prefix` is what the names of the hub's settings begin with. None
    /// when a problem was found.
    pub fn check(
        self,
        (prefix, reader): (&str, &'static str),
        client_id: &Option<String>,
        positions: PositionOptions,
        checks: &mut Checks,
    ) -> Option<NativeOptions> {
        let hub = self.hub(prefix, client_id, checks);
        let PositionOptions { place, rules, process } = positions;
        let Some(place) = place else {
            checks.problem(
                "app setting `CheckpointStorage__BlobStorageContainerUri` is not set; expected the URL of a blob \
                 container (or `CheckpointStorage__Folder`, on one machine) for positions: no Functions host set \
                 `FUNCTIONS_CUSTOMHANDLER_PORT`, so the process reads its hub itself"
                    .to_owned(),
            );
            return None;
        };
        let hub = hub?;
        match place.of(&hub.source(""), reader) {
            Ok(positions) => Some(NativeOptions { hub, positions, rules, process }),
            Err(error) => {
                checks
                    .problem(format!("the settings `{prefix}__…` and `CheckpointStorage__…` cannot be used: {error}"));
                None
            }
        }
    }

    fn hub(self, prefix: &str, client_id: &Option<String>, checks: &mut Checks) -> Option<EitherHub> {
        let group = non_blank(self.consumer_group).unwrap_or_else(|| "$default".to_owned());
        let texts = (self.hub.authentication.clone(), self.connection_string);
        let credential = match hub_access(prefix, texts, self.external.as_ref(), client_id, checks)? {
            HubAccess::Credential(credential) => credential,
            HubAccess::ConnectionString(connection) => {
                let config = SasHubConfig::new(connection, self.hub.hub.as_deref(), &group);
                return match config.and_then(SasHub::new) {
                    Ok(hub) => Some(EitherHub::Sas(hub)),
                    Err(error) => {
                        checks.problem(format!("app setting `{prefix}__ConnectionString` cannot be used: {error}"));
                        None
                    }
                };
            }
        };
        let texts = HubTexts { authentication: None, ..self.hub };
        let (config, _) = texts.check(prefix, "the name of the hub to read", client_id, checks);
        match SdkHub::new(config, group, &credential) {
            Ok(hub) => Some(EitherHub::Sdk(hub)),
            Err(error) => {
                checks.problem(format!("the settings `{prefix}__…` cannot be used: {error}"));
                None
            }
        }
    }
}

/// A hub that is read with tokens, or with a connection string.
#[derive(Debug)]
pub enum EitherHub {
    /// With tokens.
    Sdk(SdkHub),
    /// With a connection string.
    Sas(SasHub),
}

/// Reads a partition of an [`EitherHub`].
#[derive(Debug)]
pub enum EitherReader {
    /// With tokens.
    Sdk(SdkReader),
    /// With a connection string.
    Sas(Box<<SasHub as Hub>::Reader>),
}

impl Hub for EitherHub {
    type Reader = EitherReader;

    fn source(&self, partition: &str) -> Source {
        match self {
            EitherHub::Sdk(hub) => hub.source(partition),
            EitherHub::Sas(hub) => hub.source(partition),
        }
    }

    async fn partitions(&self) -> Result<Vec<String>, Away> {
        match self {
            EitherHub::Sdk(hub) => hub.partitions().await,
            EitherHub::Sas(hub) => hub.partitions().await,
        }
    }

    async fn bounds(&self, partition: &str) -> Result<Bounds, Away> {
        match self {
            EitherHub::Sdk(hub) => hub.bounds(partition).await,
            EitherHub::Sas(hub) => hub.bounds(partition).await,
        }
    }

    async fn open(&self, partition: &str, from: Start, credit: usize) -> Result<EitherReader, Away> {
        match self {
            EitherHub::Sdk(hub) => hub.open(partition, from, credit).await.map(EitherReader::Sdk),
            EitherHub::Sas(hub) => {
                hub.open(partition, from, credit).await.map(|reader| EitherReader::Sas(Box::new(reader)))
            }
        }
    }
}

impl Reader for EitherReader {
    async fn next(&mut self) -> Result<HubEvent, ReadError> {
        match self {
            EitherReader::Sdk(reader) => reader.next().await,
            EitherReader::Sas(reader) => reader.next().await,
        }
    }
}

/// Positions in blobs, or in a folder.
#[derive(Debug)]
pub enum EitherPositions {
    /// In blobs.
    Blobs(BlobPositions),
    /// In a folder.
    Folder(PositionFolder),
}

macro_rules! either {
    ($self:expr, $positions:ident => $act:expr) => {
        match $self {
            EitherPositions::Blobs($positions) => $act.await,
            EitherPositions::Folder($positions) => $act.await,
        }
    };
}

impl Positions for EitherPositions {
    async fn ownerships(&self) -> Result<Vec<Ownership>, Away> {
        either!(self, positions => positions.ownerships())
    }

    async fn claim(
        &self,
        partition: &str,
        owner: Option<&str>,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        either!(self, positions => positions.claim(partition, owner, expected))
    }

    async fn checkpoint(&self, partition: &str) -> Result<Option<(Checkpoint, Version)>, Away> {
        either!(self, positions => positions.checkpoint(partition))
    }

    async fn write_checkpoint(
        &self,
        partition: &str,
        checkpoint: &Checkpoint,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        either!(self, positions => positions.write_checkpoint(partition, checkpoint, expected))
    }

    async fn window(&self, partition: &str) -> Result<Option<(WindowMark, Version)>, Away> {
        either!(self, positions => positions.window(partition))
    }

    async fn write_window(
        &self,
        partition: &str,
        window: &WindowMark,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        either!(self, positions => positions.write_window(partition, window, expected))
    }

    async fn forget_others(&self, expiry: Duration) -> Result<Vec<String>, Away> {
        either!(self, positions => positions.forget_others(expiry))
    }
}
