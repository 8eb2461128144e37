//! SampledData: a series of values as one text over a grid of equal steps
//! (fhir-conversion.md 6.5).
//!
//! ```text
//! text --decode--> samples --merge with new ones--> samples --build--> text
//! text --splice new ones in, on the same grid--> text
//! ```
//!
//! A [`Grid`] is a start and a period. Token `k` of a text is the sample of the
//! step that begins `k` periods after the start; `E` says that there is none.
//! A value belongs to the step it falls into, and of several the last is kept.
//! Nothing here knows of Observations.

use rust_decimal::Decimal;

use expressions::UtcTime;

use crate::convert::is_blank;
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
        if let Some(ticks) = self.ticks() {
            return step.saturating_mul(ticks);
        }
        let twice = 2 * self.denominator;
        let ticks = (2 * i128::from(step) * self.numerator + self.denominator).div_euclid(twice);
        ticks.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// The ticks of a period that has no fraction of one, as nearly all have.
    /// 128 bits divide many times slower than 64.
    fn ticks(self) -> Option<i64> {
        if self.denominator == 1 { i64::try_from(self.numerator).ok() } else { None }
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
        if let Some(period) = self.period.ticks() {
            return ticks.div_euclid(period);
        }
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
pub fn samples<'v>(values: &'v [TimedValue<'_>]) -> Vec<Sample<'v>> {
    let sample = |value: &'v TimedValue<'_>| {
        let text = value.value.as_deref()?;
        (!is_blank(text)).then_some(Sample { time: value.time, value: text })
    };
    values.iter().filter_map(sample).collect()
}

/// Whether FHIR lets a series hold this text: a decimal number without
/// exponent, or one of `E`, `L` and `U` (quirk 33).
pub fn is_sample(text: &str) -> bool {
    if matches!(text, "E" | "L" | "U") {
        return true;
    }
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let points = digits.iter().filter(|byte| **byte == b'.').count();
    let is_number = digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    is_number && points <= 1 && digits.last().is_some_and(u8::is_ascii_digit)
}

/// The text of `samples`, which are in the order of time: one token for each
/// step that begins from the start of the grid up to and including `end`, the
/// last sample of the step or [`GAP`]. Samples outside the steps are left out.
pub fn build(samples: &[Sample<'_>], grid: &Grid, end: UtcTime) -> Result<String, TooManySamples> {
    let mut text = String::with_capacity(length(samples, grid, end));
    write(samples, grid, end, &mut text)?;
    Ok(text)
}

/// How many bytes the text of `samples` has, if a value has no more than five;
/// nearly all have fewer.
pub(crate) fn length(samples: &[Sample<'_>], grid: &Grid, end: UtcTime) -> usize {
    2 * grid.steps_until(end).min(SAMPLES_MAX) + 4 * samples.len()
}

/// Appends what [`build`] gives.
pub(crate) fn write(samples: &[Sample<'_>], grid: &Grid, end: UtcTime, out: &mut String) -> Result<(), TooManySamples> {
    let mut tokens = Tokens::new(grid, end, out)?;
    for (step, value) in steps(samples, grid) {
        tokens.gaps_to(step);
        tokens.push(step, value);
    }
    tokens.gaps_to(i64::MAX);
    Ok(())
}

/// The text with `new` samples in it, both over the steps of the same grid up
/// to and including `end`: what decoding, [`merge`] and [`build`] give, but
/// without looking at tokens that stay. `text` is not blank.
pub fn splice(
    text: &str,
    new: &[Sample<'_>],
    grid: &Grid,
    end: UtcTime,
    policy: MergePolicy,
) -> Result<String, TooManySamples> {
    let mut out = String::with_capacity(length(new, grid, end).max(text.len() + 6 * new.len()));
    let mut stored = Stored { rest: Some(text) };
    let mut tokens = Tokens::new(grid, end, &mut out)?;
    for (step, value) in steps(new, grid) {
        if !(0..tokens.end).contains(&step) {
            continue;
        }
        tokens.take_to(step, &mut stored);
        match stored.take(1) {
            Some((token, _)) if policy == MergePolicy::StoredWins && token != GAP => tokens.push(step, token),
            _ => tokens.push(step, value),
        }
    }
    tokens.take_to(i64::MAX, &mut stored);
    Ok(out)
}

/// The last sample of each step, in the order of the steps.
fn steps<'v>(samples: &[Sample<'v>], grid: &Grid) -> Vec<(i64, &'v str)> {
    let mut steps: Vec<(i64, &'v str)> = Vec::with_capacity(samples.len());
    for sample in samples {
        let step = grid.step(sample.time);
        match steps.last_mut() {
            Some(last) if last.0 == step => last.1 = sample.value,
            _ => steps.push((step, sample.value)),
        }
    }
    if !steps.is_sorted_by_key(|step| step.0) {
        steps.sort_by_key(|step| step.0);
        steps.dedup_by(|later, earlier| {
            later.0 == earlier.0 && {
                earlier.1 = later.1;
                true
            }
        });
    }
    steps
}

/// Writes the tokens of a series, each once and in order.
struct Tokens<'o> {
    out: &'o mut String,
    /// The step that comes next.
    next: i64,
    /// The step that there is no more.
    end: i64,
}

impl<'o> Tokens<'o> {
    fn new(grid: &Grid, end: UtcTime, out: &'o mut String) -> Result<Tokens<'o>, TooManySamples> {
        match grid.steps_until(end) {
            count if count > SAMPLES_MAX => Err(TooManySamples),
            count => Ok(Tokens { out, next: 0, end: count as i64 }),
        }
    }

    /// The token of `step`, if its turn has come.
    fn push(&mut self, step: i64, token: &str) {
        if step == self.next && step < self.end {
            self.push_all(token, 1);
        }
    }

    fn push_all(&mut self, tokens: &str, count: i64) {
        if self.next > 0 {
            self.out.push(' ');
        }
        self.out.push_str(tokens);
        self.next += count;
    }

    /// Gaps for the steps before `step`.
    fn gaps_to(&mut self, step: i64) {
        const GAPS: &str = "E E E E E E E E E E E E E E E E E E E E E E E E E E E E E E E E";
        const COUNT: i64 = GAPS.len() as i64 / 2 + 1;
        let end = step.min(self.end);
        while self.next < end {
            let count = (end - self.next).min(COUNT);
            self.push_all(&GAPS[..2 * count as usize - 1], count);
        }
    }

    /// What is stored for the steps before `step`, and gaps where nothing is.
    fn take_to(&mut self, step: i64, stored: &mut Stored<'_>) {
        let step = step.min(self.end);
        if step > self.next
            && let Some((tokens, count)) = stored.take((step - self.next) as usize)
        {
            self.push_all(tokens, count as i64);
        }
        self.gaps_to(step);
    }
}

/// The tokens of a text that have not been taken.
struct Stored<'t> {
    /// None at the end; what ends in a blank has one more token, an empty one.
    rest: Option<&'t str>,
}

impl<'t> Stored<'t> {
    /// The next tokens, `wanted` of them or, if there are fewer, all, and how
    /// many they are.
    fn take(&mut self, wanted: usize) -> Option<(&'t str, usize)> {
        let text = self.rest?;
        let (mut seen, mut at) = (0, 0);
        for chunk in text.as_bytes().chunks(64) {
            let is_blank = |byte: &u8| *byte == b' ';
            // A chunk's blanks fit a byte, and bytes are counted many at a time.
            let here = usize::from(chunk.iter().map(|byte| u8::from(is_blank(byte))).sum::<u8>());
            if seen + here >= wanted {
                let blanks = chunk.iter().enumerate().filter(|(_, byte)| is_blank(byte));
                let end = at + blanks.map(|blank| blank.0).nth(wanted - seen - 1)?;
                self.rest = text.get(end + 1..);
                return Some((&text[..end], wanted));
            }
            seen += here;
            at += chunk.len();
        }
        self.rest = None;
        Some((text, seen + 1))
    }
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
