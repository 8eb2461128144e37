//! Saves what did not come in this window: it was parked, or is replayed from
//! dead letters (design.md D7).
//!
//! What came in several windows is together here only because it waited. Those
//! that would not get on with each other in one are saved one after the other:
//! readings of one instant, of which one counts, and values of which an
//! Observation takes one. The newest is first, since the others only fill what it
//! leaves.

use std::collections::HashMap;

use expressions::UtcTime;
use mapping::group::GroupKey;
use mapping::{FhirMapping, Measurement};

use super::{Conversion, Converter, Destination, Part};
use crate::away::Away;
use crate::current_mapping::Compiled;
use crate::dead_letter::DeadLetters;
use crate::fate::MeasurementFate;
use crate::parking::Parking;
use crate::turn::Turn;

impl<T: Destination + Sync, D: DeadLetters + Sync, P: Parking + Sync> Converter<T, D, P> {
    /// Saves the measurements of `part`, each wave after the one before.
    pub(super) async fn save_replayed(
        &self,
        mapping: &Compiled<FhirMapping>,
        Part { measurements, fates, .. }: Part<'_, '_>,
        at: (UtcTime, Turn<'_>),
        conversion: &mut Conversion,
    ) -> Result<(), Away> {
        for wave in waves(measurements) {
            self.save_some(mapping, (measurements, &wave, &mut *fates), at, conversion).await?;
            if wave.len() < 2 {
                continue;
            }
            for position in wave.into_iter().rev() {
                if matches!(fates[position], Some(MeasurementFate::Rejected(_))) {
                    self.save_some(mapping, (measurements, &[position], &mut *fates), at, conversion).await?;
                }
            }
        }
        Ok(())
    }

    /// Saves those of the measurements that are at `positions`.
    async fn save_some(
        &self,
        mapping: &Compiled<FhirMapping>,
        (measurements, positions, fates): (&[Measurement<'_>], &[usize], &mut [Option<MeasurementFate>]),
        (now, turn): (UtcTime, Turn<'_>),
        conversion: &mut Conversion,
    ) -> Result<(), Away> {
        let some: Vec<Measurement<'_>> = positions.iter().map(|position| measurements[*position].clone()).collect();
        let mut own = vec![None; some.len()];
        let part = Part { measurements: &some, fates: &mut own, replayed: true };
        self.save_together(mapping, part, now, turn, conversion).await?;
        for (position, fate) in positions.iter().zip(own) {
            fates[*position] = fate;
        }
        Ok(())
    }
}

/// The positions of measurements, so that no two of a wave are of one instant of
/// one group. The last of each instant is in the first wave.
fn waves(measurements: &[Measurement<'_>]) -> Vec<Vec<usize>> {
    let mut waves: Vec<Vec<usize>> = Vec::new();
    let mut later: HashMap<(GroupKey<'_>, UtcTime), usize> = HashMap::new();
    for (position, measurement) in measurements.iter().enumerate().rev() {
        let wave = later.entry((GroupKey::of(measurement), measurement.occurrence_time)).or_default();
        if waves.len() <= *wave {
            waves.push(Vec::new());
        }
        waves[*wave].push(position);
        *wave += 1;
    }
    waves.iter_mut().for_each(|wave| wave.reverse());
    waves
}
