//! Looks again for what was unknown when it came (design.md D7).

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use expressions::UtcTime;
use expressions::time::{DateTime, TICKS_PER_SECOND};
use futures::future::join_all;
use mapping::FhirMapping;

use super::{Conversion, Converter, Destination, Part};
use crate::away::{Away, error_chain};
use crate::batch::{Batch, BatchEvent, Position, Source};
use crate::current_mapping::Compiled;
use crate::dead_letter::{DeadLetter, DeadLetters, LETTERS_AT_ONCE, Stage};
use crate::fate::{MeasurementFate, Reason, Tally};
use crate::incoming;
use crate::parking::Parking;
use crate::stored_letter::StoredDeadLetter;
use crate::text::KeptProperties;
use crate::turn::Turn;

/// So many are read, saved and removed together; each is held in memory whole.
const PARKED_AT_ONCE: usize = 200;

/// Letters that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// What became of what was parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unparked {
    /// Those that have their end now. None of them counts as parked: what was
    /// unknown for too long is rejected.
    pub ended: Tally,
    /// Those that wait on.
    pub waiting: usize,
    /// Those that cannot be read.
    pub unreadable: usize,
}

/// One parked measurement, unpacked to be given again.
struct Parked {
    key: String,
    letter: StoredDeadLetter,
    body: Vec<u8>,
    properties: (KeptProperties, KeptProperties),
    enqueued_time: UtcTime,
    since: UtcTime,
}

impl<T: Destination + Sync, D: DeadLetters + Sync, P: Parking + Sync> Converter<T, D, P> {
    /// Looks again for everything that is parked. What is known by now is saved
    /// and fills gaps only, for newer readings may have come since; what was
    /// unknown for `keep_for` is rejected for the reason that it has now.
    ///
    /// May run in several processes at once, and beside windows of the same
    /// partition: filling gaps gives the same in any order.
    pub async fn replay_parked(
        &self,
        mapping: &Compiled<FhirMapping>,
        now: UtcTime,
        keep_for: Duration,
    ) -> Result<Unparked, Away> {
        let mut unparked = Unparked::default();
        for keys in self.parking.parked().await?.chunks(PARKED_AT_ONCE) {
            let mut parked = Vec::with_capacity(keys.len());
            for keys in keys.chunks(READS_AT_ONCE) {
                let reads: Vec<_> = keys.iter().map(|key| self.parking.read_parked(key)).collect();
                for (key, letter) in keys.iter().zip(join_all(reads).await) {
                    match letter {
                        Ok(letter) => parked.extend(letter.map(|letter| Parked::new(key, letter))),
                        // It holds nothing else up, and stays for somebody to look at.
                        Err(away) => {
                            tracing::error!(error = error_chain(&away), "What is parked in one place cannot be read");
                            unparked.unreadable += 1;
                        }
                    }
                }
            }
            self.unpark(mapping, parked, now, keep_for, &mut unparked).await?;
        }
        Ok(unparked)
    }

    async fn unpark(
        &self,
        mapping: &Compiled<FhirMapping>,
        parked: Vec<Parked>,
        now: UtcTime,
        keep_for: Duration,
        unparked: &mut Unparked,
    ) -> Result<(), Away> {
        let fates = self.fates_of_parked(mapping, &parked, now).await?;
        let (mut ended, mut letters) = (Vec::new(), Vec::new());
        for (parked, fate) in parked.iter().zip(fates) {
            let fate = match fate {
                MeasurementFate::Parked(_) if !parked.is_over(now, keep_for) => {
                    unparked.waiting += 1;
                    continue;
                }
                MeasurementFate::Parked(reason) => MeasurementFate::Rejected(reason),
                fate => fate,
            };
            unparked.ended.count_measurement(&fate);
            if let MeasurementFate::Rejected(reason) = fate {
                letters.push(parked.dead_letter(reason, &mapping.version));
            }
            ended.push(parked);
        }
        for letters in letters.chunks(LETTERS_AT_ONCE) {
            self.dead_letters.record(letters).await?;
        }
        for parked in ended {
            self.parking.remove_parked(&parked.key).await?;
        }
        Ok(())
    }

    /// Saves what can be saved, and gives each its fate.
    async fn fates_of_parked(
        &self,
        mapping: &Compiled<FhirMapping>,
        parked: &[Parked],
        now: UtcTime,
    ) -> Result<Vec<MeasurementFate>, Away> {
        // Those of one list lie side by side, and each has the whole of it.
        let mut firsts: Vec<&Parked> = Vec::new();
        // One measurement may be parked for two reasons, one after the other.
        let mut places: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        for (index, one) in parked.iter().enumerate() {
            if !firsts.last().is_some_and(|last| last.is_of_same_event(one)) {
                firsts.push(one);
            }
            places.entry((firsts.len() - 1, one.letter.measurement)).or_default().push(index);
        }
        let names: Vec<_> =
            firsts.iter().map(|one| (one.properties.0.date_names(), one.properties.1.date_names())).collect();
        let events = firsts.iter().zip(&names).map(|(one, names)| one.event(names)).collect();
        // Nobody asks for the place of these events: each has its own.
        let batch = Batch { source: &Source::default(), events };
        let bodies = incoming::unpack(&batch);
        let incoming = incoming::read(&bodies, self.compatibility.lenient_measurements);
        // Of a list only what was parked.
        let (measurements, origins): (Vec<_>, Vec<_>) =
            incoming.measurements.into_iter().zip(incoming.origins).filter(|(_, at)| places.contains_key(at)).unzip();
        let mut fates = vec![None; measurements.len()];
        let part = Part { measurements: &measurements, fates: &mut fates, replayed: true };
        if !part.measurements.is_empty() {
            // An earlier attempt may have come to any point.
            let begun_before = parked.iter().map(|parked| parked.since).min().map(system_time);
            // Of no partition's term: what is seen here is no window's memory.
            let turn = Turn { begun_before, term: u64::MAX, ..Turn::UNFENCED };
            self.save(mapping, part, now, turn, &mut Conversion::default()).await?;
        }
        let saved = origins.into_iter().zip(fates).filter_map(|(at, fate)| Some((at, fate?)));
        let rejected = incoming.rejected.into_iter().map(|(at, reason)| (at, MeasurementFate::Rejected(reason)));
        let mut by_letter: HashMap<usize, MeasurementFate> = HashMap::new();
        for (at, fate) in saved.chain(rejected) {
            let letters = places.get(&at).map(Vec::as_slice).unwrap_or_default();
            by_letter.extend(letters.iter().map(|letter| (*letter, fate.clone())));
        }
        let none = || Reason::new("InvalidMeasurement", "what was parked is no measurement any more");
        let fate = |letter| by_letter.remove(&letter).unwrap_or_else(|| MeasurementFate::Rejected(none()));
        Ok((0..parked.len()).map(fate).collect())
    }
}

impl Parked {
    fn new(key: &str, letter: StoredDeadLetter) -> Parked {
        let time = |text: &str| DateTime::parse_token(text).map(|time| time.instant);
        Parked {
            key: key.to_owned(),
            // What cannot be read is no measurement, and rejected as such.
            body: letter.body_bytes().unwrap_or_default(),
            properties: letter.kept_properties(),
            enqueued_time: letter.enqueued().unwrap_or(UtcTime::MIN),
            // Without a time nobody would know when it is over.
            since: time(&letter.recorded_time).unwrap_or(UtcTime::MIN),
            letter,
        }
    }

    fn is_of_same_event(&self, other: &Parked) -> bool {
        let place = |letter: &StoredDeadLetter| (letter.source(), letter.sequence_number);
        place(&self.letter) == place(&other.letter) && self.body == other.body
    }

    fn is_over(&self, now: UtcTime, keep_for: Duration) -> bool {
        let ticks = i64::try_from(keep_for.as_secs()).unwrap_or(i64::MAX).saturating_mul(TICKS_PER_SECOND);
        self.since.saturating_add(ticks) <= now
    }

    fn event<'p>(&'p self, (own, system): &'p (Vec<&'p str>, Vec<&'p str>)) -> BatchEvent<'p> {
        BatchEvent {
            body: &self.body,
            properties: self.properties.0.properties(own),
            system_properties: self.properties.1.properties(system),
            sequence_number: self.letter.sequence_number,
            enqueued_time: self.enqueued_time,
        }
    }

    fn dead_letter(&self, reason: Reason, mapping_version: &str) -> DeadLetter<'_> {
        DeadLetter {
            stage: Stage::GroupConvert,
            reason,
            mapping_version: mapping_version.to_owned(),
            position: Position {
                source: self.letter.source(),
                sequence_number: self.letter.sequence_number,
                index: 0,
                enqueued_time: self.enqueued_time,
            },
            measurement: self.letter.measurement,
            body: &self.body,
            properties: self.properties.0.clone(),
            system_properties: self.properties.1.clone(),
        }
    }
}

/// A time before 1970 is no clock's.
fn system_time(time: UtcTime) -> SystemTime {
    let milliseconds = u64::try_from(time.unix_milliseconds()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}
