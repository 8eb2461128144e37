//! The hubs as processes see them, and the way into the internal one.

use std::sync::Arc;
use std::time::Duration;

use delivery::turn::not_ours;
use delivery::{
    Away, Bounds, Fence, Hub, HubEvent, MeasurementOutput, OutgoingMeasurements, ReadError, Reader, Runtime, Source,
    Start,
};
use simulator::hub::MemoryReader;
use simulator::{MemoryHub, SimulatedRuntime};

use crate::world::{Fault, Lost, World};

/// A hub, over a network.
#[derive(Clone, Debug)]
pub struct FarHub {
    /// The hub itself.
    pub hub: MemoryHub,
    /// Who looks at it.
    pub process: Arc<SimulatedRuntime>,
    /// What is in between.
    pub world: Arc<World>,
}

impl FarHub {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, Away>> + Send + 'static,
    ) -> Result<T, Away> {
        match self.world.call(&self.process, (Fault::HubAway, None), question).await {
            Ok(answer) => answer,
            Err(Lost) => Err(Away::new("the hub", "no answer")),
        }
    }
}

impl Hub for FarHub {
    type Reader = FarReader;

    fn source(&self, partition: &str) -> Source {
        self.hub.source(partition)
    }

    async fn partitions(&self) -> Result<Vec<String>, Away> {
        let hub = self.hub.clone();
        self.ask(async move { hub.partitions().await }).await
    }

    async fn bounds(&self, partition: &str) -> Result<Bounds, Away> {
        let (hub, partition) = (self.hub.clone(), partition.to_owned());
        self.ask(async move { hub.bounds(&partition).await }).await
    }

    async fn open(&self, partition: &str, from: Start, credit: usize) -> Result<FarReader, Away> {
        let (hub, partition) = (self.hub.clone(), partition.to_owned());
        let reader = self.ask(async move { hub.open(&partition, from, credit).await }).await?;
        Ok(FarReader { reader, process: self.process.clone(), world: self.world.clone(), held: None })
    }
}

/// Reads a partition of a [`FarHub`].
#[derive(Debug)]
pub struct FarReader {
    reader: MemoryReader,
    process: Arc<SimulatedRuntime>,
    world: Arc<World>,
    /// An event that is on its way, and when it arrives.
    held: Option<(Result<HubEvent, ReadError>, Duration)>,
}

impl Reader for FarReader {
    async fn next(&mut self) -> Result<HubEvent, ReadError> {
        if self.held.is_none() {
            let event = self.reader.next().await;
            let way = self.world.chance(|chance| chance.milliseconds(0..40));
            self.held = Some((event, self.process.elapsed() + way));
        }
        if let Some((_, arrives)) = &self.held {
            let left = arrives.saturating_sub(self.process.elapsed());
            if !left.is_zero() {
                self.process.sleep(left).await;
            }
        }
        self.process.thawed().await;
        if self.world.strikes(Fault::HubDetached) {
            return Err(Away::new("the hub", "the link was detached").into());
        }
        match self.held.take() {
            Some((event, _)) => event,
            None => Err(Away::new("the hub", "nothing is on its way").into()),
        }
    }
}

/// The internal hub, to send to.
#[derive(Clone, Debug)]
pub struct FarOutput {
    /// Where measurements go, and how many partitions it has.
    pub to: FarHub,
    /// How many partitions it has.
    pub partitions: u64,
}

impl MeasurementOutput for FarOutput {
    async fn send(&self, measurements: &OutgoingMeasurements, fence: &dyn Fence) -> Result<Vec<usize>, Away> {
        let FarHub { hub, process, world } = &self.to;
        for (key, indexes) in measurements.by_partition_key() {
            if !fence.holds() {
                return Err(not_ours());
            }
            let partition = (key.bucket() as u64 % self.partitions).to_string();
            let bodies: Vec<Vec<u8>> = indexes.into_iter().map(|index| measurements.json(index).to_vec()).collect();
            let (hub, clock) = (hub.clone(), world.runtime().clone());
            let append = async move {
                for body in bodies {
                    hub.append(&partition, body, clock.now());
                }
            };
            let faults = (Fault::SendRefused, Some(Fault::SendAnswerLost));
            let sent = world.call(process, faults, append).await;
            sent.map_err(|Lost| Away::new("the internal hub", "no answer"))?;
        }
        Ok(Vec::new())
    }
}
