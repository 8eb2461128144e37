//! Group-convert as a function: the mapping in use, the FHIR server, the dead
//! letters.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::settings::{EitherDeadLetters, EitherParking, Function, HostOwnership, MappingPlace, ParkingOptions};
use anyhow::Context;
use custom_handler::{Answer, Handler, HandlerError, Invocation};
use delivery::away::error_chain;
use delivery::{
    Away, Batch, Converter, CurrentMapping, Fates, MappingUnavailable, MeasurementFate, Processor, Stage, Tally, Turn,
    Unparked,
};
use expressions::UtcTime;
use fhir_client::client::{Client, ClientOptions, RequestObserver, SentRequest};
use fhir_client::destination::FhirDestination;
use fhir_client::identity::Resolver;
use fhir_client::save::Saver;
use mapping::{Compatibility, FhirMapping};
use telemetry::metrics::{self, FhirRequest};
use telemetry::spans;
use tracing::Instrument;

use crate::settings::Settings;
use crate::windows::{WindowTurn, Windows};

/// What the function is called.
pub const NAME: &str = "group-convert";
/// What is counted is counted for this.
const STAGE: Stage = Stage::GroupConvert;

/// What all invocations share.
#[derive(Debug)]
pub struct GroupConvert {
    mapping: CurrentMapping<MappingPlace, FhirMapping>,
    converter: Converter<FhirDestination, EitherDeadLetters, Option<EitherParking>>,
    /// How long something may be unknown, and how often it is looked for; none
    /// when nothing is parked.
    parking_times: Option<(Duration, Duration)>,
    windows: Windows,
    /// Of the host, when it gives the batches.
    ownership: HostOwnership,
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
        let fhir = ClientOptions { observer: Some(Arc::new(FhirMetrics)), ..settings.fhir };
        let client = Arc::new(Client::new(fhir, settings.tokens).context("cannot make an HTTP client")?);
        let destination = FhirDestination {
            resolver: Resolver::new(client.clone(), settings.identity),
            saver: Saver::new(client, settings.save),
            time_limit: settings.time_limit,
        };
        let ParkingOptions { place, keep_for, look_again } = settings.parking;
        let parking_times = place.is_some().then_some((keep_for, look_again));
        let converter = Converter::new(destination, dead_letters, compatibility).with_parking(place);
        Ok(GroupConvert {
            mapping,
            converter,
            parking_times,
            windows: Windows::new(settings.positions),
            ownership: settings.ownership,
            answer_fates,
        })
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
        let unparked = self.converter.replay_parked(&mapping, now, keep_for).await;
        let unparked = unparked.map_err(|away| error_chain(&away))?;
        metrics::unparked(&unparked);
        let Unparked { ended, waiting, unreadable } = unparked;
        if unreadable > 0 {
            tracing::warn!(unreadable, "Some of what is parked cannot be read, and stays where it is");
        }
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
        let began = Instant::now();
        let fates = self.convert_window(window, turn, began).instrument(spans::batch(STAGE, window)).await;
        fates.inspect_err(|away| metrics::away(STAGE, away.dependency, began.elapsed()))
    }

    async fn convert_window(
        &self,
        window: &Batch<'_>,
        turn: Turn<'_>,
        began: Instant,
    ) -> Result<Vec<Vec<MeasurementFate>>, Away> {
        let (mapping, notice) = self.mapping.get().await.map_err(MappingUnavailable::into_away)?;
        notice.log("FHIR mapping");
        metrics::mapping_in_use(STAGE, &mapping.version, &notice);
        let now = UtcTime::from(SystemTime::now());
        let conversion = self.converter.convert(&mapping, window, now, turn).await?;
        metrics::converted(window, &conversion, began.elapsed());
        let tally = Tally::of_measurements(conversion.fates());
        spans::record(&mapping.version, &tally);
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
        let fence = self.ownership.fence(batch.source).await?;
        let mut fates = Vec::with_capacity(batch.events.len());
        for window in turns.cut(batch) {
            let WindowTurn { begun_before, term } = turns.window(&window, UtcTime::from(SystemTime::now())).await?;
            let turn = Turn { fence: &*fence, term, begun_before };
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

/// Counts the requests to the FHIR server.
#[derive(Debug)]
struct FhirMetrics;

impl RequestObserver for FhirMetrics {
    fn sent(&self, request: &SentRequest) {
        let SentRequest { kind, status, took, concurrency } = *request;
        metrics::fhir_request(FhirRequest { kind, status, took, concurrency });
    }
}

fn compile(text: &[u8], compatibility: &Compatibility) -> Result<FhirMapping, String> {
    FhirMapping::load(text, compatibility).map_err(|findings| findings.to_string())
}
