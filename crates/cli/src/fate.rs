//! `iotc fate`: what became of one event, from the dead letters and the last
//! checkpoint.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use azure::CredentialSettings;
use delivery::{Positions, Source, Stage};
use local::functions_host::{Checkpoints, FolderCheckpoints, PartitionKey};
use serde::Serialize;
use settings::{Checks, PositionPlace};
use url::Url;

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
    /// The hub of the event.
    #[arg(long, value_name = "NAME", required_unless_present = "state")]
    event_hub: Option<String>,
    /// The namespace of the hub.
    #[arg(long, value_name = "HOST", required_unless_present = "state")]
    event_namespace: Option<String>,
    /// The consumer group that reads the hub.
    #[arg(long, value_name = "NAME", required_unless_present = "state")]
    event_consumer_group: Option<String>,
    /// The container of the checkpoints, such as
    /// `https://ACCOUNT.blob.core.windows.net/azure-webjobs-eventhub`; with a
    /// SAS or with `--checkpoint-authentication`.
    #[arg(long, value_name = "URL", required_unless_present = "state")]
    checkpoints: Option<Url>,
    /// How the container of the checkpoints is opened, as `--authentication`.
    #[arg(long, value_name = "KIND", default_value = "DeveloperTools")]
    checkpoint_authentication: String,
    /// The state folder of `iotc up`, which has all of it.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["checkpoints", "place"])]
    state: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
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

/// Prints the answer.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let source = arguments.source()?;
    let checkpoint = arguments.checkpoint(&source).await?;
    let letters = arguments.letters(&source).await?;
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
    fn source(&self) -> anyhow::Result<Source> {
        // What `iotc up` names its parts.
        let (hub, namespace, group) = match self.stage {
            _ if self.state.is_none() => (None, None, None),
            Stage::Normalize => (Some("devicedata"), Some("localhost"), Some("iot-connector")),
            Stage::GroupConvert => (Some("normalizeddata"), Some("localhost"), Some("iot-connector")),
        };
        let of = |given: &Option<String>, usual: Option<&str>| given.clone().or(usual.map(str::to_owned));
        Ok(Source {
            hub: of(&self.event_hub, hub).context("which hub is it? `--event-hub` says so")?,
            namespace: of(&self.event_namespace, namespace).context("`--event-namespace` is missing")?,
            consumer_group: of(&self.event_consumer_group, group).context("`--event-consumer-group` is missing")?,
            partition: self.partition.clone(),
        })
    }

    async fn checkpoint(&self, source: &Source) -> anyhow::Result<Option<i64>> {
        if let Some(state) = &self.state {
            let key = PartitionKey {
                namespace: source.namespace.clone(),
                hub: source.hub.clone(),
                consumer_group: source.consumer_group.clone(),
                partition: source.partition.clone(),
            };
            let checkpoint = FolderCheckpoints::new(&state.join("functions-host")).read(&key);
            if let Some(checkpoint) = checkpoint.context("the checkpoint cannot be read")? {
                return Ok(Some(checkpoint.sequence_number));
            }
            // With `--front native`.
            return self.stored(&PositionPlace::Folder(state.join("positions")), source).await;
        }
        let Some(url) = &self.checkpoints else { bail!("`--checkpoints` is missing") };
        let credential = match url.query() {
            Some(_) => None,
            None => Some(self.checkpoint_credential()?.credential()?),
        };
        self.stored(&PositionPlace::Container(url.clone(), credential), source).await
    }

    async fn stored(&self, place: &PositionPlace, source: &Source) -> anyhow::Result<Option<i64>> {
        let positions = place.of(source, self.stage.as_str()).map_err(anyhow::Error::msg);
        let positions = positions.context("the checkpoints cannot be read")?;
        let checkpoint = positions.checkpoint(&source.partition).await?;
        Ok(checkpoint.map(|(checkpoint, _)| checkpoint.sequence_number))
    }

    fn checkpoint_credential(&self) -> anyhow::Result<CredentialSettings> {
        let mut checks = Checks::default();
        let kind = Some(self.checkpoint_authentication.clone());
        let credential = settings::function::credential("--checkpoint-authentication", kind, &None, &mut checks);
        Ok(checks.finish(Some(credential))?)
    }

    /// The event's letters, those that were replayed included.
    async fn letters(&self, source: &Source) -> anyhow::Result<Vec<Listed>> {
        let place = match &self.state {
            Some(state) => PlaceArguments::in_folder(state.join("dead-letters")).open().await?,
            None => self.place.open().await?,
        };
        let filter = Filter {
            stage: Some(self.stage),
            origin: Some(source.hub.clone()),
            partition: Some(source.partition.clone()),
            first: Some(self.sequence),
            last: Some(self.sequence),
            replayed: true,
            ..Filter::default()
        };
        listed(&place, &filter).await
    }
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
