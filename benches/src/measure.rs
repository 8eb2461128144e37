//! Measures two pieces of work in turns.
//!
//! Machines are noisy and drift, so a figure is a ratio taken in one run: ours
//! and the yardstick in turns, and the median of each. What is counted is the
//! time on the processor where the system tells it: on a machine with other
//! work the clock counts mostly that.

use std::path::Path;
use std::time::{Duration, Instant};

/// Turns of both; odd, so that there is a median.
const TURNS: usize = 41;
/// A turn lasts at least this long.
const TURN: Duration = Duration::from_millis(25);

/// Medians over all turns, in nanoseconds a unit of work.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// Ours.
    pub ours: f64,
    /// The yardstick's.
    pub yardstick: f64,
}

impl Turns {
    /// Ours as a part of the yardstick.
    pub fn ratio(self) -> f64 {
        self.ours / self.yardstick
    }
}

/// Runs `ours` and `yardstick` in turns; one call of either is `units` units
/// of work.
pub fn in_turns(units: usize, mut ours: impl FnMut(), mut yardstick: impl FnMut()) -> Turns {
    let (mut our_turns, mut yardstick_turns) = (Vec::with_capacity(TURNS), Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        our_turns.push(turn(&mut ours, units));
        yardstick_turns.push(turn(&mut yardstick, units));
    }
    Turns { ours: median(our_turns), yardstick: median(yardstick_turns) }
}

/// Nanoseconds a unit, over as many passes as fill a turn. The time is asked
/// for only now and then: that takes time itself.
fn turn(pass: &mut impl FnMut(), units: usize) -> f64 {
    let start = Moment::now();
    let (mut passes, mut next) = (0, 1);
    loop {
        for _ in 0..next {
            pass();
        }
        passes += next;
        let elapsed = start.elapsed();
        if elapsed >= TURN {
            return elapsed.as_nanos() as f64 / (passes * units) as f64;
        }
        // As many again as are likely to fill the turn, at most as many as so far.
        let missing = (TURN - elapsed).as_secs_f64() / elapsed.as_secs_f64().max(1e-9) * passes as f64;
        next = (missing.ceil() as usize).clamp(1, passes);
    }
}

/// When something began.
#[derive(Clone, Copy)]
struct Moment {
    clock: Instant,
    /// What this thread had spent on a processor by then.
    spent: Option<Duration>,
}

impl Moment {
    fn now() -> Moment {
        Moment { clock: Instant::now(), spent: spent() }
    }

    fn elapsed(self) -> Duration {
        match (self.spent, spent()) {
            (Some(then), Some(now)) => now.saturating_sub(then),
            _ => self.clock.elapsed(),
        }
    }
}

/// What this thread has spent on a processor, on Linux.
fn spent() -> Option<Duration> {
    // The kernel brings its count up to date when the thread yields.
    std::thread::yield_now();
    on_cpu(Path::new("/proc/thread-self")).map(Duration::from_nanos)
}

/// The first number of a thread's `schedstat`: time spent on a CPU, in
/// nanoseconds.
pub(crate) fn on_cpu(thread: &Path) -> Option<u64> {
    let schedstat = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The middle of `values`; they must not be empty.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The most memory this process has held, in MiB; 0 where `/proc` does not say.
pub fn peak_rss_mib() -> f64 {
    status_mib("self", "VmHWM")
}

/// A line of `/proc/PROCESS/status` that counts memory, in MiB; 0 where `/proc`
/// does not say.
pub(crate) fn status_mib(process: &str, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|all| all.strip_prefix(line)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

/// Fails when feature unification has made the yardstick another one:
/// `preserve_order` and `arbitrary_precision` make `serde_json` slower.
pub fn yardstick_is_plain() -> Result<(), String> {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).map(|value| value.to_string());
    if read(r#"{"b":1,"a":2}"#).ok().as_deref() != Some(r#"{"a":2,"b":1}"#) {
        return Err("the yardstick keeps the order of members: some package switched on serde_json's `preserve_order`"
            .to_owned());
    }
    if read("1.10").ok().as_deref() != Some("1.1") {
        return Err(
            "the yardstick keeps the text of numbers: some package switched on serde_json's `arbitrary_precision`"
                .to_owned(),
        );
    }
    Ok(())
}
