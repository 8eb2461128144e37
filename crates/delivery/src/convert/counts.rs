//! What is counted of a batch, beside the fates themselves.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::AddAssign;

use mapping::FhirMapping;

use super::SaveOutcome;
use crate::fate::{MeasurementFate, NO_FATE, TemplateCount};
use crate::incoming::Incoming;

/// How many Observations were saved how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// New ones.
    pub created: usize,
    /// Changed ones.
    pub merged: usize,
    /// Those that held everything already.
    pub unchanged: usize,
}

impl AddAssign for Saved {
    fn add_assign(&mut self, other: Saved) {
        self.created += other.created;
        self.merged += other.merged;
        self.unchanged += other.unchanged;
    }
}

impl Saved {
    pub(super) fn of(outcomes: &[SaveOutcome]) -> Saved {
        let count = |wanted: &SaveOutcome| outcomes.iter().filter(|outcome| *outcome == wanted).count();
        Saved {
            created: count(&SaveOutcome::Created),
            merged: count(&SaveOutcome::Merged),
            unchanged: count(&SaveOutcome::Unchanged),
        }
    }
}

/// Template, fate and reason.
type CountedBy<'f> = (Option<&'f str>, &'static str, Option<&'f Cow<'static, str>>);

/// Counts the measurements by the template that the mapping has for them, and
/// their fates.
pub(super) fn by_template(
    mapping: &FhirMapping,
    incoming: &Incoming<'_>,
    fates: &[Option<MeasurementFate>],
) -> Vec<TemplateCount> {
    let mut counts: BTreeMap<CountedBy<'_>, usize> = BTreeMap::new();
    let no_fate = Cow::Borrowed(NO_FATE);
    for (measurement, fate) in incoming.measurements.iter().zip(fates) {
        let template = mapping.template(&measurement.r#type).map(|template| template.type_name.as_str());
        let (fate, reason) = match fate {
            Some(fate) => (fate.as_str(), fate.reason().map(|reason| &reason.code)),
            None => ("rejected", Some(&no_fate)),
        };
        *counts.entry((template, fate, reason)).or_default() += 1;
    }
    for (_, reason) in &incoming.rejected {
        *counts.entry((None, "rejected", Some(&reason.code))).or_default() += 1;
    }
    let count = |((template, fate, reason), measurements): (CountedBy<'_>, usize)| TemplateCount {
        template: template.map(str::to_owned),
        fate,
        reason: reason.cloned(),
        measurements,
    };
    counts.into_iter().map(count).collect()
}
