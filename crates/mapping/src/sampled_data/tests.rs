use proptest::prelude::*;

use super::*;

fn ms(milliseconds: &str) -> SamplePeriod {
    SamplePeriod::from_milliseconds(milliseconds.parse().unwrap()).unwrap()
}

/// An instant, in milliseconds from some day's start.
fn at(milliseconds: f64) -> UtcTime {
    let day = UtcTime::from_parts((2023, 10, 9), (0, 0, 0), 0).unwrap();
    day.saturating_add((milliseconds * 10_000.0) as i64)
}

fn grid(start: f64, period: &str) -> Grid {
    Grid { start: at(start), period: ms(period) }
}

fn list<'v>(samples: &[(f64, &'v str)]) -> Vec<Sample<'v>> {
    samples.iter().map(|(time, value)| Sample { time: at(*time), value }).collect()
}

/// Merges new samples into the text of a series from 0 on and writes it anew.
fn merged(text: &str, new: &[(f64, &str)], end: f64, policy: MergePolicy) -> String {
    let grid = grid(0.0, "600000");
    let stored = decode(text, &grid).unwrap().filter(|sample| !sample.is_gap()).collect();
    build(&merge(stored, list(new), &grid, policy), &grid, at(end)).unwrap()
}

/// The last tick of an hour.
const HOUR_END: f64 = 3_600_000.0 - 0.000_1;

/// The vectors of fhir-conversion.md 13.3 that are not defects.
#[test]
fn builds_and_merges_as_the_reference_connector() {
    let built = build(&list(&[(1_103_000.0, "65"), (2_525_000.0, "71")]), &grid(0.0, "600000"), at(HOUR_END)).unwrap();
    assert_eq!(built, "E 65 E E 71 E");
    let wins = MergePolicy::NewWins;
    let new = [(700_000.0, "66"), (3_000_000.0, "70")];
    assert_eq!(merged(&built, &new, HOUR_END, wins), "E 66 E E 71 70");
    assert_eq!(merged(&built, &[(600_000.0, "66")], HOUR_END, wins), "E 66 E E 71 E");

    let minutes: Vec<(f64, String)> =
        (0..=10).map(|minute| (f64::from(minute) * 60_000.0, minute.to_string())).collect();
    let minutes: Vec<(f64, &str)> = minutes.iter().map(|(time, value)| (*time, value.as_str())).collect();
    let minute = grid(0.0, "60000");
    assert_eq!(build(&list(&minutes), &minute, at(600_000.0)).unwrap(), "0 1 2 3 4 5 6 7 8 9 10");
    assert_eq!(build(&list(&minutes), &minute, at(599_999.0)).unwrap(), "0 1 2 3 4 5 6 7 8 9");
}

#[test]
fn a_value_before_the_start_hides_no_other() {
    let samples = list(&[(500.0, "x"), (1500.0, "y")]);
    assert_eq!(build(&samples, &grid(1000.0, "1000"), at(3000.0)).unwrap(), "y E E");
}

#[test]
fn a_missing_value_is_no_sample() {
    let value = |time, value: Option<&'static str>| TimedValue { time: at(time), value: value.map(Into::into) };
    let values = [value(0.0, Some("1")), value(400.0, None), value(500.0, Some(" ")), value(600.0, Some(""))];
    assert_eq!(build(&samples(&values), &grid(0.0, "1000"), at(1000.0)).unwrap(), "1 E");
}

#[test]
fn replayed_samples_only_fill_gaps() {
    let stored = "E 65 E E 71 E";
    let new = [(700_000.0, "66"), (3_000_000.0, "70")];
    assert_eq!(merged(stored, &new, HOUR_END, MergePolicy::StoredWins), "E 65 E E 71 70");
}

#[test]
fn refuses_endless_series() {
    let year = 365.0 * 86_400_000.0;
    assert_eq!(build(&[], &grid(0.0, "4"), at(year)), Err(TooManySamples));
    assert_eq!(build(&[], &grid(10.0, "4"), at(0.0)).unwrap(), "");
}

#[test]
fn accepts_what_fhir_calls_a_sample() {
    for text in ["0", "-3", "12.50", ".5", "-.5", "007", "E", "L", "U"] {
        assert!(is_sample(text), "{text}");
    }
    for text in ["", " ", "a", "1e3", "+1", "5.", "-", "1 2", " 1", "1,5", "NaN", "e", "1.2.3", "--1", "٣"] {
        assert!(!is_sample(text), "{text}");
    }
}

#[test]
fn periods_are_positive_and_at_least_a_tick() {
    for (milliseconds, is_period) in [("0", false), ("-1", false), ("0.00009", false), ("0.0001", true), ("1e3", true)]
    {
        let number = Decimal::from_scientific(milliseconds).or_else(|_| milliseconds.parse()).unwrap();
        assert_eq!(SamplePeriod::from_milliseconds(number).is_some(), is_period, "{milliseconds}");
    }
    assert!(ms("600000").same_as(ms("600000.00")));
    assert!(!ms("600000").same_as(ms("600001")));
    let longest = ms("79228162514264337593543950335");
    assert_eq!(Grid { start: at(0.0), period: longest }.steps_until(UtcTime::MAX), 1);
}

#[test]
fn steps_of_a_fraction_of_a_tick_do_not_drift() {
    // A third of a millisecond: 3333.3 ticks.
    let third = grid(0.0, "0.3333333333");
    assert_eq!(third.time(3).ticks() - third.start.ticks(), 10_000);
    assert_eq!(third.time(30_000).ticks() - third.start.ticks(), 100_000_000);
}

#[test]
fn a_grid_is_extended_by_whole_periods() {
    let start = |stored, new, periods: &[&str]| {
        common_start(at(stored), at(new), periods.iter().map(|period| ms(period))).ticks() - at(0.0).ticks()
    };
    assert_eq!(start(1000.0, 400.0, &["1000"]), 0);
    assert_eq!(start(1000.0, 400.0, &["250"]), 2_500_000);
    assert_eq!(start(1000.0, 400.0, &["4", "10"]), 4_000_000);
    assert_eq!(start(1000.0, 401.0, &["4", "10"]), 4_000_000);
    assert_eq!(start(1000.0, 1000.0, &["7"]), 10_000_000);
    assert_eq!(start(1000.0, 2000.0, &["7"]), 10_000_000);
    // Nothing stored in periods, and periods that hardly ever meet.
    assert_eq!(start(1000.0, 400.0, &[]), 4_000_000);
    assert_eq!(start(1000.0, 400.0, &["1000000.0007", "999999.0001"]), 4_000_000);
    // Before the year 1 there is nothing.
    let early = UtcTime::from_ticks(5_000_000).unwrap();
    assert_eq!(common_start(early, UtcTime::MIN, [ms("1000")]), UtcTime::MIN);
}

proptest! {
    /// Every step is found again by its start and by its last tick.
    #[test]
    fn a_step_begins_where_it_is_found(period in 1_i64..100_000_000, scale in 0_u32..8, step in -100_000_i64..100_000) {
        let Some(period) = SamplePeriod::from_milliseconds(Decimal::new(period, scale)) else { return Ok(()) };
        let grid = Grid { start: at(0.0), period };
        let start = grid.time(step);
        prop_assert_eq!(grid.step(start), step);
        prop_assert_eq!(grid.step(start.saturating_add(-1)), step - 1);
    }

    /// Splicing gives what reading, merging and writing anew give.
    #[test]
    fn splicing_is_merging(
        tokens in prop::collection::vec("E|E|E|L|-?[0-9]{0,3}", 1..200),
        new in prop::collection::vec((-3_i64..250, "E|U|[0-9]{1,3}"), 0..20),
        steps in 0_i64..220,
        stored_wins in any::<bool>(),
    ) {
        let grid = grid(0.0, "1000");
        let mut new: Vec<Sample<'_>> =
            new.iter().map(|(step, value)| Sample { time: grid.time(*step), value }).collect();
        new.sort_by_key(|sample| sample.time);
        let text = tokens.join(" ");
        let policy = if stored_wins { MergePolicy::StoredWins } else { MergePolicy::NewWins };
        let end = grid.time(steps);
        if !text.trim().is_empty() {
            let stored = decode(&text, &grid).unwrap().filter(|sample| !sample.is_gap()).collect();
            let anew = build(&merge(stored, new.clone(), &grid, policy), &grid, end).unwrap();
            prop_assert_eq!(splice(&text, &new, &grid, end, policy).unwrap(), anew);
        }
    }

    /// What is written is read again, with the same text.
    #[test]
    fn a_text_survives(tokens in prop::collection::vec("E|L|U|-?[0-9]{1,3}(\\.[0-9])?", 1..50), period in 1_i64..5000) {
        let grid = Grid { start: at(7.0), period: SamplePeriod::from_milliseconds(Decimal::new(period, 1)).unwrap() };
        let text = tokens.join(" ");
        let samples: Vec<Sample<'_>> = decode(&text, &grid).unwrap().collect();
        let end = samples.last().unwrap().time;
        prop_assert_eq!(build(&samples, &grid, end).unwrap(), text);
    }
}
