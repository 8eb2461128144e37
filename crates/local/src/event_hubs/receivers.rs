//! Who receives from which partition: epochs, and how many receivers there may be.
//!
//! A receiver may say an epoch (also called owner level). Then it is the only
//! one on its partition and consumer group: it displaces those with a lower or
//! equal epoch and those without, and is refused while one with a higher epoch
//! is there. Without epoch up to five share a partition, but not with one that
//! has an epoch (functions-eventhubs-keda.md 7.5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The service's limit for receivers without epoch.
const RECEIVERS_MAX: usize = 5;

/// A partition as one consumer group sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    hub: String,
    group: String,
    partition: String,
}

impl Seat {
    /// Names are compared without regard to case.
    pub fn new(hub: &str, group: &str, partition: &str) -> Self {
        Self { hub: hub.to_lowercase(), group: group.to_lowercase(), partition: partition.to_owned() }
    }
}

/// Why a receiver may not attach.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One with a higher epoch, or any with an epoch when the new one has none.
    #[error("a receiver with epoch {present} is attached; use a higher epoch or close it")]
    Epoch {
        /// The epoch of the receiver that is there.
        present: i64,
    },
    /// Five without epoch are there.
    #[error("the partition has {RECEIVERS_MAX} receivers in this consumer group, which is all it may have")]
    Full,
}

/// Everyone who receives.
#[derive(Debug, Default)]
pub struct Receivers {
    seated: Mutex<Seated>,
}

#[derive(Debug, Default)]
struct Seated {
    by_seat: HashMap<Seat, Vec<Holder>>,
    next_id: u64,
}

#[derive(Debug)]
struct Holder {
    id: u64,
    epoch: Option<i64>,
    stolen: Arc<Notify>,
}

/// A receiver's right to receive; given back when dropped.
#[derive(Debug)]
pub struct Place {
    receivers: Arc<Receivers>,
    seat: Seat,
    id: u64,
    stolen: Arc<Notify>,
}

impl Receivers {
    /// Takes a place, displacing who has to go.
    pub fn enter(self: &Arc<Self>, seat: Seat, epoch: Option<i64>) -> Result<Place, Refused> {
        let mut seated = self.seated();
        let holders = seated.by_seat.get(&seat).map_or(&[][..], Vec::as_slice);
        let present = holders.iter().filter_map(|holder| holder.epoch).max();
        match (epoch, present) {
            (None, Some(present)) => return Err(Refused::Epoch { present }),
            (Some(epoch), Some(present)) if epoch < present => return Err(Refused::Epoch { present }),
            (None, None) if holders.len() >= RECEIVERS_MAX => return Err(Refused::Full),
            _ => (),
        }
        let id = seated.next_id;
        seated.next_id += 1;
        let stolen = Arc::new(Notify::new());
        let holders = seated.by_seat.entry(seat.clone()).or_default();
        if epoch.is_some() {
            for displaced in holders.drain(..) {
                displaced.stolen.notify_one();
            }
        }
        holders.push(Holder { id, epoch, stolen: stolen.clone() });
        Ok(Place { receivers: self.clone(), seat, id, stolen })
    }

    fn seated(&self) -> MutexGuard<'_, Seated> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until another receiver has taken this place.
    pub async fn stolen(&self) {
        self.stolen.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seated = self.receivers.seated();
        if let Some(holders) = seated.by_seat.get_mut(&self.seat) {
            holders.retain(|holder| holder.id != self.id);
            if holders.is_empty() {
                seated.by_seat.remove(&self.seat);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(receivers: &Arc<Receivers>, epoch: Option<i64>) -> Result<Place, Refused> {
        receivers.enter(Seat::new("Hub", "$Default", "0"), epoch)
    }

    async fn is_stolen(place: &Place) -> bool {
        tokio::select! { biased; () = place.stolen() => true, () = std::future::ready(()) => false }
    }

    #[tokio::test]
    async fn a_higher_or_equal_epoch_displaces() {
        let receivers = Arc::new(Receivers::default());
        let without = enter(&receivers, None).unwrap();
        let first = enter(&receivers, Some(0)).unwrap();
        assert!(is_stolen(&without).await);
        let second = enter(&receivers, Some(0)).unwrap();
        let third = enter(&receivers, Some(5)).unwrap();
        assert!(is_stolen(&first).await && is_stolen(&second).await);
        assert!(!is_stolen(&third).await);
    }

    #[test]
    fn a_lower_or_no_epoch_is_refused_until_the_place_is_free() {
        let receivers = Arc::new(Receivers::default());
        let place = enter(&receivers, Some(3)).unwrap();
        assert_eq!(enter(&receivers, Some(2)).unwrap_err(), Refused::Epoch { present: 3 });
        assert_eq!(enter(&receivers, None).unwrap_err(), Refused::Epoch { present: 3 });
        drop(place);
        assert!(enter(&receivers, None).is_ok());
    }

    #[test]
    fn a_displaced_receiver_that_leaves_late_takes_nobody_along() {
        let receivers = Arc::new(Receivers::default());
        let displaced = enter(&receivers, Some(1)).unwrap();
        let _place = enter(&receivers, Some(2)).unwrap();
        drop(displaced);
        assert_eq!(enter(&receivers, Some(1)).unwrap_err(), Refused::Epoch { present: 2 });
    }

    #[test]
    fn five_share_a_partition_and_groups_do_not_meet() {
        let receivers = Arc::new(Receivers::default());
        let places: Vec<Place> = (0..5).map(|_| enter(&receivers, None).unwrap()).collect();
        assert_eq!(enter(&receivers, None).unwrap_err(), Refused::Full);
        assert_eq!(receivers.enter(Seat::new("hub", "$DEFAULT", "0"), None).unwrap_err(), Refused::Full);
        assert!(receivers.enter(Seat::new("hub", "other", "0"), Some(1)).is_ok());
        assert!(receivers.enter(Seat::new("hub", "$Default", "1"), Some(1)).is_ok());
        drop(places);
        assert!(enter(&receivers, None).is_ok());
    }
}
