//! Turns a batch of measurements into Observations on a FHIR server.
//!
//! ```text
//! Batch --read--> measurements --group--> MeasurementGroups --resolve--> ids
//!       --cut by period--> ObservationGroups --save--> outcome --> each measurement's fate
//! ```
//!
//! Whoever [`Destination`] is, it is asked to resolve whole groups and to save
//! what is [`Pending`], and never sees a mapping: a pending Observation knows
//! how to make or to change itself.

mod counts;
mod parked;
mod replayed;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;

use expressions::UtcTime;
use mapping::compatibility::OnFailure;
use mapping::group::{self, GroupKey, MeasurementGroup, ObservationGroup};
use mapping::identifier::{ObservationIdentity, ResourceIds};
use mapping::{Compatibility, ConvertError, FhirMapping, Measurement, MergePolicy, Merged, Observation};
use tracing::Instrument;

use crate::away::Away;
use crate::batch::Batch;
use crate::current_mapping::Compiled;
use crate::dead_letter::{DeadLetter, DeadLetters, LETTERS_AT_ONCE, Stage};
use crate::fate::{Imbalance, MeasurementFate, NO_FATE, Reason, Tally, TemplateCount};
use crate::incoming;
use crate::parking::{NoParking, Parking};
use crate::text::properties_json;
use crate::turn::Turn;

pub use self::counts::Saved;
use self::counts::by_template;
pub use self::parked::Unparked;

/// A FHIR server.
pub trait Destination {
    /// Finds out which Device, Patient and Encounter each group is about, in
    /// the groups' order. What cannot be found out is a reason. What is created
    /// for that is as [`Destination::save`] about the turn's fence.
    fn resolve(
        &self,
        groups: &[&MeasurementGroup<'_>],
        turn: Turn<'_>,
    ) -> impl Future<Output = Result<Vec<Result<Resolved, Reason>>, Away>> + Send;

    /// Whether something that [`Destination::resolve`] gave this reason for may
    /// still appear on the server, so that it is worth waiting for.
    fn may_appear(&self, _: &Reason) -> bool {
        false
    }

    /// Saves Observations: reads each, lets it apply itself, and writes what
    /// changed. Gives the outcomes in order. Several of one id are applied in
    /// their order and written once. Fails when the turn's fence no longer
    /// holds, and writes nothing from then on.
    fn save(
        &self,
        pending: &[Pending<'_>],
        turn: Turn<'_>,
    ) -> impl Future<Output = Result<Vec<SaveOutcome>, Away>> + Send;
}

/// What a group is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The logical ids on the server.
    pub ids: ResourceIds,
    /// The messages name another patient than their device does, whose is the
    /// one that counts (fhir-conversion.md quirk 45).
    pub patient_differs: bool,
}

impl fmt::Debug for Resolved {
    /// Leaves the ids out: they are a patient's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").field("patient_differs", &self.patient_differs).finish_non_exhaustive()
    }
}

/// How saving an Observation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveOutcome {
    /// It is new.
    Created,
    /// It was there and is changed.
    Merged,
    /// It was there and held everything already.
    Unchanged,
    /// The data or the server refuses it.
    Rejected(Reason),
}

/// An Observation to be made or changed.
#[derive(Clone)]
pub struct Pending<'m> {
    mapping: &'m FhirMapping,
    group: ObservationGroup<'m>,
    ids: ResourceIds,
    issued: UtcTime,
    policy: MergePolicy,
    /// How it is found on the server (fhir-conversion.md 5.2).
    pub identity: ObservationIdentity,
}

impl fmt::Debug for Pending<'_> {
    /// Leaves out what is a patient's, which is everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl Pending<'_> {
    /// What is to be written where there is none.
    pub fn create(&self) -> Result<Observation, Reason> {
        let created = self.mapping.create_identified(&self.group, &self.ids, &self.identity, self.issued);
        created.map_err(|error| reason(&error))
    }

    /// What is to be written in place of `existing`; none when it holds
    /// everything already.
    pub fn merge(&self, existing: &Observation) -> Result<Option<Observation>, Reason> {
        let merged = self.mapping.merge(existing, &self.group, self.policy);
        merged.map(Merged::amended).map_err(|error| reason(&error))
    }

    /// `existing` with what `lost`, a version of it that was overwritten, has
    /// and it has not; none when nothing is missing.
    pub fn absorb(&self, existing: &Observation, lost: &Observation) -> Result<Option<Observation>, Reason> {
        let merged = self.mapping.absorb(existing, lost, &self.group.r#type);
        merged.map(Merged::amended).map_err(|error| reason(&error))
    }
}

fn reason(error: &ConvertError) -> Reason {
    Reason::new(error.code(), error.to_string())
}

/// How a batch ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// For each event the fates of its measurements.
    pub events: Vec<Vec<MeasurementFate>>,
    /// How many groups name another patient than their device does.
    pub patients_differing: usize,
    /// How many Observations get no value from the batch, because the FHIR
    /// mapping names none of their properties (fhir-conversion.md quirk 49).
    pub without_value: usize,
    /// How many measurements came in, readable or not.
    pub received: usize,
    /// How many groups they made.
    pub groups: usize,
    /// The Observations that were saved, by how.
    pub saved: Saved,
    /// The measurements by template and fate.
    pub templates: Vec<TemplateCount>,
    /// When the oldest of them reached the customer's hub.
    pub oldest_ingestion: Option<UtcTime>,
}

impl Conversion {
    /// All fates, in order.
    pub fn fates(&self) -> impl Iterator<Item = &MeasurementFate> {
        self.events.iter().flatten()
    }

    /// Whether each measurement that came in has a fate, one that it was given
    /// on its way.
    pub fn check(&self) -> Result<(), Imbalance> {
        let tally = Tally::of_measurements(self.fates());
        let without = self.fates().filter(|fate| fate.reason().is_some_and(|reason| reason.code == NO_FATE)).count();
        Imbalance::check("measurements", self.received, tally.measurement_fates() - without)
    }
}

/// Converts batches; shared by all partitions.
#[derive(Debug)]
pub struct Converter<T, D, P = NoParking> {
    destination: T,
    dead_letters: D,
    parking: P,
    compatibility: Compatibility,
}

/// One pending Observation's measurements, by position.
type Members = Vec<usize>;

/// Measurements that are grouped and saved together, and their fates.
struct Part<'p, 'b> {
    measurements: &'p [Measurement<'b>],
    fates: &'p mut [Option<MeasurementFate>],
    replayed: bool,
}

/// What is to be saved.
#[derive(Default)]
struct Work<'m> {
    pending: Vec<Pending<'m>>,
    /// For each of them.
    members: Vec<Members>,
    patients_differing: usize,
    without_value: usize,
}

impl<T, D> Converter<T, D> {
    /// A converter that writes to `destination` and parks nothing.
    pub fn new(destination: T, dead_letters: D, compatibility: Compatibility) -> Converter<T, D> {
        Converter { destination, dead_letters, parking: NoParking, compatibility }
    }

    /// The same with a place for what waits.
    pub fn with_parking<P: Parking>(self, parking: P) -> Converter<T, D, P> {
        Converter {
            destination: self.destination,
            dead_letters: self.dead_letters,
            parking,
            compatibility: self.compatibility,
        }
    }
}

impl<T: Destination + Sync, D: DeadLetters + Sync, P: Parking + Sync> Converter<T, D, P> {
    /// Works through a batch: saves its Observations, records what was
    /// rejected, and gives each measurement's fate. `now` is when new
    /// Observations are issued.
    pub async fn convert(
        &self,
        mapping: &Compiled<FhirMapping>,
        batch: &Batch<'_>,
        now: UtcTime,
        turn: Turn<'_>,
    ) -> Result<Conversion, Away> {
        let bodies = incoming::unpack(batch);
        let incoming = incoming::read(&bodies, self.compatibility.lenient_measurements);
        let mut fates: Vec<Option<MeasurementFate>> = vec![None; incoming.measurements.len()];
        let mut conversion = Conversion::default();
        // Live readings are saved before replayed ones, which only fill what is left.
        let (live, replayed) = incoming.measurements.split_at(incoming.live);
        let (live_fates, replayed_fates) = fates.split_at_mut(incoming.live);
        for part in [
            Part { measurements: live, fates: live_fates, replayed: false },
            Part { measurements: replayed, fates: replayed_fates, replayed: true },
        ] {
            if !part.measurements.is_empty() {
                self.save(mapping, part, now, turn, &mut conversion).await?;
            }
        }
        conversion.received = incoming.measurements.len() + incoming.rejected.len();
        conversion.templates = by_template(&mapping.mapping, &incoming, &fates);
        conversion.oldest_ingestion = incoming.measurements.iter().filter_map(|one| one.ingestion_time).min();
        conversion.events = by_event(batch, &incoming, fates);
        self.record(mapping, batch, &conversion).instrument(tracing::info_span!("record")).await?;
        Ok(conversion)
    }

    /// Saves the Observations of one part of a batch and gives its measurements
    /// their fates.
    async fn save(
        &self,
        mapping: &Compiled<FhirMapping>,
        part: Part<'_, '_>,
        now: UtcTime,
        turn: Turn<'_>,
        conversion: &mut Conversion,
    ) -> Result<(), Away> {
        if part.replayed {
            self.save_replayed(mapping, part, (now, turn), conversion).await
        } else {
            self.save_together(mapping, part, now, turn, conversion).await
        }
    }

    /// Saves measurements as one window.
    async fn save_together(
        &self,
        mapping: &Compiled<FhirMapping>,
        Part { measurements, fates, replayed }: Part<'_, '_>,
        now: UtcTime,
        turn: Turn<'_>,
        conversion: &mut Conversion,
    ) -> Result<(), Away> {
        let grouping = group::group(measurements, &self.compatibility);
        for position in &grouping.superseded {
            fates[*position] = Some(MeasurementFate::Superseded);
        }
        let Work { mut pending, members, patients_differing, without_value } =
            self.pending(mapping, &grouping.groups, (now, turn), fates).await?;
        if replayed {
            pending.iter_mut().for_each(|pending| pending.policy = MergePolicy::StoredWins);
        }
        let outcomes = match pending.as_slice() {
            [] => Vec::new(),
            pending => {
                let span = tracing::info_span!("save", observations = pending.len());
                self.destination.save(pending, turn).instrument(span).await?
            }
        };
        let saved = Saved::of(&outcomes);
        for (outcome, members) in outcomes.into_iter().zip(members) {
            match outcome {
                // What fills no gap has given way to what is there (design.md D7).
                SaveOutcome::Unchanged if replayed => give(fates, &members, &MeasurementFate::Superseded),
                outcome => give(fates, &members, &outcome.into()),
            }
        }
        go_with_winners(fates, &grouping, measurements);
        conversion.groups += grouping.groups.len();
        conversion.saved += saved;
        conversion.patients_differing += patients_differing;
        conversion.without_value += without_value;
        Ok(())
    }

    /// Cuts the groups whose ids are known into pending Observations; the
    /// measurements of the others get their fates.
    async fn pending<'m>(
        &self,
        mapping: &'m Compiled<FhirMapping>,
        groups: &'m [MeasurementGroup<'_>],
        (now, turn): (UtcTime, Turn<'_>),
        fates: &mut [Option<MeasurementFate>],
    ) -> Result<Work<'m>, Away> {
        let mapping = &mapping.mapping;
        let (mut wanted, mut cuts) = (Vec::new(), Vec::new());
        for group in groups {
            // What the mapping says no to is not worth a look at the server.
            match mapping.observation_groups(group) {
                Ok(cut) => {
                    for rejected in cut.rejected {
                        fates[rejected.measurement] = Some(MeasurementFate::Rejected(reason(&rejected.error)));
                    }
                    if !cut.groups.is_empty() {
                        wanted.push(group);
                        cuts.push((cut.groups, cut.without_value));
                    }
                }
                Err(error @ ConvertError::TemplateNotFound { .. })
                    if self.compatibility.on_unmapped_type == OnFailure::Retry =>
                {
                    return Err(Away::new("a template of the FHIR mapping", error));
                }
                Err(error) => {
                    let all = group.readings.iter().flat_map(|reading| reading.measurements());
                    reject(fates, all, &reason(&error));
                }
            }
        }
        let span = tracing::info_span!("resolve", groups = wanted.len());
        let resolved = match wanted.as_slice() {
            [] => Vec::new(),
            wanted => self.destination.resolve(wanted, turn).instrument(span).await?,
        };
        let policy = match mapping.compatibility().stored_values_win {
            true => MergePolicy::StoredWins,
            false => MergePolicy::NewWins,
        };
        let mut work = Work::default();
        for ((cut, without_value), resolved) in cuts.into_iter().zip(resolved) {
            let ids = match resolved {
                Ok(resolved) => {
                    work.patients_differing += usize::from(resolved.patient_differs);
                    work.without_value += without_value;
                    resolved.ids
                }
                Err(reason) => {
                    let measurements = cut.iter().flat_map(|group| &group.measurements);
                    let parks = self.parking.is_open() && self.destination.may_appear(&reason);
                    let fate = if parks { MeasurementFate::Parked } else { MeasurementFate::Rejected };
                    let fate = fate(reason);
                    measurements.for_each(|position| fates[*position] = Some(fate.clone()));
                    settle_superseded(fates, &cut);
                    continue;
                }
            };
            settle_superseded(fates, &cut);
            for mut group in cut {
                work.members.push(std::mem::take(&mut group.measurements));
                let identity = ObservationIdentity::of(&ids, &group);
                work.pending.push(Pending { mapping, group, ids: ids.clone(), issued: now, policy, identity });
            }
        }
        Ok(work)
    }

    /// Stores what was rejected and what is parked.
    async fn record(
        &self,
        mapping: &Compiled<FhirMapping>,
        batch: &Batch<'_>,
        conversion: &Conversion,
    ) -> Result<(), Away> {
        let (mut rejected, mut parked) = (Vec::with_capacity(LETTERS_AT_ONCE), Vec::new());
        for (index, fates) in conversion.events.iter().enumerate() {
            let event = &batch.events[index];
            for (measurement, fate) in fates.iter().enumerate() {
                let Some(reason) = fate.reason() else { continue };
                let letter = DeadLetter {
                    stage: Stage::GroupConvert,
                    reason: reason.clone(),
                    mapping_version: mapping.version.clone(),
                    position: batch.position(index),
                    measurement,
                    body: event.body,
                    properties: properties_json(event.properties),
                    system_properties: properties_json(event.system_properties),
                };
                let parks = matches!(fate, MeasurementFate::Parked(_));
                let letters = if parks { &mut parked } else { &mut rejected };
                letters.push(letter);
                if letters.len() < LETTERS_AT_ONCE {
                    continue;
                }
                match parks {
                    true => self.parking.park(letters).await?,
                    false => self.dead_letters.record(letters).await?,
                }
                letters.clear();
            }
        }
        if !parked.is_empty() {
            self.parking.park(&parked).await?;
        }
        if rejected.is_empty() { Ok(()) } else { self.dead_letters.record(&rejected).await }
    }
}

fn reject(fates: &mut [Option<MeasurementFate>], measurements: impl Iterator<Item = usize>, reason: &Reason) {
    for position in measurements {
        fates[position] = Some(MeasurementFate::Rejected(reason.clone()));
    }
}

/// A reading that gave way to a later one of the same instant goes with it when
/// that one is rejected or parked: it is in no Observation, so it has to be
/// there too.
fn go_with_winners(
    fates: &mut [Option<MeasurementFate>],
    grouping: &group::Grouping<'_>,
    measurements: &[Measurement<'_>],
) {
    if grouping.superseded.is_empty() {
        return;
    }
    let instant = |position: usize| {
        let measurement = &measurements[position];
        (GroupKey::of(measurement), measurement.occurrence_time)
    };
    let winners = grouping.groups.iter().flat_map(|group| &group.readings).map(|reading| reading.measurement);
    let unsaved: HashMap<_, MeasurementFate> = winners
        .filter_map(|winner| match &fates[winner] {
            Some(fate) if fate.reason().is_some() => Some((instant(winner), fate.clone())),
            _ => None,
        })
        .collect();
    for loser in &grouping.superseded {
        match unsaved.get(&instant(*loser)) {
            Some(MeasurementFate::Rejected(reason)) => {
                let message = format!("a later reading of the same instant was rejected: {}", reason.message);
                fates[*loser] = Some(MeasurementFate::Rejected(Reason { message, ..reason.clone() }));
            }
            Some(fate) => fates[*loser] = Some(fate.clone()),
            None => {}
        }
    }
}

fn settle_superseded(fates: &mut [Option<MeasurementFate>], cut: &[ObservationGroup<'_>]) {
    for position in cut.iter().flat_map(|group| &group.superseded) {
        fates[*position] = Some(MeasurementFate::Superseded);
    }
}

fn give(fates: &mut [Option<MeasurementFate>], members: &[usize], fate: &MeasurementFate) {
    for position in members {
        fates[*position] = Some(fate.clone());
    }
}

impl From<SaveOutcome> for MeasurementFate {
    fn from(outcome: SaveOutcome) -> MeasurementFate {
        match outcome {
            SaveOutcome::Created => MeasurementFate::Created,
            SaveOutcome::Merged => MeasurementFate::Merged,
            SaveOutcome::Unchanged => MeasurementFate::Unchanged,
            SaveOutcome::Rejected(reason) => MeasurementFate::Rejected(reason),
        }
    }
}

/// Hands the fates back to the events. Each measurement is in one group, and
/// each of a group's in one of its cuts, so a measurement without a fate is a
/// defect here; it is recorded as such rather than lost.
fn by_event(
    batch: &Batch<'_>,
    incoming: &incoming::Incoming<'_>,
    fates: Vec<Option<MeasurementFate>>,
) -> Vec<Vec<MeasurementFate>> {
    let mut events: Vec<Vec<(usize, MeasurementFate)>> = vec![Vec::new(); batch.events.len()];
    for ((event, place), fate) in incoming.origins.iter().zip(fates) {
        let lost = || MeasurementFate::Rejected(Reason::new(NO_FATE, "the connector gave the measurement no fate"));
        events[*event].push((*place, fate.unwrap_or_else(lost)));
    }
    for ((event, place), reason) in &incoming.rejected {
        events[*event].push((*place, MeasurementFate::Rejected(reason.clone())));
    }
    let in_order = |mut fates: Vec<(usize, MeasurementFate)>| {
        fates.sort_by_key(|fate| fate.0);
        fates.into_iter().map(|fate| fate.1).collect()
    };
    events.into_iter().map(in_order).collect()
}

#[cfg(test)]
mod tests;
