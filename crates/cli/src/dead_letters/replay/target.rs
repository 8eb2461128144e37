//! Where replayed events go: through the device mapping and to the internal
//! hub, with the settings of normalize.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use azure::{HubOutput, PropertiedEvent};
use delivery::replay::REPLAY_PROPERTY;
use delivery::{
    Away, Batch, BatchEvent, Compiled, CurrentMapping, DeadLetter, DeadLetters, Fence, KeptProperties,
    MeasurementOutput, Normalizer, OutgoingMeasurements, Source, Stage, StoredDeadLetter, Unfenced,
};
use mapping::compatibility::OnFailure;
use mapping::partition::PartitionKey;
use mapping::{Compatibility, DeviceMapping, Measurement};
use serde::Deserialize;
use serde_json::{Map, Value};
use settings::{Checks, CompatibilitySettings, NormalizationHubSettings, TemplateSettings, switches};

use super::{Event, Outcome};
use crate::app_settings::AppSettings;

/// Flags that stand for settings of normalize.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where they go (without these, the app settings of normalize)")]
pub struct TargetArguments {
    /// The device mapping: a file, or a blob's name (Template__DeviceContent).
    #[arg(long, value_name = "MAPPING")]
    device_mapping: Option<PathBuf>,
    /// The internal hub (NormalizationEventHub__EventHubName).
    #[arg(long, value_name = "NAME")]
    internal_hub: Option<String>,
    /// Its namespace (NormalizationEventHub__EventHubNamespaceFQDN).
    #[arg(long, value_name = "HOST")]
    internal_namespace: Option<String>,
    /// How it is opened (NormalizationEventHub__AuthenticationType).
    #[arg(long, value_name = "KIND")]
    internal_authentication: Option<String>,
    /// Another address to dial (NormalizationEventHub__CustomEndpoint).
    #[arg(long, value_name = "ADDRESS")]
    internal_endpoint: Option<String>,
    /// Send letters of group-convert to another hub than the one they came from.
    #[arg(long)]
    to_another_hub: bool,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "internalidentity__clientid")]
    client_id: Option<String>,
    #[serde(rename = "template__devicecontent")]
    device_mapping: Option<String>,
    #[serde(flatten)]
    templates: TemplateSettings,
    #[serde(flatten)]
    hub: NormalizationHubSettings,
    #[serde(flatten)]
    compatibility: CompatibilitySettings,
}

/// Where replayed events go.
pub struct Target {
    /// None when no letter needs it.
    mapping: Option<Arc<Compiled<DeviceMapping>>>,
    normalizer: Normalizer<ReplayOutput, NoDeadLetters>,
    output: ReplayOutput,
    /// Its name, as far as it was said.
    hub: Option<String>,
    to_another_hub: bool,
}

/// The internal hub; nothing at all in a dry run.
#[derive(Clone)]
struct ReplayOutput(Option<Arc<HubOutput>>);

impl MeasurementOutput for ReplayOutput {
    async fn send(&self, measurements: &OutgoingMeasurements, fence: &dyn Fence) -> Result<Vec<usize>, Away> {
        match &self.0 {
            Some(hub) => hub.send(measurements, fence).await,
            None => Ok(Vec::new()),
        }
    }
}

/// What fails again is a dead letter already.
struct NoDeadLetters;

impl DeadLetters for NoDeadLetters {
    async fn record(&self, _: &[DeadLetter<'_>]) -> Result<(), Away> {
        Ok(())
    }
}

/// An event, with everything that a batch borrows.
struct Owned<'e> {
    event: &'e Event,
    body: Vec<u8>,
    properties: KeptProperties,
    system_properties: KeptProperties,
}

impl Target {
    /// Reads settings and mapping; the hub is reached with the first events.
    pub async fn open(arguments: &TargetArguments, normalizes: bool, dry_run: bool) -> anyhow::Result<Target> {
        let mut settings = AppSettings::environment();
        let mapping = arguments.device_mapping.as_ref().map(|path| path.display().to_string());
        settings.set("Template__DeviceContent", mapping.as_deref());
        settings.set("NormalizationEventHub__EventHubName", arguments.internal_hub.as_deref());
        settings.set("NormalizationEventHub__EventHubNamespaceFQDN", arguments.internal_namespace.as_deref());
        settings.set("NormalizationEventHub__AuthenticationType", arguments.internal_authentication.as_deref());
        settings.set("NormalizationEventHub__CustomEndpoint", arguments.internal_endpoint.as_deref());
        let name = settings.get("NormalizationEventHub__EventHubName");
        let raw: Raw = settings.read()?;
        let mut checks = Checks::default();
        // An event that fails again must not hold up the others.
        let compatibility = switches(raw.compatibility, &mut checks).compatibility;
        let compatibility = Compatibility { on_mapping_failure: OnFailure::Drop, ..compatibility };
        let place = match normalizes {
            true => {
                Some(raw.templates.check(("Template__DeviceContent", raw.device_mapping), &raw.client_id, &mut checks))
            }
            false => None,
        };
        let hub = match dry_run {
            false => raw.hub.check(&raw.client_id, &mut checks).map(Some),
            true => Some(None),
        };
        let (place, hub) = checks.finish(place.map_or(Some(None), |place| place.map(Some)).zip(hub))?;
        let mapping = match place {
            Some(place) => {
                let compile = move |text: &[u8]| {
                    DeviceMapping::load(text, &compatibility).map_err(|findings| findings.to_string())
                };
                let (mapping, _) = CurrentMapping::new(place, compile).get().await.context("no device mapping")?;
                Some(mapping)
            }
            None => None,
        };
        let output = ReplayOutput(hub.map(|hub| Arc::new(HubOutput::new(hub).replaying())));
        let normalizer = Normalizer::new(output.clone(), NoDeadLetters);
        Ok(Target { mapping, normalizer, output, hub: name, to_another_hub: arguments.to_another_hub })
    }

    /// Refuses the hub when it cannot be the one that the letter is for: its
    /// event would end there as unmatched, and the letter count as replayed.
    pub fn check(&self, letter: &StoredDeadLetter) -> anyhow::Result<()> {
        let Some(hub) = &self.hub else { return Ok(()) };
        let is_its_own = hub.eq_ignore_ascii_case(&letter.hub);
        match letter.stage {
            Stage::Normalize if is_its_own => {
                anyhow::bail!("`{hub}` is the hub that a letter's event came from; measurements go to the internal hub")
            }
            Stage::GroupConvert if !is_its_own && !self.to_another_hub => anyhow::bail!(
                "a letter is of the hub `{}`, and `{hub}` is another; `--to-another-hub` sends it there all the same",
                letter.hub
            ),
            _ => Ok(()),
        }
    }

    /// Gives events and says how each ended. When the hub is away, some may be
    /// sent; to send them again is harmless.
    pub async fn replay(&self, events: &[Event]) -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = vec![Outcome::Impossible; events.len()];
        let (mut normalize, mut convert) = (Vec::new(), Vec::new());
        for (index, event) in events.iter().enumerate() {
            let Some(body) = event.letter.body_bytes() else { continue };
            let (properties, system_properties) = event.letter.kept_properties();
            let owned = (index, Owned { event, body, properties, system_properties });
            match event.letter.stage {
                Stage::Normalize => normalize.push(owned),
                Stage::GroupConvert => convert.push(owned),
            }
        }
        for (index, outcome) in self.normalize(&normalize).await? {
            outcomes[index] = outcome;
        }
        for (index, outcome) in self.send_again(&convert).await? {
            outcomes[index] = outcome;
        }
        Ok(outcomes)
    }

    async fn normalize(&self, events: &[(usize, Owned<'_>)]) -> anyhow::Result<Vec<(usize, Outcome)>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mapping = self.mapping.as_ref().context("there is no device mapping")?;
        let dates: Vec<_> = events
            .iter()
            .map(|(_, event)| (event.properties.date_names(), event.system_properties.date_names()))
            .collect();
        let mut batch = Vec::with_capacity(events.len());
        for ((_, event), (dates, system_dates)) in events.iter().zip(&dates) {
            batch.push(BatchEvent {
                body: &event.body,
                properties: event.properties.properties(dates),
                system_properties: event.system_properties.properties(system_dates),
                sequence_number: event.event.letter.sequence_number,
                enqueued_time: event.event.letter.enqueued().context("a dead letter has no time")?,
            });
        }
        let source = Source::default();
        let fates = self.normalizer.normalize(mapping, &Batch { source: &source, events: batch }, &Unfenced).await?;
        Ok(events.iter().zip(fates.events).map(|((index, _), fate)| (*index, fate.into())).collect())
    }

    /// Sends events of the internal hub again, as they were.
    async fn send_again(&self, events: &[(usize, Owned<'_>)]) -> anyhow::Result<Vec<(usize, Outcome)>> {
        let mut outcomes: Vec<_> = events.iter().map(|(index, _)| (*index, Outcome::Replayed { sent: 1 })).collect();
        let Some(hub) = &self.output.0 else { return Ok(outcomes) };
        let mut keys: Vec<(String, Vec<usize>)> = Vec::new();
        for (place, (_, event)) in events.iter().enumerate() {
            let key = event.partition_key();
            match keys.iter_mut().find(|(known, _)| *known == key) {
                Some((_, places)) => places.push(place),
                None => keys.push((key, vec![place])),
            }
        }
        for (key, places) in keys {
            let outgoing: Vec<_> = places.iter().map(|place| events[*place].1.outgoing()).collect();
            let sent = hub.producer().send(&key, &outgoing, &Unfenced).await.context("the internal hub")?;
            for too_large in sent.too_large {
                outcomes[places[too_large]].1 = Outcome::Rejected {
                    reason: "MeasurementTooLarge".to_owned(),
                    message: "a measurement is larger than the hub takes".to_owned(),
                };
            }
        }
        Ok(outcomes)
    }
}

impl Owned<'_> {
    fn outgoing(&self) -> PropertiedEvent<'_> {
        let mut event = PropertiedEvent::new(&self.body).json_properties(&members(&self.properties));
        if let Some(Value::String(content_type)) = members(&self.system_properties).get("content-type") {
            event = event.content_type(content_type);
        }
        event.property(REPLAY_PROPERTY, true)
    }

    /// The key that it came under, or the one of its device, so that it comes
    /// into the partition of the device's other readings.
    fn partition_key(&self) -> String {
        if let Some(Value::String(key)) = members(&self.system_properties).get("x-opt-partition-key") {
            return key.clone();
        }
        let device = Measurement::read(&self.body).map(|measurement| measurement.device_id.to_string());
        PartitionKey::of_device(&device.unwrap_or_default()).to_string()
    }
}

fn members(kept: &KeptProperties) -> Map<String, Value> {
    serde_json::from_str(&kept.text).unwrap_or_default()
}
