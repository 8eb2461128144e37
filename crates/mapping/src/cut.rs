//! Cuts measurement groups into observation groups as the FHIR mapping says.
//!
//! This is [`crate::group`]'s second cut with what only the mapping knows: the
//! period interval of the type, and which readings no Observation could hold.
//! Every measurement of the group comes back once: in an observation group, as
//! superseded in it, or as rejected.

use crate::convert_error::ConvertError;
use crate::fhir_mapping::{FhirMapping, FhirTemplate, ValueKind};
use crate::group::{self, MeasurementGroup, ObservationGroup, Reading};
use crate::sampled_data;

/// The Observations that one measurement group is cut into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut<'g> {
    /// In the order in which their periods are first met.
    pub groups: Vec<ObservationGroup<'g>>,
    /// The measurements that are in none.
    pub rejected: Vec<Rejected>,
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
        Ok(Cut { groups: group::cut(group, &readings, template.interval)?, rejected })
    }
}

fn invalid_sample(template: &FhirTemplate, reading: &Reading<'_>) -> Option<ConvertError> {
    let series = template.values().filter(|value| matches!(value.kind, ValueKind::SampledData { .. }));
    let mut names = series.filter_map(|value| value.property());
    let is_invalid = |name: &&str| {
        let property = reading.properties.iter().find(|property| property.name == *name);
        let text = property.and_then(|property| property.value.as_deref()).unwrap_or_default();
        !sampled_data::is_sample(text) && !sampled_data::is_blank(text)
    };
    names.find(is_invalid).map(|name| ConvertError::InvalidSample { value_name: name.to_owned() })
}

#[cfg(test)]
mod tests;
