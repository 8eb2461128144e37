//! A place for measurements whose Device, Patient or Encounter is not on the
//! server yet, but may still come (design.md D7).
//!
//! ```text
//! Converter::convert        unknown           --> Parking, before the checkpoint moves
//! Converter::replay_parked  known by now      --> saved stored-wins, then removed
//!                           unknown too long  --> DeadLetters, then removed
//!                           otherwise         --> stays
//! ```
//!
//! What is parked has the form and the key of a dead letter, so that parking it
//! again makes no second one. Nothing is removed before it is saved or among
//! the dead letters: a crash in between repeats what changes nothing.

use std::future::Future;

use crate::away::Away;
use crate::dead_letter::DeadLetter;
use crate::stored_letter::StoredDeadLetter;

/// A durable place for what waits.
pub trait Parking {
    /// Whether there is such a place: without one, what is unknown is rejected
    /// at once.
    fn is_open(&self) -> bool {
        true
    }

    /// Stores all, or fails as a whole; when it returns they are durable. What
    /// is there already stays as it is, with the time when it was parked first.
    fn park(&self, letters: &[DeadLetter<'_>]) -> impl Future<Output = Result<(), Away>> + Send;

    /// The keys of all that is parked, oldest sequence numbers of a partition
    /// first.
    fn parked(&self) -> impl Future<Output = Result<Vec<String>, Away>> + Send;

    /// What is parked under a key; none when somebody else has removed it.
    fn read_parked(&self, key: &str) -> impl Future<Output = Result<Option<StoredDeadLetter>, Away>> + Send;

    /// Removes what has its end. That it is gone already is as good.
    fn remove_parked(&self, key: &str) -> impl Future<Output = Result<(), Away>> + Send;
}

/// There is no place to wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoParking;

impl Parking for NoParking {
    fn is_open(&self) -> bool {
        false
    }

    async fn park(&self, _: &[DeadLetter<'_>]) -> Result<(), Away> {
        Err(Away::new("the parking", "there is none"))
    }

    async fn parked(&self) -> Result<Vec<String>, Away> {
        Ok(Vec::new())
    }

    async fn read_parked(&self, _: &str) -> Result<Option<StoredDeadLetter>, Away> {
        Ok(None)
    }

    async fn remove_parked(&self, _: &str) -> Result<(), Away> {
        Ok(())
    }
}

impl<P: Parking + Sync> Parking for Option<P> {
    fn is_open(&self) -> bool {
        self.as_ref().is_some_and(Parking::is_open)
    }

    async fn park(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        match self {
            Some(parking) => parking.park(letters).await,
            None => NoParking.park(letters).await,
        }
    }

    async fn parked(&self) -> Result<Vec<String>, Away> {
        match self {
            Some(parking) => parking.parked().await,
            None => NoParking.parked().await,
        }
    }

    async fn read_parked(&self, key: &str) -> Result<Option<StoredDeadLetter>, Away> {
        match self {
            Some(parking) => parking.read_parked(key).await,
            None => NoParking.read_parked(key).await,
        }
    }

    async fn remove_parked(&self, key: &str) -> Result<(), Away> {
        match self {
            Some(parking) => parking.remove_parked(key).await,
            None => NoParking.remove_parked(key).await,
        }
    }
}
