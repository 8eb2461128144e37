//! A long run at a steady rate: what is sent, what is looked at meanwhile, and
//! when the result is good.
//!
//! ```text
//! Load --events--> the stack --Sample, every few seconds--> Report --> figures, picture
//! ```
//!
//! Nothing here starts a process or looks at a clock; `tests/soak` does.

pub mod load;
pub mod picture;

use std::fmt;

/// How far the last third's median of memory may lie above that of the second
/// third: a twentieth, and this much more. A leak of 64 bytes an event is beyond
/// it in half an hour at 150 events a second. The first third is for caches and
/// allocators to fill.
const MEMORY_SLACK_BYTES: u64 = 2 << 20;
/// How long, at the rate of the run, what waits may be. A window takes a second
/// and its summary another; a partition that has to try again waits for half a
/// minute at the most.
const LAG_SECONDS_MAX: f64 = 30.0;
/// How many more files may be open in the last third than in the second: a
/// connection that is made anew may be there twice for a while.
const FILES_SLACK: usize = 8;

/// What was seen at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the first event.
    pub second: f64,
    /// Resident memory of normalize, in bytes.
    pub normalize_bytes: u64,
    /// Resident memory of group-convert, in bytes.
    pub convert_bytes: u64,
    /// Open files and connections of normalize.
    pub normalize_files: usize,
    /// Open files and connections of group-convert.
    pub convert_files: usize,
    /// Events sent.
    pub sent: usize,
    /// Of these, those without a fate.
    pub events_waiting: usize,
    /// Measurements sent on by normalize that have no fate.
    pub measurements_waiting: usize,
}

/// A run, with what was seen of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Events a second.
    pub rate: f64,
    /// In the order of time.
    pub samples: Vec<Sample>,
}

/// Least, median and most of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    /// None of no values.
    fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Spread { least, median: values[values.len() / 2], most })
    }
}

impl Report {
    /// What is not as it should be, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let [_, second, third] = self.thirds();
        if second.is_empty() || third.is_empty() {
            return vec!["too few samples to say anything".to_owned()];
        }
        for (name, bytes) in MEMORY {
            let median = |samples: &[Sample]| Spread::of(samples.iter().map(|s| bytes(s) as f64)).map(|s| s.median);
            let (before, after) = (median(second).unwrap_or_default(), median(third).unwrap_or_default());
            if after > before * 1.05 + MEMORY_SLACK_BYTES as f64 {
                problems.push(format!(
                    "{name}'s memory is not flat: {:.1} MiB in the second third, {:.1} MiB in the last",
                    mebibytes(before),
                    mebibytes(after)
                ));
            }
        }
        for (name, files) in FILES {
            let most = |samples: &[Sample]| samples.iter().map(files).max().unwrap_or_default();
            if most(third) > most(second) + FILES_SLACK {
                problems.push(format!("{name} opens more and more files: {} and then {}", most(second), most(third)));
            }
        }
        for (name, waiting) in LAGS {
            let most = self.samples.iter().map(waiting).max().unwrap_or_default();
            if most as f64 > LAG_SECONDS_MAX * self.rate {
                problems.push(format!("the lag of {name} is not bounded: {most} at {} a second", self.rate));
            }
        }
        problems
    }

    fn thirds(&self) -> [&[Sample]; 3] {
        let third = self.samples.len() / 3;
        let (first, rest) = self.samples.split_at(third);
        let (second, last) = rest.split_at(third);
        [first, second, last]
    }
}

/// A series of the samples, with the name of the process that it is about.
type Series<T> = (&'static str, fn(&Sample) -> T);

const MEMORY: [Series<u64>; 2] =
    [("normalize", |sample| sample.normalize_bytes), ("group-convert", |sample| sample.convert_bytes)];
const FILES: [Series<usize>; 2] =
    [("normalize", |sample| sample.normalize_files), ("group-convert", |sample| sample.convert_files)];
const LAGS: [Series<usize>; 2] =
    [("normalize", |sample| sample.events_waiting), ("group-convert", |sample| sample.measurements_waiting)];

/// The figures, as a table for a page.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.samples.last().copied().unwrap_or_default();
        writeln!(f, "{} events in {:.0} s, {} a second.\n", last.sent, last.second, self.rate)?;
        writeln!(f, "| | normalize | group-convert |\n|---|---|---|")?;
        for (name, part) in ["first", "second", "last"].into_iter().zip(self.thirds()) {
            let memory = MEMORY.map(|(_, bytes)| Spread::of(part.iter().map(|sample| bytes(sample) as f64)));
            let cell = |spread: Option<Spread>| {
                spread.map_or_else(String::new, |s| {
                    let [least, median, most] = [s.least, s.median, s.most].map(mebibytes);
                    format!("{median:.1} ({least:.1} to {most:.1})")
                })
            };
            writeln!(f, "| MiB resident, {name} third | {} | {} |", cell(memory[0]), cell(memory[1]))?;
        }
        let files = FILES.map(|(_, files)| {
            let most = |samples: &[Sample]| samples.iter().map(files).max().unwrap_or_default();
            self.thirds().map(|part| most(part).to_string()).join(", ")
        });
        writeln!(f, "| open files, at the most in each third | {} | {} |", files[0], files[1])?;
        let lags = LAGS.map(|(_, waiting)| Spread::of(self.samples.iter().map(|sample| waiting(sample) as f64)));
        let cell = |spread: Option<Spread>| {
            spread.map_or_else(String::new, |s| {
                format!(
                    "{:.0} ({:.1} s); at the most {:.0} ({:.1} s)",
                    s.median,
                    s.median / self.rate,
                    s.most,
                    s.most / self.rate
                )
            })
        };
        writeln!(f, "| waiting without a fate | {} | {} |", cell(lags[0]), cell(lags[1]))
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half an hour, a sample each five seconds.
    fn report(of: impl Fn(usize) -> Sample) -> Report {
        Report { rate: 150.0, samples: (0..360).map(of).collect() }
    }

    fn good(at: usize) -> Sample {
        Sample { second: at as f64 * 5.0, normalize_bytes: 30 << 20, convert_bytes: 40 << 20, ..Sample::default() }
    }

    #[test]
    fn is_content_with_memory_that_fills_and_stays() {
        let filling = |at: usize| Sample { convert_bytes: (40 + at.min(110) as u64) << 20, ..good(at) };
        assert_eq!(report(filling).problems(), [""; 0]);
    }

    #[test]
    fn notices_a_leak_of_a_few_bytes_an_event() {
        let leaking = |at: usize| Sample { normalize_bytes: (30 << 20) + at as u64 * 5 * 150 * 64, ..good(at) };
        assert!(report(leaking).problems().concat().contains("normalize's memory"), "{:?}", report(leaking).problems());
    }

    #[test]
    fn notices_what_waits_longer_than_it_may() {
        let late = |at: usize| Sample { measurements_waiting: if at == 7 { 4501 } else { 4500 }, ..good(at) };
        assert!(report(late).problems().concat().contains("lag of group-convert"), "{:?}", report(late).problems());
        let in_time = |at: usize| Sample { measurements_waiting: 4500, ..good(at) };
        assert_eq!(report(in_time).problems(), [""; 0]);
    }

    #[test]
    fn notices_connections_that_stay_open() {
        let leaking = |at: usize| Sample { normalize_files: 40 + at / 10, ..good(at) };
        assert!(report(leaking).problems().concat().contains("normalize opens"), "{:?}", report(leaking).problems());
        let anew = |at: usize| Sample { normalize_files: if at % 100 == 99 { 48 } else { 40 }, ..good(at) };
        assert_eq!(report(anew).problems(), [""; 0]);
    }

    #[test]
    fn says_nothing_good_about_a_run_that_was_not_looked_at() {
        assert_eq!(Report { rate: 150.0, samples: vec![Sample::default(); 2] }.problems().len(), 1);
    }
}
