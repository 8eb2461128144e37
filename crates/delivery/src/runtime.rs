//! Time, chance and tasks, as the delivery loop sees them.

use std::future::Future;
use std::time::Duration;

use expressions::UtcTime;
use futures::future::BoxFuture;

/// What a process gets from its machine. Behind a trait so that a simulator can
/// run everything here with a clock and a chance of its own.
pub trait Runtime: Send + Sync + 'static {
    /// The time of day, to compare with what hubs and servers say.
    fn now(&self) -> UtcTime;

    /// Time since some moment in the past; never goes back.
    fn elapsed(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// A number by chance.
    fn random(&self) -> u64;

    /// Runs a task beside its caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}
