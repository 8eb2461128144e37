//! Normalize as a function: the mapping in use, the internal hub, the dead
//! letters.

use std::time::Instant;

use ::settings::{EitherDeadLetters, Function, MappingPlace};
use custom_handler::{Answer, Handler, HandlerError, Invocation};
use delivery::away::error_chain;
use delivery::{
    Away, Batch, CurrentMapping, EventFate, Fates, Fence, MappingUnavailable, Normalizer, Processor, Stage, Tally,
    Turn, Unfenced,
};
use mapping::{Compatibility, DeviceMapping};
use telemetry::metrics::{self, NormalizedBatch};
use telemetry::shapes::Shapes;
use telemetry::spans;
use tracing::Instrument;

use crate::settings::Settings;

/// What the function is called.
pub const NAME: &str = "normalize";
/// What is counted is counted for this.
const STAGE: Stage = Stage::Normalize;

/// Where measurements go.
#[cfg(not(feature = "counting-output"))]
type Output = azure::HubOutput;
#[cfg(feature = "counting-output")]
type Output = crate::counting::CountingOutput;

/// What the two triggers, hub and HTTP, share.
#[derive(Debug)]
pub struct Normalize {
    mapping: CurrentMapping<MappingPlace, DeviceMapping>,
    normalizer: Normalizer<Output, EitherDeadLetters>,
    shapes: Shapes,
    answer_fates: bool,
}

impl Normalize {
    /// Opens nothing yet: the hub and the mapping are reached with the first
    /// batch, so that a dependency that is away does not keep the handler from
    /// starting.
    pub fn new(settings: Settings) -> Normalize {
        let Function { mapping, dead_letters, switches, answer_fates, telemetry, .. } = settings.function;
        let compatibility = switches.compatibility;
        let mapping = CurrentMapping::new(mapping, move |text| compile(text, &compatibility))
            .keep_last_good(switches.keep_last_good_mapping);
        #[cfg(not(feature = "counting-output"))]
        let output = settings.output;
        #[cfg(feature = "counting-output")]
        let output = crate::counting::CountingOutput::instead_of(settings.output);
        let normalizer = Normalizer::new(output, dead_letters);
        Normalize { mapping, normalizer, shapes: Shapes::new(telemetry.shapes_a_minute), answer_fates }
    }

    /// Loads the mapping ahead of the first batch.
    pub async fn load_mapping(&self) {
        self.mapping.load_ahead("device mapping").await;
    }

    /// Works through a batch.
    pub async fn normalize(&self, batch: &Batch<'_>, fence: &dyn Fence) -> Result<Vec<EventFate>, Away> {
        let began = Instant::now();
        let done = self.normalize_batch(batch, fence, began).instrument(spans::batch(STAGE, batch)).await;
        done.inspect_err(|away| metrics::away(STAGE, away.dependency, began.elapsed()))
    }

    async fn normalize_batch(
        &self,
        batch: &Batch<'_>,
        fence: &dyn Fence,
        began: Instant,
    ) -> Result<Vec<EventFate>, Away> {
        let (mapping, notice) = self.mapping.get().await.map_err(MappingUnavailable::into_away)?;
        notice.log("device mapping");
        metrics::mapping_in_use(STAGE, &mapping.version, &notice);
        let done = self.normalizer.normalize(&mapping, batch, fence).await?;
        metrics::normalized(NormalizedBatch { batch, done: &done, took: began.elapsed() });
        let tally = Tally::of_events(&done.events);
        spans::record(&mapping.version, &tally);
        if tally.unmatched > 0 {
            self.shapes.log(&mapping.mapping, batch, &done.events);
        }
        tracing::info!(
            partition = batch.source.partition,
            events = tally.events,
            measurements = tally.measurements,
            unmatched = tally.unmatched,
            rejected = tally.rejected,
            "Normalized a batch"
        );
        Ok(done.events)
    }
}

impl Handler for Normalize {
    async fn handle(&self, invocation: &Invocation) -> Result<Answer, HandlerError> {
        let fates = self.normalize(&invocation.batch(), &Unfenced).await;
        let fates = fates.map_err(|away| HandlerError(error_chain(&away)))?;
        Ok(Answer::new(Fates::Events(fates), self.answer_fates))
    }
}

impl Processor for Normalize {
    async fn process(&self, batch: &Batch<'_>, turn: Turn<'_>) -> Result<(), Away> {
        let fates = Fates::Events(self.normalize(batch, turn.fence).await?);
        if self.answer_fates
            && let Err(error) = native::print_fates(NAME, batch, &fates)
        {
            tracing::warn!(%error, "The fates of a batch could not be written out");
        }
        Ok(())
    }
}

fn compile(text: &[u8], compatibility: &Compatibility) -> Result<DeviceMapping, String> {
    DeviceMapping::load(text, compatibility).map_err(|findings| findings.to_string())
}
