//! How much work expressions may do for one event (docs/limits.md).
//!
//! Mappings are written by those who own the data, but events come from
//! whatever holds a device's key. A budget keeps an event from making a
//! careless expression run for minutes: it is shared by all expressions that
//! run over the event, each takes its steps from it, and when it is used up
//! the event fails. Nothing is measured in time, so the same event always ends
//! the same way.

use std::cell::Cell;

use crate::expression::EvaluateError;

/// The steps of a budget unless told otherwise.
///
/// A step is a look at a node or at some bytes of text, 4 to 20 ns, so this is
/// a second or two at the most. An event of 1 MB with 5000 readings, normalized
/// with 8 templates, takes some 3 million.
pub const STEPS_MAX: u64 = 100_000_000;

/// The children that are passed by in the time of a step, when a member or an
/// element is looked for among them.
pub(crate) const CHILDREN_A_STEP: usize = 4;

/// The nodes whose objects' names are looked at in the time of a step.
pub(crate) const NODES_A_STEP: usize = 8;

/// The bytes of text that are looked at in the time of a step.
pub(crate) const BYTES_A_STEP: usize = 8;

/// What is left of the steps for one event.
#[derive(Debug)]
pub struct Budget {
    left: Cell<u64>,
    all: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget::new(STEPS_MAX)
    }
}

impl Budget {
    /// A budget of so many steps.
    pub fn new(steps: u64) -> Budget {
        Budget { left: Cell::new(steps), all: steps }
    }

    /// How many steps were taken.
    pub fn spent(&self) -> u64 {
        self.all - self.left.get()
    }

    /// How many steps are left.
    pub(crate) fn left(&self) -> usize {
        usize::try_from(self.left.get()).unwrap_or(usize::MAX)
    }

    /// Takes steps; an error when there are not enough, now and from then on.
    #[inline]
    pub fn spend(&self, steps: usize) -> Result<(), EvaluateError> {
        match self.left.get().checked_sub(steps as u64) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.used_up()),
        }
    }

    /// Takes steps if there are enough.
    #[inline]
    pub(crate) fn takes(&self, steps: usize) -> bool {
        let left = self.left.get().checked_sub(steps as u64);
        self.left.set(left.unwrap_or_default());
        left.is_some()
    }

    #[cold]
    fn used_up(&self) -> EvaluateError {
        self.left.set(0);
        EvaluateError::Limit(format!("the expressions take more than {} steps over this event", self.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_when_it_is_used_up() {
        let budget = Budget::new(10);
        assert_eq!(budget.spend(10), Ok(()));
        assert_eq!(budget.spent(), 10);
        let error = budget.spend(1).unwrap_err();
        assert_eq!(error.to_string(), "the expressions take more than 10 steps over this event");
        assert_eq!(budget.spend(0), Ok(()));
    }

    #[test]
    fn stays_used_up_after_a_step_that_was_too_large() {
        let budget = Budget::new(10);
        assert!(budget.spend(11).is_err());
        assert!(budget.spend(1).is_err());
    }
}
