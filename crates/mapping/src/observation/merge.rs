//! Readings into an Observation that is stored already (fhir-conversion.md 6.4
//! and 6.5).
//!
//! What the readings do not speak of stays as it is. Under
//! [`MergePolicy::StoredWins`] they only fill gaps, and when there is none to
//! fill, nothing changes at all.

use expressions::UtcTime;

use super::create::{self, Period};
use super::effective::Effective;
use super::members::Members;
use super::{Merged, Observation};
use crate::convert_error::ConvertError;
use crate::fhir_mapping::{FhirTemplate, ValueKind, ValueTemplate};
use crate::group::{ObservationGroup, TimedValue};
use crate::identifier::SERVICE_SYSTEM;
use crate::json;
use crate::sampled_data::{self, Grid, MergePolicy, SAMPLES_MAX, Sample, SamplePeriod};

const SAMPLED_DATA: &str = "valueSampledData";

pub(super) fn merge(
    stored: &Observation,
    template: &FhirTemplate,
    group: &ObservationGroup<'_>,
    policy: MergePolicy,
) -> Result<Merged, ConvertError> {
    let effective = Effective::read(stored)?;
    let moves = group.start < effective.start;
    let mut members = stored.members.clone();
    // What neither moves nor is asked for is not looked into.
    let wants_components = moves || !template.components().is_empty();
    let mut components = if wants_components { Components::read(&members) } else { Components::default() };

    let start = if moves {
        let holders = std::iter::once(&members).chain(&components.list);
        sampled_data::common_start(effective.start, group.start, holders.filter_map(stored_period))
    } else {
        effective.start
    };
    let period = Period { start, end: effective.end.max(group.end) };
    if start != effective.start {
        let moved = |holder: &mut Members| move_series(holder, effective.start, period);
        moved(&mut members)?;
        components.list.iter_mut().try_for_each(moved)?;
    }

    let merge = Merge { period, policy };
    let mut changed = false;
    if let Some(value) = &template.value
        && let Some(values) = create::value_of(value, group)
    {
        changed |= merge.value(&mut members, value, values)?;
    }
    let mut components_changed = false;
    for component in template.components() {
        let Some(values) = create::value_of(&component.value, group) else { continue };
        let name = component.value.property().unwrap_or_default();
        components_changed |= match components.find(name) {
            Some(stored) => merge.value(stored, &component.value, values)?,
            None => {
                let mut new = String::new();
                create::push_component(component, values, period, &mut new)?;
                components.list.extend(Members::read(&new));
                true
            }
        };
    }
    changed |= components_changed;
    if policy == MergePolicy::StoredWins && !changed {
        return Ok(Merged { observation: stored.clone(), changed: false });
    }

    changed |= set_category(&mut members, template);
    changed |= start != effective.start || effective.ends_before(group.end) || !effective.is_period;
    if !changed {
        return Ok(Merged { observation: stored.clone(), changed: false });
    }
    if (components_changed || start != effective.start) && !components.list.is_empty() {
        members.set("component", &components.json());
    }
    let old = if effective.is_period { "effectivePeriod" } else { "effectiveDateTime" };
    let mut json = String::with_capacity(80);
    create::push_period(period, &mut json);
    members.replace(old, "effectivePeriod", &json);
    Ok(Merged { observation: Observation { members }, changed: true })
}

/// The components of a stored Observation.
#[derive(Default)]
pub(super) struct Components {
    list: Vec<Members>,
}

impl Components {
    pub(super) fn read(members: &Members) -> Components {
        let list = members.get("component").and_then(json::elements);
        Components { list: list.into_iter().flatten().filter_map(Members::read).collect() }
    }

    /// The first component that has our own coding for the value `name`.
    pub(super) fn find(&mut self, name: &str) -> Option<&mut Members> {
        let is = |coding: &str, member: &str, wanted: &str| {
            json::member(coding, member).and_then(json::text).as_deref() == Some(wanted)
        };
        // Most are told apart without being read, as the name is not in them.
        let may_say = |text: &str| {
            memchr::memmem::find(text.as_bytes(), name.as_bytes()).is_some()
                || memchr::memchr(b'\\', text.as_bytes()).is_some()
        };
        let is_ours =
            |coding: &str| may_say(coding) && is(coding, "code", name) && is(coding, "system", SERVICE_SYSTEM);
        self.list.iter_mut().find(|component| {
            let code = component.get("code").filter(|code| may_say(code));
            let codings = code.and_then(|code| json::elements(json::member(code, "coding")?));
            codings.into_iter().flatten().any(is_ours)
        })
    }

    fn json(&self) -> String {
        let mut json =
            String::with_capacity(self.list.iter().map(|component| component.json().len() + 1).sum::<usize>() + 1);
        for (at, component) in self.list.iter().enumerate() {
            json.push(if at == 0 { '[' } else { ',' });
            json.push_str(component.json());
        }
        json.push(']');
        json
    }
}

/// How values are merged.
struct Merge {
    /// What the Observation will stand for. Stored series begin at its start.
    period: Period,
    policy: MergePolicy,
}

impl Merge {
    /// Merges a value into an Observation or component, and says whether it
    /// changed. One that has no value yet gets it (quirk 28); one of another
    /// type is an error.
    fn value(
        &self,
        holder: &mut Members,
        template: &ValueTemplate,
        values: &[TimedValue<'_>],
    ) -> Result<bool, ConvertError> {
        let name = create::member_name(&template.kind);
        let stored = match stored_value(holder) {
            Some((stored_name, stored)) if stored_name == name => Some(stored),
            Some(_) => {
                return Err(ConvertError::ValueTypeDiffers {
                    value_name: template.property().unwrap_or_default().to_owned(),
                    expected: template.kind.type_name(),
                });
            }
            None => None,
        };
        let merged = match (&template.kind, stored) {
            (ValueKind::SampledData { period, .. }, Some(stored)) => self.series(template, *period, stored, values)?,
            (_, Some(_)) if self.policy == MergePolicy::StoredWins => None,
            (_, stored) => {
                let mut element = String::new();
                let is_given = create::push_value(template, values, self.period, &mut element)?;
                let differs = is_given && stored.is_none_or(|stored| !json::is_same(stored, &element));
                differs.then_some(element)
            }
        };
        let Some(merged) = merged else { return Ok(false) };
        holder.set(name, &merged);
        Ok(true)
    }

    /// Merges samples into a stored series; none when that changes nothing.
    /// The stored samples are read with the stored period, and all are written
    /// with the template's (quirk 29). Origin, factor and limits stay.
    fn series(
        &self,
        template: &ValueTemplate,
        period: SamplePeriod,
        stored: &str,
        values: &[TimedValue<'_>],
    ) -> Result<Option<String>, ConvertError> {
        let number = |name: &str| json::member(stored, name).and_then(json::number);
        if number("dimensions").is_some_and(|dimensions| dimensions > 1.into()) {
            let value_name = template.property().unwrap_or_default().to_owned();
            return Err(ConvertError::SeveralDimensions { value_name });
        }
        let new = create::samples_of(template, values)?;
        let old_period = number("period").and_then(SamplePeriod::from_milliseconds).unwrap_or(period);
        let old_text = json::member(stored, "data").and_then(json::text).unwrap_or_default();
        let is_on_grid = old_period.same_as(period);

        let old_grid = Grid { start: self.period.start, period: old_period };
        let grid = Grid { start: self.period.start, period };
        if self.policy == MergePolicy::StoredWins
            && !fills_a_gap(&stored_samples(&old_text, old_grid), &new, &grid, self.period.end)
        {
            return Ok(None);
        }
        let text = if is_on_grid && !old_text.trim().is_empty() {
            sampled_data::splice(&old_text, &new, &grid, self.period.end, self.policy)
        } else {
            let all = sampled_data::merge(stored_samples(&old_text, old_grid), new, &grid, self.policy);
            sampled_data::build(&all, &grid, self.period.end)
        };
        let text = text.map_err(|_| create::too_many(template))?;
        if text == old_text && is_on_grid {
            return Ok(None);
        }
        let mut members = Members::read(stored).unwrap_or_default();
        members.set_text("data", &text);
        if !is_on_grid {
            members.set("period", &period.milliseconds().to_string());
        }
        Ok(Some(members.into_json()))
    }
}

/// Whether one of the new samples is in a step that has none yet.
fn fills_a_gap(old: &[Sample<'_>], new: &[Sample<'_>], grid: &Grid, end: UtcTime) -> bool {
    let steps = 0..i64::try_from(grid.steps_until(end)).unwrap_or(i64::MAX);
    let fills = |sample: &Sample<'_>| {
        let step = grid.step(sample.time);
        // The stored samples are in the order of time, and so of their steps.
        steps.contains(&step) && old.binary_search_by_key(&step, |sample| grid.step(sample.time)).is_err()
    };
    new.iter().any(|sample| !sample.is_gap() && fills(sample))
}

/// The samples of a stored series. One without text has none.
pub(super) fn stored_samples(text: &str, grid: Grid) -> Vec<Sample<'_>> {
    match sampled_data::decode(text, &grid) {
        Ok(samples) => samples.filter(|sample| !sample.is_gap()).collect(),
        Err(sampled_data::BlankSeries) => Vec::new(),
    }
}

/// The period of the series in an Observation or component.
pub(super) fn stored_period(holder: &Members) -> Option<SamplePeriod> {
    SamplePeriod::from_milliseconds(json::number(json::member(holder.get(SAMPLED_DATA)?, "period")?)?)
}

/// Writes a stored series anew from the start of `period`, so that its samples
/// keep their times when the Observation begins earlier than it did.
fn move_series(holder: &mut Members, old_start: UtcTime, period: Period) -> Result<(), ConvertError> {
    let (Some(step), Some(series)) = (stored_period(holder), holder.get(SAMPLED_DATA)) else { return Ok(()) };
    let mut series = Members::read(series).unwrap_or_default();
    let text = series.text("data").unwrap_or_default().into_owned();
    let old = Grid { start: old_start, period: step };
    let Ok(samples) = sampled_data::decode(&text, &old) else { return Ok(()) };
    let (gaps, samples): (Vec<Sample<'_>>, Vec<Sample<'_>>) = samples.partition(Sample::is_gap);
    let last = old.time((gaps.len() + samples.len()) as i64 - 1);
    let moved = sampled_data::build(&samples, &Grid { start: period.start, period: step }, last)
        .map_err(|_| ConvertError::TooManySamples { value_name: "stored".to_owned(), max: SAMPLES_MAX })?;
    series.set_text("data", &moved);
    holder.set(SAMPLED_DATA, series.json());
    Ok(())
}

/// Sets or removes `category` as the template has it; says whether it changed.
fn set_category(members: &mut Members, template: &FhirTemplate) -> bool {
    let Some(category) = &template.category_json else { return members.remove("category") };
    if members.get("category").is_some_and(|stored| json::is_same(stored, category)) {
        return false;
    }
    members.set("category", category);
    true
}

/// `value[x]` with its name, whatever its type.
pub(super) fn stored_value(members: &Members) -> Option<(&str, &str)> {
    let is_value = |name: &str| name.strip_prefix("value").is_some_and(|kind| kind.starts_with(char::is_uppercase));
    members.iter().find(|member| is_value(member.0))
}
