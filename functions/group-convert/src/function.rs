//! Group-convert as a function: the mapping in use, the FHIR server, the dead
//! letters.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::settings::{EitherDeadLetters, EitherParking, Function, MappingPlace, ParkingOptions};
use anyhow::Context;
use custom_handler::{Answer, Handler, HandlerError, Invocation};
use delivery::away::error_chain;
use delivery::{
    Away, Batch, Converter, CurrentMapping, Fates, MappingUnavailable, MeasurementFate, Processor, Tally, Turn,
    Unparked,
};
use expressions::UtcTime;
use fhir_client::client::Client;
use fhir_client::destination::FhirDestination;
use fhir_client::identity::Resolver;
use fhir_client::save::Saver;
use mapping::{Compatibility, FhirMapping};

use crate::settings::Settings;
use crate::windows::Windows;

/// What the function is called.
pub const NAME: &str = "group-convert";

/// What all invocations share.
#[derive(Debug)]
pub struct GroupConvert {
    mapping: CurrentMapping<MappingPlace, FhirMapping>,
    converter: Converter<FhirDestination, EitherDeadLetters, Option<EitherParking>>,
    /// How long something may be unknown, and how often it is looked for; none
    /// when nothing is parked.
    parking_times: Option<(Duration, Duration)>,
    windows: Windows,
    answer_fates: bool,
}

impl GroupConvert {
    /// Opens nothing yet: the server and the mapping are reached with the first
    /// batch, so that a dependency that is away does not keep the handler from
    /// starting.
    pub fn new(settings: Settings) -> anyhow::Result<GroupConvert> {
        let Function { mapping, dead_letters, switches, answer_fates, .. } = settings.function;
        let compatibility = switches.compatibility;
        let mapping = CurrentMapping::new(mapping, move |text| compile(text, &compatibility))
            .keep_last_good(switches.keep_last_good_mapping);
        let client = Arc::new(Client::new(settings.fhir, settings.tokens).context("cannot make an HTTP client")?);
        let destination = FhirDestination {
            resolver: Resolver::new(client.clone(), settings.identity),
            saver: Saver::new(client, settings.save),
            time_limit: settings.time_limit,
        };
        let ParkingOptions { place, keep_for, look_again } = settings.parking;
        let parking_times = place.is_some().then_some((keep_for, look_again));
        let converter = Converter::new(destination, dead_letters, compatibility).with_parking(place);
        Ok(GroupConvert { mapping, converter, parking_times, windows: Windows::new(settings.positions), answer_fates })
    }

    /// Loads the mapping ahead of the first batch.
    pub async fn load_mapping(&self) {
        self.mapping.load_ahead("FHIR mapping").await;
    }

    /// Looks again and again for what was unknown; ends at once when nothing is
    /// parked. Several processes may do so at the same time.
    pub async fn look_again_for_parked(&self) {
        let Some((keep_for, pause)) = self.parking_times else { return };
        loop {
            tokio::time::sleep(pause).await;
            if let Err(error) = self.replay_parked(keep_for).await {
                tracing::warn!(error, "What is parked could not be looked for, and waits on");
            }
        }
    }

    async fn replay_parked(&self, keep_for: Duration) -> Result<(), String> {
        let (mapping, _) = self.mapping.get().await.map_err(|error| error_chain(&error))?;
        let now = UtcTime::from(SystemTime::now());
        let Unparked { ended, waiting } =
            self.converter.replay_parked(&mapping, now, keep_for).await.map_err(|away| error_chain(&away))?;
        if ended.measurements > 0 {
            tracing::info!(
                measurements = ended.measurements,
                created = ended.created,
                merged = ended.merged,
                superseded = ended.superseded,
                rejected = ended.rejected,
                waiting,
                "Looked again for what was parked"
            );
        }
        Ok(())
    }

    /// Works through one window.
    async fn convert(&self, window: &Batch<'_>, turn: Turn<'_>) -> Result<Vec<Vec<MeasurementFate>>, Away> {
        let (mapping, notice) = self.mapping.get().await.map_err(MappingUnavailable::into_away)?;
        notice.log("FHIR mapping");
        let now = UtcTime::from(SystemTime::now());
        let conversion = self.converter.convert(&mapping, window, now, turn).await?;
        let tally = Tally::of_measurements(conversion.fates());
        tracing::info!(
            partition = window.source.partition,
            measurements = tally.measurements,
            created = tally.created,
            merged = tally.merged,
            unchanged = tally.unchanged,
            superseded = tally.superseded,
            rejected = tally.rejected,
            parked = tally.parked,
            patients_differing = conversion.patients_differing,
            "Converted a window"
        );
        if conversion.without_value > 0 {
            // Usually a name that differs in letter case (fhir-conversion.md 5.1).
            let observations = conversion.without_value;
            tracing::warn!(
                observations,
                "Observations without a value: the FHIR mapping names none of their properties"
            );
        }
        Ok(conversion.events)
    }

    /// Works through what the Functions host gives, window by window.
    async fn convert_all(&self, batch: &Batch<'_>) -> Result<Vec<Vec<MeasurementFate>>, Away> {
        let mut turns = self.windows.begin(batch.source).await?;
        let mut fates = Vec::with_capacity(batch.events.len());
        for window in turns.cut(batch) {
            let begun_before = turns.window(&window, UtcTime::from(SystemTime::now())).await?;
            let turn = Turn { begun_before, ..Turn::UNFENCED };
            fates.extend(self.convert(&window, turn).await?);
            turns.finish_window(&window);
        }
        turns.finish();
        Ok(fates)
    }
}

impl Handler for GroupConvert {
    async fn handle(&self, invocation: &Invocation) -> Result<Answer, HandlerError> {
        let fates = self.convert_all(&invocation.batch()).await;
        let fates = fates.map_err(|away| HandlerError(error_chain(&away)))?;
        Ok(Answer::new(Fates::Measurements(fates), self.answer_fates))
    }
}

impl Processor for GroupConvert {
    async fn process(&self, batch: &Batch<'_>, turn: Turn<'_>) -> Result<(), Away> {
        let fates = Fates::Measurements(self.convert(batch, turn).await?);
        if self.answer_fates
            && let Err(error) = native::print_fates(NAME, batch, &fates)
        {
            tracing::warn!(%error, "The fates of a batch could not be written out");
        }
        Ok(())
    }
}

fn compile(text: &[u8], compatibility: &Compatibility) -> Result<FhirMapping, String> {
    FhirMapping::load(text, compatibility).map_err(|findings| findings.to_string())
}
