//! Group-convert as a function: the mapping in use, the FHIR server, the dead
//! letters.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::settings::{EitherDeadLetters, EitherParking, Function, MappingPlace, ParkingOptions};
use anyhow::Context;
use custom_handler::{Answer, Handler, HandlerError, Invocation};
use delivery::away::error_chain;
use delivery::{Batch, Conversion, Converter, CurrentMapping, Fates, Stage, Tally, Turn, Unparked};
use expressions::UtcTime;
use fhir_client::client::{Client, ClientOptions, RequestObserver, SentRequest};
use fhir_client::destination::FhirDestination;
use fhir_client::identity::Resolver;
use fhir_client::save::Saver;
use mapping::{Compatibility, FhirMapping};
use telemetry::metrics::{self, FhirRequest};
use telemetry::spans;
use tracing::Instrument;

use crate::progress::Progress;
use crate::settings::Settings;

/// What all invocations share.
#[derive(Debug)]
pub struct GroupConvert {
    mapping: CurrentMapping<MappingPlace, FhirMapping>,
    converter: Converter<FhirDestination, EitherDeadLetters, Option<EitherParking>>,
    /// How long something may be unknown, and how often it is looked for; none
    /// when nothing is parked.
    parking_times: Option<(Duration, Duration)>,
    progress: Progress,
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
        Ok(GroupConvert { mapping, converter, parking_times, progress: Progress::default(), answer_fates })
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
        let Unparked { ended, waiting } = unparked;
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
}

impl Handler for GroupConvert {
    async fn handle(&self, invocation: &Invocation) -> Result<Answer, HandlerError> {
        let batch = invocation.batch();
        let span = spans::batch(Stage::GroupConvert, &batch);
        let conversion = self.convert(&batch).instrument(span).await?;
        Ok(Answer::new(Fates::Measurements(conversion.events), self.answer_fates))
    }
}

impl GroupConvert {
    async fn convert(&self, batch: &Batch<'_>) -> Result<Conversion, HandlerError> {
        let began = Instant::now();
        let got = self.mapping.get().await;
        metrics::mapping_loaded(Stage::GroupConvert, &got);
        let (mapping, notice) = got.map_err(|error| HandlerError(error_chain(&error)))?;
        notice.log("FHIR mapping");
        let begun_before = self.progress.begin(batch);
        let turn = Turn { begun_before, ..Turn::UNFENCED };
        let now = UtcTime::from(SystemTime::now());
        let conversion = self.converter.convert(&mapping, batch, now, turn).await;
        let conversion = conversion.map_err(|away| {
            metrics::away(Stage::GroupConvert, away.dependency, began.elapsed());
            HandlerError(error_chain(&away))
        })?;
        self.progress.finish(batch);
        metrics::converted(batch, &conversion, began.elapsed());
        let tally = Tally::of_measurements(conversion.fates());
        spans::record(&mapping.version, &tally);
        tracing::info!(
            partition = batch.source.partition,
            measurements = tally.measurements,
            created = tally.created,
            merged = tally.merged,
            unchanged = tally.unchanged,
            superseded = tally.superseded,
            rejected = tally.rejected,
            parked = tally.parked,
            patients_differing = conversion.patients_differing,
            "Converted a batch"
        );
        if conversion.without_value > 0 {
            // Usually a name that differs in letter case (fhir-conversion.md 5.1).
            let observations = conversion.without_value;
            tracing::warn!(
                observations,
                "Observations without a value: the FHIR mapping names none of their properties"
            );
        }
        Ok(conversion)
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
