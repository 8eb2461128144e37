//! Normalize as a function: the mapping in use, the internal hub, the dead
//! letters.

use std::time::{SystemTime, UNIX_EPOCH};

use azure::{HubOutput, MappingBlob};
use custom_handler::{Answer, Handler, HandlerError, Invocation};
use delivery::away::error_chain;
use delivery::{Batch, CurrentMapping, EitherSource, EventFate, Normalizer, Notice, Tally};
use expressions::UtcTime;
use folder::{DeadLetterFolder, MappingFile};
use mapping::{Compatibility, DeviceMapping};

use crate::settings::Settings;

/// What the two triggers, hub and HTTP, share.
#[derive(Debug)]
pub struct Normalize {
    mapping: CurrentMapping<EitherSource<MappingFile, MappingBlob>, DeviceMapping>,
    normalizer: Normalizer<HubOutput, DeadLetterFolder>,
}

impl Normalize {
    /// Opens nothing yet: the hub and the mapping are reached with the first
    /// batch, so that a dependency that is away does not keep the handler from
    /// starting.
    pub fn new(settings: Settings) -> Normalize {
        let compatibility = settings.compatibility;
        let mapping = CurrentMapping::new(settings.mapping, move |text| compile(text, &compatibility));
        let output = HubOutput::new(settings.output);
        Normalize { mapping, normalizer: Normalizer::new(output, DeadLetterFolder::new(settings.dead_letters)) }
    }

    /// Works through a batch.
    pub async fn normalize(&self, batch: &Batch<'_>) -> Result<Vec<EventFate>, HandlerError> {
        let (mapping, notice) = self.mapping.get().await.map_err(|error| HandlerError(error_chain(&error)))?;
        report(&notice);
        let fates = self.normalizer.normalize(&mapping, batch).await;
        let fates = fates.map_err(|away| HandlerError(error_chain(&away)))?;
        let tally = Tally::of_events(&fates);
        tracing::info!(
            partition = batch.source.partition,
            events = tally.events,
            measurements = tally.measurements,
            unmatched = tally.unmatched,
            rejected = tally.rejected,
            "Normalized a batch"
        );
        Ok(fates)
    }
}

impl Handler for Normalize {
    async fn handle(&self, invocation: Invocation) -> Result<Answer, HandlerError> {
        let fates = self.normalize(&invocation.batch()).await?;
        Ok(Answer::of_events(&fates))
    }
}

fn compile(text: &[u8], compatibility: &Compatibility) -> Result<DeviceMapping, String> {
    DeviceMapping::load(text, compatibility).map_err(|findings| findings.to_string())
}

fn report(notice: &Notice) {
    match notice {
        Notice::Unchanged => {}
        Notice::Loaded { version } => tracing::info!(mapping.version = version, "Loaded the device mapping"),
        Notice::KeptLastGood { version, findings } => {
            tracing::error!(mapping.version = version, findings, "A new device mapping has errors; the last good one stays");
        }
        Notice::SourceAway { error } => {
            tracing::warn!(error, "Cannot look for a new device mapping; the last one stays");
        }
    }
}

/// The time by this machine's clock.
pub fn now() -> UtcTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    UtcTime::from_unix_milliseconds(milliseconds).unwrap_or(UtcTime::MAX)
}
