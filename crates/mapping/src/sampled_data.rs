//! SampledData: a series of values as one text over a grid of equal steps
//! (fhir-conversion.md 6.5).
//!
//! ```text
//! text --decode--> samples --merge with new ones--> samples --build--> text
//! ```
//!
//! A [`Grid`] is a start and a period. Token `k` of a text is the sample of the
//! step that begins `k` periods after the start; `E` says that there is none.
//! A value belongs to the step it falls into, and of several the last is kept.
//! Nothing here knows of Observations.

use rust_decimal::Decimal;

use expressions::UtcTime;

use crate::group::TimedValue;

/// The most samples that one series may have: more than an hour at 250 Hz, the
/// densest that is in use (an ECG). A text of this length has at least 2 MB; a
/// correlation group over a year would have thousands of times that.
pub const SAMPLES_MAX: usize = 1_000_000;

/// Stands where a step has no sample.
pub const GAP: &str = "E";

/// Ticks of 100 ns in a millisecond.
const TICKS_PER_MILLISECOND: i128 = 10_000;

/// The time between two samples: a positive number of milliseconds, of at
/// least one tick of 100 ns, perhaps with a fraction of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplePeriod {
    milliseconds: Decimal,
    /// The period in ticks is `numerator / denominator`, in lowest terms.
    numerator: i128,
    denominator: i128,
}

impl SamplePeriod {
    /// None when it is not positive or shorter than a tick.
    pub fn from_milliseconds(milliseconds: Decimal) -> Option<SamplePeriod> {
        // Ten digits keep the products below within 128 bits; a period as long
        // as all of time has one sample whatever it is.
        let rounded = milliseconds.round_dp(10).normalize();
        let denominator = 10_i128.pow(rounded.scale());
        let longest = i128::from(UtcTime::MAX.ticks()) + 1;
        let ticks = rounded.mantissa().checked_mul(TICKS_PER_MILLISECOND).unwrap_or(i128::MAX);
        let numerator = ticks.min(longest * denominator);
        let common = greatest_common_divisor(numerator, denominator);
        let (numerator, denominator) = (numerator / common, denominator / common);
        (numerator >= denominator).then_some(SamplePeriod { milliseconds, numerator, denominator })
    }

    /// The period as it was given.
    pub fn milliseconds(self) -> Decimal {
        self.milliseconds
    }

    /// Whether both are the same time, however they are written.
    pub fn same_as(self, other: SamplePeriod) -> bool {
        (self.numerator, self.denominator) == (other.numerator, other.denominator)
    }

    /// Where step `step` begins, in ticks after the start, to the nearest tick.
    fn offset(self, step: i64) -> i64 {
        let twice = 2 * self.denominator;
        let ticks = (2 * i128::from(step) * self.numerator + self.denominator).div_euclid(twice);
        ticks.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// The fewest ticks that are a whole number of periods.
    fn whole_ticks(self) -> i128 {
        self.numerator
    }
}

fn greatest_common_divisor(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// A start, and steps of equal length from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Where step 0 begins.
    pub start: UtcTime,
    /// How long a step is.
    pub period: SamplePeriod,
}

impl Grid {
    /// The step that `time` falls into; negative before the start.
    pub fn step(&self, time: UtcTime) -> i64 {
        let ticks = time.ticks() - self.start.ticks();
        let estimate = (i128::from(ticks) * self.period.denominator).div_euclid(self.period.numerator);
        let mut step = estimate as i64;
        // A step begins at the nearest tick, so the estimate may be off by one.
        if self.period.offset(step) > ticks {
            step -= 1;
        } else if self.period.offset(step + 1) <= ticks {
            step += 1;
        }
        step
    }

    /// When `step` begins.
    pub fn time(&self, step: i64) -> UtcTime {
        self.start.saturating_add(self.period.offset(step))
    }

    /// How many steps begin up to and including `end`.
    pub fn steps_until(&self, end: UtcTime) -> usize {
        if end < self.start { 0 } else { usize::try_from(self.step(end) + 1).unwrap_or(usize::MAX) }
    }
}

/// One sample of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'v> {
    /// When it was taken; of a decoded one, when its step begins.
    pub time: UtcTime,
    /// Its text.
    pub value: &'v str,
}

impl Sample<'_> {
    /// Whether it says that there is no value.
    pub fn is_gap(&self) -> bool {
        self.value == GAP
    }
}

/// Which of two values for the same thing stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergePolicy {
    /// The new one: readings as they come in.
    NewWins,
    /// The stored one: readings that are replayed after others of their time
    /// only fill gaps (design.md D7).
    StoredWins,
}

/// A series would be longer than [`SAMPLES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the series would have more than {SAMPLES_MAX} samples")]
pub struct TooManySamples;

/// A series' text has nothing in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text of the series is blank")]
pub struct BlankSeries;

/// The values that are samples, in their order: those that say nothing, null or
/// blank, are none and so erase nothing (quirk 34).
pub fn samples<'v>(values: &'v [TimedValue]) -> Vec<Sample<'v>> {
    let sample = |value: &'v TimedValue| {
        let text = value.value.as_deref()?;
        (!text.trim().is_empty()).then_some(Sample { time: value.time, value: text })
    };
    values.iter().filter_map(sample).collect()
}

/// Whether FHIR lets a series hold this text: a decimal number without
/// exponent, or one of `E`, `L` and `U` (quirk 33).
pub fn is_sample(text: &str) -> bool {
    if matches!(text, "E" | "L" | "U") {
        return true;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or(("", digits));
    let all_digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    !fraction.is_empty() && all_digits(whole) && all_digits(fraction)
}

/// The text of `samples`, which are in the order of time: one token for each
/// step that begins from the start of the grid up to and including `end`, the
/// last sample of the step or [`GAP`]. Samples outside the steps are left out.
pub fn build(samples: &[Sample<'_>], grid: &Grid, end: UtcTime) -> Result<String, TooManySamples> {
    let count = grid.steps_until(end);
    if count > SAMPLES_MAX {
        return Err(TooManySamples);
    }
    let mut tokens = vec![GAP; count];
    for sample in samples {
        let token = usize::try_from(grid.step(sample.time)).ok().and_then(|step| tokens.get_mut(step));
        if let Some(token) = token {
            *token = sample.value;
        }
    }
    Ok(tokens.join(" "))
}

/// The samples in a text, gaps among them ([`Sample::is_gap`]).
pub fn decode<'t>(text: &'t str, grid: &Grid) -> Result<impl Iterator<Item = Sample<'t>> + use<'t>, BlankSeries> {
    if text.trim().is_empty() {
        return Err(BlankSeries);
    }
    let grid = *grid;
    Ok(text.split(' ').enumerate().map(move |(step, value)| Sample { time: grid.time(step as i64), value }))
}

/// Both lists in the order of time. Of samples that fall into the same step of
/// the grid, those of the list that the policy favours stay, all of them.
pub fn merge<'v>(stored: Vec<Sample<'v>>, new: Vec<Sample<'v>>, grid: &Grid, policy: MergePolicy) -> Vec<Sample<'v>> {
    let (mut all, others) = match policy {
        MergePolicy::NewWins => (new, stored),
        MergePolicy::StoredWins => (stored, new),
    };
    let mut taken: Vec<i64> = all.iter().map(|sample| grid.step(sample.time)).collect();
    taken.sort_unstable();
    all.extend(others.into_iter().filter(|sample| taken.binary_search(&grid.step(sample.time)).is_err()));
    all.sort_by_key(|sample| sample.time);
    all
}

/// Where a grid has to start so that it reaches back to `new` and still has a
/// step at `stored`: whole periods before it, of each of the `periods`, so that
/// no stored sample changes its time (quirk 30). Just the earlier of the two
/// when nothing is stored in periods, or when the periods only meet again after
/// more than an hour.
pub fn common_start(stored: UtcTime, new: UtcTime, periods: impl IntoIterator<Item = SamplePeriod>) -> UtcTime {
    if new >= stored {
        return stored;
    }
    const HOUR: i128 = 36_000_000_000;
    let step = periods.into_iter().try_fold(1_i128, |step, period| {
        let ticks = period.whole_ticks();
        let both = (step / greatest_common_divisor(step, ticks)).checked_mul(ticks)?;
        (both <= HOUR).then_some(both)
    });
    let Some(step) = step else { return new };
    let before = i128::from(stored.ticks() - new.ticks());
    let back = (before + step - 1) / step * step;
    UtcTime::from_ticks(stored.ticks().saturating_sub(i64::try_from(back).unwrap_or(i64::MAX))).unwrap_or(new)
}

#[cfg(test)]
mod tests;
