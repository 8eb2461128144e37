//! Cuts measurement groups into observation groups as the FHIR mapping says.
//!
//! This is [`crate::group`]'s second cut with what only the mapping knows: the
//! period interval of the type, and which readings no Observation could hold.
//! Every measurement of the group comes back once: in an observation group, as
//! superseded in it, or as rejected.

use rust_decimal::Decimal;

use crate::convert::is_blank;
use crate::convert_error::ConvertError;
use crate::fhir_mapping::{FhirMapping, FhirTemplate, ValueKind, ValueTemplate};
use crate::group::{self, MeasurementGroup, ObservationGroup, PeriodInterval, Reading};
use crate::observation::quantity;
use crate::sampled_data;

/// The Observations that one measurement group is cut into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut<'g> {
    /// In the order in which their periods are first met.
    pub groups: Vec<ObservationGroup<'g>>,
    /// The measurements that are in none.
    pub rejected: Vec<Rejected>,
    /// How many of the groups have no property that the template names: their
    /// Observations are written, and get no value from them (fhir-conversion.md
    /// quirk 49).
    pub without_value: usize,
}

/// A measurement that no Observation can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its position in the list that was grouped.
    pub measurement: usize,
    /// Why.
    pub error: ConvertError,
}

impl FhirMapping {
    /// Cuts a group as the template of its type says; an error is about all of
    /// its measurements. A reading with a sample that no series can hold is
    /// rejected alone, so that it does not take those of its hour or day with
    /// it (fhir-conversion.md quirks 33 and 47).
    pub fn observation_groups<'g>(&self, group: &'g MeasurementGroup<'_>) -> Result<Cut<'g>, ConvertError> {
        if group.device_id.trim().is_empty() {
            return Err(ConvertError::DeviceIdNotDefined);
        }
        let template = self.template_of(group.r#type)?;
        let mut rejected = Vec::new();
        let mut readings = Vec::with_capacity(group.readings.len());
        for reading in &group.readings {
            match invalid_sample(template, reading) {
                None => readings.push(reading),
                Some(error) => rejected
                    .extend(reading.measurements().map(|measurement| Rejected { measurement, error: error.clone() })),
            }
        }
        let mut groups = group::cut(group, &readings, template.interval)?;
        if self.compatibility().subsecond_identifiers && template.interval == PeriodInterval::Single {
            groups.iter_mut().for_each(|group| group.id_segment = group::instant_segment(group.start).into());
        }
        if self.compatibility().quantity_exponents {
            groups.iter_mut().for_each(|group| write_exponents_out(template, group));
        }
        let without_value = groups.iter().filter(|group| takes_no_value_of(template, group)).count();
        Ok(Cut { groups, rejected, without_value })
    }
}

/// Whether the template names no property of the group.
fn takes_no_value_of(template: &FhirTemplate, group: &ObservationGroup<'_>) -> bool {
    let mut names = template.values().filter_map(|value| value.property());
    !names.any(|name| group.values_of(name).is_some())
}

/// The values of the template that are series.
fn series(template: &FhirTemplate) -> impl Iterator<Item = &ValueTemplate> {
    template.values().filter(|value| matches!(value.kind, ValueKind::SampledData { .. }))
}

/// Writes the samples that have an exponent without, since a series cannot hold
/// one.
fn write_exponents_out(template: &FhirTemplate, group: &mut ObservationGroup<'_>) {
    for name in series(template).filter_map(|value| value.property()) {
        let values = group.values.iter_mut().filter(|property| property.name == name);
        for value in values.flat_map(|property| &mut property.values) {
            let text = value.value.as_deref().unwrap_or_default();
            if let Some(number) = number_with_exponent(text) {
                value.value = Some(number.to_string().into());
            }
        }
    }
}

fn number_with_exponent(text: &str) -> Option<Decimal> {
    // `E` alone is a gap.
    let has_exponent = text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'e')) && text != sampled_data::GAP;
    has_exponent.then(|| quantity::parse(text, true)).flatten()
}

fn invalid_sample(template: &FhirTemplate, reading: &Reading<'_>) -> Option<ConvertError> {
    let is_invalid = |value: &&ValueTemplate| {
        let property = reading.properties.iter().find(|property| value.property() == Some(&*property.name));
        let text = property.and_then(|property| property.value.as_deref()).unwrap_or_default();
        let is_sample = || sampled_data::is_sample(text) || (value.exponents && number_with_exponent(text).is_some());
        !is_blank(text) && !is_sample()
    };
    let value_name = series(template).find(is_invalid)?.property().unwrap_or_default().to_owned();
    Some(ConvertError::InvalidSample { value_name })
}

#[cfg(test)]
mod tests;
