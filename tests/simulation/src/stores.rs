//! Positions and dead letters as processes see them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delivery::{
    Away, Checkpoint, DeadLetter, DeadLetters, Ownership, Parking, Position, Positions, Runtime, Stage,
    StoredDeadLetter, Version, WindowMark,
};
use simulator::{MemoryPositions, SimulatedRuntime};

use crate::record::{Record, Side};
use crate::world::{Fault, Lost, World};

const AWAY_OR_LOST: (Fault, Option<Fault>) = (Fault::PositionsAway, Some(Fault::PositionsAnswerLost));

/// The positions of one side, over a network. What is written is recorded when
/// it happens.
#[derive(Clone)]
pub struct FarPositions {
    /// The store itself.
    pub positions: MemoryPositions,
    /// Who asks it.
    pub process: Arc<SimulatedRuntime>,
    /// What is in between.
    pub world: Arc<World>,
    /// Where it is recorded.
    pub record: Arc<Record>,
    /// Of which hub they are.
    pub side: Side,
}

impl fmt::Debug for FarPositions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarPositions").field("side", &self.side).finish_non_exhaustive()
    }
}

impl FarPositions {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, Away>> + Send + 'static,
    ) -> Result<T, Away> {
        match self.world.call(&self.process, AWAY_OR_LOST, question).await {
            Ok(answer) => answer,
            Err(Lost) => Err(Away::new("the checkpoint storage", "no answer")),
        }
    }
}

impl Positions for FarPositions {
    async fn ownerships(&self) -> Result<Vec<Ownership>, Away> {
        let positions = self.positions.clone();
        self.ask(async move { positions.ownerships().await }).await
    }

    async fn claim(
        &self,
        partition: &str,
        owner: Option<&str>,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let (positions, partition) = (self.positions.clone(), partition.to_owned());
        let (owner, expected) = (owner.map(str::to_owned), expected.cloned());
        let (world, side) = (self.world.clone(), self.side);
        self.ask(async move {
            let claimed = positions.claim(&partition, owner.as_deref(), expected.as_ref()).await?;
            if claimed.is_some() {
                world.trace(|| format!("{side:?} {partition} owned by {}", owner.as_deref().unwrap_or("nobody")));
            }
            Ok(claimed)
        })
        .await
    }

    async fn checkpoint(&self, partition: &str) -> Result<Option<(Checkpoint, Version)>, Away> {
        let (positions, partition) = (self.positions.clone(), partition.to_owned());
        self.ask(async move { positions.checkpoint(&partition).await }).await
    }

    async fn write_checkpoint(
        &self,
        partition: &str,
        checkpoint: &Checkpoint,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let (positions, partition) = (self.positions.clone(), partition.to_owned());
        let (checkpoint, expected) = (checkpoint.clone(), expected.cloned());
        let (record, world, side) = (self.record.clone(), self.world.clone(), self.side);
        self.ask(async move {
            let written = positions.write_checkpoint(&partition, &checkpoint, expected.as_ref()).await?;
            let position = checkpoint.sequence_number;
            world.trace(|| format!("{side:?} {partition} checkpoint {position} {}", written.is_some()));
            if written.is_some() {
                record.checkpoint(side, &partition, position);
            }
            Ok(written)
        })
        .await
    }

    async fn window(&self, partition: &str) -> Result<Option<(WindowMark, Version)>, Away> {
        let (positions, partition) = (self.positions.clone(), partition.to_owned());
        self.ask(async move { positions.window(&partition).await }).await
    }

    async fn write_window(
        &self,
        partition: &str,
        window: &WindowMark,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let (positions, partition, window) = (self.positions.clone(), partition.to_owned(), *window);
        let expected = expected.cloned();
        let (record, world) = (self.record.clone(), self.world.clone());
        self.ask(async move {
            let written = positions.write_window(&partition, &window, expected.as_ref()).await?;
            world.trace(|| format!("window {partition} [{}..={}] {}", window.first, window.last, written.is_some()));
            if written.is_some() {
                record.window(&partition, window.first, window.last);
            }
            Ok(written)
        })
        .await
    }

    async fn forget_others(&self, expiry: Duration) -> Result<Vec<String>, Away> {
        let positions = self.positions.clone();
        self.ask(async move { positions.forget_others(expiry).await }).await
    }
}

/// The place for dead letters, over a network.
#[derive(Clone, Debug)]
pub struct FarLetters {
    /// Who writes.
    pub process: Arc<SimulatedRuntime>,
    /// What is in between.
    pub world: Arc<World>,
    /// Where they are kept.
    pub record: Arc<Record>,
}

impl DeadLetters for FarLetters {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        let place = |letter: &DeadLetter<'_>| {
            let side = match letter.stage {
                Stage::Normalize => Side::Events,
                Stage::GroupConvert => Side::Measurements,
            };
            let number = letter.position.sequence_number.unwrap_or(-1);
            (side, letter.position.source.partition.clone(), number)
        };
        let places: Vec<_> = letters.iter().map(place).collect();
        for letter in letters {
            let Position { source, sequence_number, .. } = &letter.position;
            self.world.trace(|| {
                let (partition, reason) = (&source.partition, &letter.reason);
                format!("letter of {partition}/{sequence_number:?}: {} {}", reason.code, reason.message)
            });
        }
        let record = self.record.clone();
        let write = async move { places.into_iter().for_each(|place| record.letter(place)) };
        let written = self.world.call(&self.process, (Fault::LettersAway, Some(Fault::LettersAway)), write).await;
        written.map_err(|Lost| Away::new("the dead letters", "no answer"))
    }
}

/// What is parked, by key; clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct MemoryParking {
    letters: Arc<Mutex<BTreeMap<String, StoredDeadLetter>>>,
}

impl MemoryParking {
    /// How much is parked.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, StoredDeadLetter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place for what waits, over a network.
#[derive(Clone, Debug)]
pub struct FarParking {
    /// The place itself.
    pub parking: MemoryParking,
    /// Who asks.
    pub process: Arc<SimulatedRuntime>,
    /// What is in between.
    pub world: Arc<World>,
}

impl FarParking {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut BTreeMap<String, StoredDeadLetter>) -> T + Send + 'static,
    ) -> Result<T, Away> {
        let parking = self.parking.clone();
        let faults = (Fault::ParkingAway, Some(Fault::ParkingAway));
        let answer = self.world.call(&self.process, faults, async move { question(&mut parking.lock()) }).await;
        answer.map_err(|Lost| Away::new("the parking", "no answer"))
    }
}

impl Parking for FarParking {
    async fn park(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        let now = self.process.now();
        let letters: Vec<_> = letters.iter().map(|letter| (letter.key(), StoredDeadLetter::new(letter, now))).collect();
        self.ask(move |parked| {
            letters.into_iter().for_each(|(key, letter)| _ = parked.entry(key).or_insert(letter));
        })
        .await
    }

    async fn parked(&self) -> Result<Vec<String>, Away> {
        self.ask(|parked| parked.keys().cloned().collect()).await
    }

    async fn read_parked(&self, key: &str) -> Result<Option<StoredDeadLetter>, Away> {
        let key = key.to_owned();
        self.ask(move |parked| parked.get(&key).cloned()).await
    }

    async fn remove_parked(&self, key: &str) -> Result<(), Away> {
        let key = key.to_owned();
        self.ask(move |parked| _ = parked.remove(&key)).await
    }
}
