//! Normalize as a function: the mapping in use, the internal hub, the dead
//! letters.

use std::time::Instant;

use ::settings::{EitherDeadLetters, Function, MappingPlace};
use custom_handler::{Answer, Handler, HandlerError, Invocation};
use delivery::away::error_chain;
use delivery::{Batch, CurrentMapping, EventFate, Fates, Normalizer, Stage, Tally, Unfenced};
use mapping::{Compatibility, DeviceMapping};
use telemetry::metrics::{self, NormalizedBatch};
use telemetry::shapes::Shapes;
use telemetry::spans;
use tracing::Instrument;

use crate::settings::Settings;

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
        let Function { mapping, dead_letters, switches, answer_fates, shapes_a_minute, .. } = settings.function;
        let compatibility = switches.compatibility;
        let mapping = CurrentMapping::new(mapping, move |text| compile(text, &compatibility))
            .keep_last_good(switches.keep_last_good_mapping);
        #[cfg(not(feature = "counting-output"))]
        let output = settings.output;
        #[cfg(feature = "counting-output")]
        let output = crate::counting::CountingOutput::instead_of(settings.output);
        let normalizer = Normalizer::new(output, dead_letters);
        Normalize { mapping, normalizer, shapes: Shapes::new(shapes_a_minute), answer_fates }
    }

    /// Loads the mapping ahead of the first batch.
    pub async fn load_mapping(&self) {
        self.mapping.load_ahead("device mapping").await;
    }

    /// Works through a batch.
    pub async fn normalize(&self, batch: &Batch<'_>) -> Result<Vec<EventFate>, HandlerError> {
        let span = spans::batch(Stage::Normalize, batch);
        self.normalize_batch(batch).instrument(span).await
    }

    async fn normalize_batch(&self, batch: &Batch<'_>) -> Result<Vec<EventFate>, HandlerError> {
        let began = Instant::now();
        let got = self.mapping.get().await;
        metrics::mapping_loaded(Stage::Normalize, &got);
        let (mapping, notice) = got.map_err(|error| HandlerError(error_chain(&error)))?;
        notice.log("device mapping");
        let done = self.normalizer.normalize(&mapping, batch, &Unfenced).await.map_err(|away| {
            metrics::away(Stage::Normalize, away.dependency, began.elapsed());
            HandlerError(error_chain(&away))
        })?;
        metrics::normalized(NormalizedBatch { batch, done: &done, took: began.elapsed() });
        let tally = Tally::of_events(&done.events);
        if tally.unmatched > 0 {
            self.shapes.log(&mapping.mapping, batch, &done.events);
        }
        spans::record(&mapping.version, &tally);
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
        let fates = self.normalize(&invocation.batch()).await?;
        Ok(Answer::new(Fates::Events(fates), self.answer_fates))
    }
}

fn compile(text: &[u8], compatibility: &Compatibility) -> Result<DeviceMapping, String> {
    DeviceMapping::load(text, compatibility).map_err(|findings| findings.to_string())
}
