//! Clock, chance and tasks of a simulated process.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use delivery::Runtime;
use expressions::UtcTime;
use futures::executor::LocalPool;
use futures::future::{AbortHandle, BoxFuture, FutureExt, abortable};
use futures::task::LocalSpawnExt;

/// Runs tasks, and moves their clock.
pub struct Machine {
    pool: LocalPool,
    runtime: Arc<SimulatedRuntime>,
}

/// What the tasks of a process see of their [`Machine`].
pub struct SimulatedRuntime {
    state: Arc<Mutex<State>>,
    /// The tasks of the process.
    tasks: Mutex<Vec<AbortHandle>>,
    /// Until when the process stands still, by `elapsed`.
    frozen_until: Mutex<Duration>,
}

struct State {
    now: UtcTime,
    elapsed: Duration,
    seed: u64,
    /// By when they are due and the order in which they were made.
    timers: BTreeMap<(Duration, u64), Option<Waker>>,
    next_timer: u64,
    spawned: Vec<BoxFuture<'static, ()>>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}

impl fmt::Debug for SimulatedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedRuntime").field("elapsed", &self.state().elapsed).finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine whose clock says `now`, and whose chance follows from `seed`.
    pub fn new(now: UtcTime, seed: u64) -> Machine {
        let state = State {
            now,
            elapsed: Duration::ZERO,
            // A generator that starts with 0 gives nothing else.
            seed: (seed << 1) | 1,
            timers: BTreeMap::new(),
            next_timer: 0,
            spawned: Vec::new(),
        };
        Machine { pool: LocalPool::new(), runtime: Arc::new(SimulatedRuntime::new(Arc::new(Mutex::new(state)))) }
    }

    /// What tasks see of it.
    pub fn runtime(&self) -> Arc<SimulatedRuntime> {
        self.runtime.clone()
    }

    /// A process of its own on the machine, which can be killed.
    pub fn process(&self) -> Arc<SimulatedRuntime> {
        Arc::new(SimulatedRuntime::new(self.runtime.state.clone()))
    }

    /// Begins a task.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    /// Runs all tasks as far as they come without time passing.
    pub fn run(&mut self) {
        loop {
            let spawned = std::mem::take(&mut self.runtime.state().spawned);
            let is_done = spawned.is_empty();
            let spawner = self.pool.spawner();
            for task in spawned {
                // A pool takes tasks for as long as it is there.
                let taken = spawner.spawn_local(task);
                debug_assert!(taken.is_ok(), "the pool is there");
            }
            self.pool.run_until_stalled();
            if is_done && self.runtime.state().spawned.is_empty() {
                return;
            }
        }
    }

    /// Runs all tasks, and lets time pass meanwhile, from timer to timer.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.runtime.state().elapsed + duration;
        self.run();
        while let Some(due) = self.runtime.next_timer().filter(|due| *due <= end) {
            self.runtime.pass_to(due);
            self.run();
        }
        self.runtime.pass_to(end);
        self.run();
    }

    /// Sets the time of day, as if somebody had set the machine's clock.
    pub fn set_clock(&mut self, now: UtcTime) {
        self.runtime.state().now = now;
    }
}

impl SimulatedRuntime {
    fn new(state: Arc<Mutex<State>>) -> SimulatedRuntime {
        SimulatedRuntime { state, tasks: Mutex::default(), frozen_until: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is inside is changed whole, so a panic elsewhere leaves it good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all tasks of the process where they are, as a kill does.
    pub fn kill(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(AbortHandle::abort);
    }

    /// Lets the process stand still for so long, as a stopped or swapped-out one
    /// does: none of its timers ends before, and no answer should reach it (see
    /// [`SimulatedRuntime::thawed`]).
    pub fn freeze(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        let mut frozen_until = self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner);
        *frozen_until = until.max(*frozen_until);
    }

    /// Waits until the process does not stand still. Whatever reaches it from
    /// outside waits for this.
    pub async fn thawed(&self) {
        loop {
            let until = *self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner);
            let left = until.saturating_sub(self.elapsed());
            if left.is_zero() {
                return;
            }
            self.pass(left).await;
        }
    }

    /// Waits, frozen or not.
    async fn pass(&self, duration: Duration) {
        let key = {
            let mut state = self.state();
            let key = (state.elapsed + duration, state.next_timer);
            state.next_timer += 1;
            state.timers.insert(key, None);
            key
        };
        Sleep { runtime: self, key }.await;
    }

    fn next_timer(&self) -> Option<Duration> {
        self.state().timers.keys().next().map(|key| key.0)
    }

    /// Moves the clock and wakes whom that makes due.
    fn pass_to(&self, elapsed: Duration) {
        let mut state = self.state();
        let passed = elapsed.saturating_sub(state.elapsed);
        let ticks = state.now.ticks() + i64::try_from(passed.as_nanos() / 100).unwrap_or(i64::MAX);
        state.now = UtcTime::from_ticks(ticks).unwrap_or(UtcTime::MAX);
        state.elapsed = state.elapsed.max(elapsed);
        let later = state.timers.split_off(&(elapsed + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().flatten().for_each(Waker::wake);
    }
}

impl Runtime for SimulatedRuntime {
    fn now(&self) -> UtcTime {
        self.state().now
    }

    fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        self.pass(duration).await;
        self.thawed().await;
    }

    /// By xorshift64.
    fn random(&self) -> u64 {
        let mut state = self.state();
        state.seed ^= state.seed << 13;
        state.seed ^= state.seed >> 7;
        state.seed ^= state.seed << 17;
        state.seed
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let (task, handle) = abortable(task);
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        self.state().spawned.push(task.map(|_| ()).boxed());
    }
}

struct Sleep<'r> {
    runtime: &'r SimulatedRuntime,
    key: (Duration, u64),
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.runtime.state();
        let is_due = self.key.0 <= state.elapsed;
        match state.timers.get_mut(&self.key) {
            Some(waker) if !is_due => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

/// Whoever waits no longer is not woken.
impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.runtime.state().timers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_from_timer_to_timer() {
        let mut machine = Machine::new(UtcTime::MIN, 1);
        let woken = Arc::new(Mutex::new(Vec::new()));
        for seconds in [3, 1, 2] {
            let (runtime, woken) = (machine.runtime(), woken.clone());
            machine.spawn(async move {
                runtime.sleep(Duration::from_secs(seconds)).await;
                woken.lock().unwrap().push((seconds, runtime.elapsed().as_secs()));
            });
        }
        machine.advance(Duration::from_secs(2));
        assert_eq!(*woken.lock().unwrap(), [(1, 1), (2, 2)]);
        machine.advance(Duration::from_secs(10));
        assert_eq!(*woken.lock().unwrap(), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(machine.runtime().now().ticks(), 120_000_000);
    }

    #[test]
    fn a_frozen_process_wakes_when_it_is_thawed() {
        let mut machine = Machine::new(UtcTime::MIN, 1);
        let (process, other) = (machine.process(), machine.process());
        let woken = Arc::new(Mutex::new(Vec::new()));
        for runtime in [process.clone(), other] {
            let (woken, sleeper) = (woken.clone(), runtime.clone());
            let task = async move {
                sleeper.sleep(Duration::from_secs(1)).await;
                woken.lock().unwrap().push(sleeper.elapsed().as_secs());
            };
            runtime.spawn(task.boxed());
        }
        process.freeze(Duration::from_secs(5));
        machine.advance(Duration::from_secs(10));
        assert_eq!(*woken.lock().unwrap(), [1, 5]);
    }

    #[test]
    fn the_seed_decides() {
        let numbers = |seed| {
            let runtime = Machine::new(UtcTime::MIN, seed).runtime();
            (0..4).map(|_| runtime.random()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_ne!(numbers(6), numbers(7));
    }
}
