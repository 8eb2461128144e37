//! `iotc fate`: what became of one event, from the dead letters and the last
//! checkpoint.

mod provider;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use azure::ConnectionString;
use delivery::{Positions, Source, Stage};
use folder::DeadLetterFolder;
use local::functions_host::{Checkpoints, FolderCheckpoints, PartitionKey};
use serde::{Deserialize, Serialize};
use settings::{Checks, NativeSettings, PositionPlace};

use self::provider::Workload;
use crate::app_settings::AppSettings;
use crate::dead_letters::place::{Place, PlaceArguments};
use crate::dead_letters::{Filter, Listed, stage};
use crate::output;

/// Arguments of `iotc fate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The partition of the event.
    #[arg(long, value_name = "PARTITION")]
    partition: String,
    /// The sequence number of the event.
    #[arg(long, value_name = "NUMBER")]
    sequence: i64,
    /// Whose work it is: `normalize` for an event of the device hub,
    /// `group-convert` for one of the internal hub.
    #[arg(long, value_name = "STAGE", default_value = "normalize", value_parser = stage)]
    stage: Stage,
    /// The state folder of `iotc up`, which has all of it.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["place", "event_hub", "checkpoints"])]
    state: Option<PathBuf>,
    /// Which function it is, where the state is that of `iotc up --with-provider` and
    /// several connectors or destinations run.
    #[arg(long, value_name = "NAME", requires = "state")]
    workload: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Flags that stand for settings of the function.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where the event is, and how far its hub is worked through \
                               (without these, the app settings of the function)")]
struct SourceArguments {
    /// The hub (InputEventHub__EventHubName, NormalizationEventHub__…).
    #[arg(long, value_name = "NAME", requires = "event_namespace")]
    event_hub: Option<String>,
    /// Its namespace (…__EventHubNamespaceFQDN).
    #[arg(long, value_name = "HOST", requires = "event_hub")]
    event_namespace: Option<String>,
    /// The consumer group that reads it (…__EventHubConsumerGroup).
    #[arg(long, value_name = "NAME")]
    event_consumer_group: Option<String>,
    /// The container of the checkpoints, such as
    /// `https://ACCOUNT.blob.core.windows.net/azure-webjobs-eventhub`
    /// (CheckpointStorage__BlobStorageContainerUri).
    #[arg(long, value_name = "URL")]
    checkpoints: Option<String>,
    /// How it is opened, as `--authentication`.
    #[arg(long, value_name = "KIND", requires = "checkpoints", default_value = "DeveloperTools")]
    checkpoint_authentication: String,
}

/// Where checkpoints are.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "internalidentity__clientid")]
    client_id: Option<String>,
    #[serde(flatten)]
    native: NativeSettings,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    fate: Fate,
    /// The sequence number of the last event that everything is done for.
    checkpoint: Option<i64>,
    /// The event's dead letters.
    letters: Vec<Listed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fate {
    /// It is among the dead letters.
    Rejected,
    /// It is done, and not among the dead letters.
    WorkedThrough,
    /// Its turn has not come, or is not over.
    NotYet,
}

/// Where to look.
struct Target {
    source: Source,
    checkpoint: Option<i64>,
    /// None where nothing was ever rejected.
    letters: Option<Place>,
}

/// What the names of the settings begin with that say where a stage reads.
fn source(stage: Stage) -> &'static str {
    match stage {
        Stage::Normalize => "InputEventHub__",
        Stage::GroupConvert => "NormalizationEventHub__",
    }
}

/// Prints the answer.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let target = match &arguments.state {
        Some(state) => arguments.local(state).await?,
        None => {
            let (source, checkpoint) = arguments.deployed(&arguments.settings()).await?;
            Target { source, checkpoint, letters: Some(arguments.place.open().await?) }
        }
    };
    let letters = arguments.letters(&target).await?;
    let checkpoint = target.checkpoint;
    let answer = Answer { fate: fate(&letters, checkpoint, arguments.sequence), checkpoint, letters };
    if arguments.json {
        output::print(&serde_json::to_string_pretty(&answer)?)?;
    } else {
        output::print(&answer.text(arguments.stage))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fate(letters: &[Listed], checkpoint: Option<i64>, sequence: i64) -> Fate {
    match checkpoint {
        _ if !letters.is_empty() => Fate::Rejected,
        Some(checkpoint) if checkpoint >= sequence => Fate::WorkedThrough,
        _ => Fate::NotYet,
    }
}

impl Arguments {
    /// What `iotc up` runs: the functions, whichever front reads, or those that a
    /// provider made.
    async fn local(&self, state: &Path) -> anyhow::Result<Target> {
        if !state.is_dir() {
            anyhow::bail!("there is no folder `{}`", state.display());
        }
        if let Some(workload) = Workload::find(state, self.stage, self.workload.as_deref())? {
            let settings = workload.settings();
            let (source, checkpoint) = self.deployed(&settings).await?;
            let letters = settings.get("DeadLetters__Folder").and_then(|folder| letters_in(folder.into()));
            return Ok(Target { source, checkpoint, letters });
        }
        let hub = match self.stage {
            Stage::Normalize => "devicedata",
            Stage::GroupConvert => "normalizeddata",
        };
        let source = Source {
            namespace: "localhost".to_owned(),
            hub: hub.to_owned(),
            consumer_group: "iot-connector".to_owned(),
            partition: self.partition.clone(),
        };
        let key = PartitionKey {
            namespace: source.namespace.clone(),
            hub: source.hub.clone(),
            consumer_group: source.consumer_group.clone(),
            partition: source.partition.clone(),
        };
        let of_host = FolderCheckpoints::new(&state.join("functions-host")).read(&key);
        let of_host = of_host.context("the checkpoint cannot be read")?.map(|checkpoint| checkpoint.sequence_number);
        let native = PositionPlace::Folder(state.join("positions"));
        let native = self.checkpoint(&native, &source).await?;
        Ok(Target { source, checkpoint: of_host.max(native), letters: letters_in(state.join("dead-letters")) })
    }

    /// The app settings of the environment, under the flags.
    fn settings(&self) -> AppSettings {
        let (prefix, flags) = (source(self.stage), &self.source);
        let mut settings = AppSettings::environment();
        if flags.event_hub.is_some() {
            settings.forget(prefix);
        }
        settings.set(&format!("{prefix}EventHubName"), flags.event_hub.as_deref());
        settings.set(&format!("{prefix}EventHubNamespaceFQDN"), flags.event_namespace.as_deref());
        settings.set(&format!("{prefix}EventHubConsumerGroup"), flags.event_consumer_group.as_deref());
        if flags.checkpoints.is_some() {
            settings.forget("CheckpointStorage__");
            settings.set("CheckpointStorage__BlobStorageContainerUri", flags.checkpoints.as_deref());
            settings.set("CheckpointStorage__AuthenticationType", Some(&flags.checkpoint_authentication));
        }
        settings
    }

    /// The hub and the checkpoint that app settings name.
    async fn deployed(&self, settings: &AppSettings) -> anyhow::Result<(Source, Option<i64>)> {
        let raw: Raw = settings.read()?;
        let mut checks = Checks::default();
        let place = raw.native.check(&raw.client_id, &mut checks).place;
        let place = checks.finish(Some(place))?.context("where are the checkpoints? `--checkpoints` says so")?;
        let source = self.named(settings, source(self.stage))?;
        let checkpoint = self.checkpoint(&place, &source).await?;
        Ok((source, checkpoint))
    }

    fn named(&self, settings: &AppSettings, prefix: &str) -> anyhow::Result<Source> {
        let get = |name: &str| settings.get(&format!("{prefix}{name}"));
        let (mut namespace, mut hub) = (get("EventHubNamespaceFQDN"), get("EventHubName"));
        if let Some(text) = get("ConnectionString") {
            let connection: ConnectionString = text.parse().context("the connection string cannot be used")?;
            namespace = Some(connection.namespace().to_owned());
            hub = hub.or_else(|| connection.hub().map(str::to_owned));
        }
        Ok(Source {
            namespace: namespace.context("which namespace is it? `--event-namespace` says so")?,
            hub: hub.context("which hub is it? `--event-hub` says so")?,
            consumer_group: get("EventHubConsumerGroup").unwrap_or_else(|| "$Default".to_owned()),
            partition: self.partition.clone(),
        })
    }

    async fn checkpoint(&self, place: &PositionPlace, source: &Source) -> anyhow::Result<Option<i64>> {
        let positions = place.of(source, self.stage.as_str()).map_err(anyhow::Error::msg)?;
        let checkpoint = positions.checkpoint(&source.partition).await?;
        Ok(checkpoint.map(|(checkpoint, _)| checkpoint.sequence_number))
    }

    /// The event's letters, those that were replayed included.
    async fn letters(&self, target: &Target) -> anyhow::Result<Vec<Listed>> {
        let Some(place) = &target.letters else { return Ok(Vec::new()) };
        let filter = Filter {
            stage: Some(self.stage),
            origin: Some(target.source.hub.clone()),
            partition: Some(target.source.partition.clone()),
            first: Some(self.sequence),
            last: Some(self.sequence),
            replayed: true,
            ..Filter::default()
        };
        listed(place, &filter).await
    }
}

/// The letters of a folder, which is made with the first.
fn letters_in(folder: PathBuf) -> Option<Place> {
    folder.is_dir().then(|| Place::Folder(DeadLetterFolder::new(folder)))
}

async fn listed(place: &Place, filter: &Filter) -> anyhow::Result<Vec<Listed>> {
    let mut found = Vec::new();
    for key in filter.keys(place).await? {
        let letter = place.read(&key).await?;
        if filter.fits(&letter) {
            found.push(Listed::new(&key, &letter));
        }
    }
    Ok(found)
}

impl Answer {
    fn text(&self, stage: Stage) -> String {
        let checkpoint = match self.checkpoint {
            Some(checkpoint) => format!("the checkpoint is at {checkpoint}"),
            None => "there is no checkpoint".to_owned(),
        };
        match (self.fate, stage) {
            (Fate::Rejected, _) => {
                let letters: Vec<_> = self.letters.iter().map(ToString::to_string).collect();
                format!("rejected; {checkpoint}\n{}", letters.join("\n"))
            }
            (Fate::WorkedThrough, Stage::Normalize) => {
                format!("worked through: normalized or unmatched; {checkpoint}")
            }
            (Fate::WorkedThrough, Stage::GroupConvert) => {
                format!("worked through: its measurements are saved, superseded or parked; {checkpoint}")
            }
            (Fate::NotYet, _) => format!("not yet; {checkpoint}"),
        }
    }
}
