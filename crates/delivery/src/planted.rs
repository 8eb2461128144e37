//! Bugs that are there only when somebody plants them, to see whether they are
//! found (`cargo xtask simulate --plant`). Without the feature `planted-bugs`
//! there are none, and asking for one costs nothing.

/// A bug that a system like this one is likely to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// The position of a window is stored before the window is worked on.
    CheckpointFirst = 1,
    /// After a conflict what was merged before is written again, over what the
    /// other writer wrote.
    LostUpdate,
    /// A window that was begun before is cut anew when it comes again.
    OtherCut,
    /// A process that lost its partition goes on with what it had begun.
    StaleOwner,
    /// What was seen of an Observation counts in later terms of ownership too.
    StaleCache,
}

impl Bug {
    /// All of them, by name.
    pub const ALL: [(&str, Bug); 5] = [
        ("checkpoint-first", Bug::CheckpointFirst),
        ("lost-update", Bug::LostUpdate),
        ("other-cut", Bug::OtherCut),
        ("stale-owner", Bug::StaleOwner),
        ("stale-cache", Bug::StaleCache),
    ];

    /// Whether this process has it.
    #[cfg(not(feature = "planted-bugs"))]
    pub const fn is_planted(self) -> bool {
        false
    }

    /// Whether this process has it.
    #[cfg(feature = "planted-bugs")]
    pub fn is_planted(self) -> bool {
        PLANTED.load(std::sync::atomic::Ordering::Relaxed) == self as u8
    }

    /// Gives this process the bug, and no other.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(self) {
        PLANTED.store(self as u8, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(feature = "planted-bugs")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
