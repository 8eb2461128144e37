//! One Observation on its way to the server. Pure.

use std::sync::Arc;

use delivery::{Reason, SaveOutcome};
use mapping::observation::Observation;

use super::{Draft, Stored};
use crate::client::Condition;

/// What is known of the Observation on the server, and what is to be done.
pub(super) enum State {
    /// It has to be read.
    Unread,
    /// It is not there.
    Absent,
    /// It is there.
    Present(Arc<Stored>),
    /// It has to be written.
    Ready(Write),
    /// Nothing more is to be done.
    Settled,
    /// The server was away for it.
    Away,
}

/// A write that is about to happen.
pub(super) struct Write {
    pub(super) observation: Observation,
    pub(super) condition: Condition,
}

/// A version that is to be merged back.
pub(super) struct Lost {
    pub(super) observation: Observation,
    /// It was replaced as a whole for certain: what others wrote into it is
    /// missing too. Otherwise somebody may have removed that since.
    pub(super) whole: bool,
}

/// A write that may have been done.
pub(super) struct Sent {
    pub(super) write: Write,
    pub(super) body: Vec<u8>,
}

/// Everything that this window has for one Observation.
pub(super) struct Job<'d, D> {
    /// The id on the server: the drafts' own, but for a legacy Observation.
    pub(super) id: String,
    pub(super) state: State,
    /// Versions that were overwritten, or may have been in an earlier delivery,
    /// and are not merged back for certain.
    pub(super) lost: Vec<Lost>,
    /// What is on the server lacks something of `lost`, whatever the drafts say.
    pub(super) repair: bool,
    /// `lost` holds what an earlier delivery may have overwritten.
    pub(super) history_read: bool,
    /// Something was written, though perhaps over another writer's version.
    pub(super) written: bool,
    /// Rounds gone through in vain, since others were faster.
    pub(super) rounds: u32,
    /// Writes that were sent and not answered.
    pub(super) unanswered: u32,
    /// The last of them.
    pub(super) sent: Option<Sent>,
    /// The condition that was refused last.
    pub(super) refused: Option<Condition>,
    /// How often the same condition was refused, though what it names is still
    /// there: then it is not about versions.
    pub(super) refused_again: u32,
    drafts: Vec<Part<'d, D>>,
}

struct Part<'d, D> {
    position: usize,
    draft: &'d D,
    outcome: Option<SaveOutcome>,
}

impl<'d, D: Draft> Job<'d, D> {
    pub(super) fn new(draft: &'d D) -> Job<'d, D> {
        Job {
            id: draft.id().to_owned(),
            state: State::Unread,
            lost: Vec::new(),
            repair: false,
            history_read: false,
            written: false,
            rounds: 0,
            unanswered: 0,
            sent: None,
            refused: None,
            refused_again: 0,
            drafts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, position: usize, draft: &'d D) {
        self.drafts.push(Part { position, draft, outcome: None });
    }

    pub(super) fn identifier(&self) -> &'d str {
        self.drafts.first().map_or("", |part| part.draft.identifier())
    }

    /// Where it is below the base of the server.
    pub(super) fn path(&self) -> String {
        format!("Observation/{}", self.id)
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Settled | State::Away)
    }

    /// How often it was begun anew.
    pub(super) fn tries(&self) -> u32 {
        self.rounds + self.unanswered
    }

    /// It was written, perhaps: what is on the server tells.
    pub(super) fn look_again(&mut self, sent: Sent) {
        self.unanswered += 1;
        self.sent = Some(sent);
        self.state = State::Unread;
    }

    /// Decides what is to be written, if anything.
    pub(super) fn merge(&mut self) {
        let (stored, condition) = match std::mem::replace(&mut self.state, State::Settled) {
            State::Absent => (None, Condition::Absent),
            State::Present(stored) => {
                let condition = stored.version.clone().map_or(Condition::None, Condition::Version);
                (Some(stored), condition)
            }
            other => {
                self.state = other;
                return;
            }
        };
        if stored.is_none() {
            // What was lost lies before a deletion, and stays there.
            self.lost.clear();
            self.repair = false;
        }
        let existed = stored.is_some();
        let mut merged = self.with_lost(stored.as_deref().map(|stored| &stored.observation));
        for part in &mut self.drafts {
            if matches!(part.outcome, Some(SaveOutcome::Rejected(_))) {
                continue;
            }
            let base = merged.as_ref().or(stored.as_deref().map(|stored| &stored.observation));
            let result = match base {
                Some(base) => part.draft.merge(base),
                None => part.draft.create().map(Some),
            };
            match result {
                Ok(Some(observation)) => {
                    merged = Some(observation);
                    part.changed(existed);
                }
                Ok(None) => part.outcome = part.outcome.take().or(Some(SaveOutcome::Unchanged)),
                Err(reason) => part.outcome = Some(SaveOutcome::Rejected(reason)),
            }
        }
        if merged.is_none() && self.repair {
            merged = stored.map(|stored| stored.observation.clone());
        }
        if let Some(observation) = merged {
            self.state = State::Ready(Write { observation, condition });
        }
    }

    /// Decides what is to be written to bring back what was lost, and nothing else.
    pub(super) fn restore(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Settled);
        let State::Present(stored) = state else { return };
        let condition = stored.version.clone().map_or(Condition::None, Condition::Version);
        let restored = self.with_lost(Some(&stored.observation));
        let observation = restored.unwrap_or_else(|| stored.observation.clone());
        self.state = State::Ready(Write { observation, condition });
    }

    /// `stored` with what was lost of it, if that changes it.
    fn with_lost(&self, stored: Option<&Observation>) -> Option<Observation> {
        let (stored, first) = (stored?, self.drafts.first()?);
        let mut merged: Option<Observation> = None;
        for Lost { observation: lost, whole } in &self.lost {
            if *whole && let Some(observation) = merged.as_ref().unwrap_or(stored).with_members_of_others(lost) {
                merged = Some(observation);
            }
            match first.draft.absorb(merged.as_ref().unwrap_or(stored), lost) {
                Ok(Some(observation)) => merged = Some(observation),
                Ok(None) => {}
                // Another type of value took its place: nothing to be saved.
                Err(reason) => {
                    tracing::warn!(reason.code = &*reason.code, "A version that was overwritten cannot be merged back");
                }
            }
        }
        merged
    }

    /// What we would write if there were nothing; none when all of it is bad.
    pub(super) fn created(&self) -> Option<Observation> {
        let mut created: Option<Observation> = None;
        for part in &self.drafts {
            let made = match &created {
                None => part.draft.create().map(Some),
                Some(base) => part.draft.merge(base),
            };
            created = made.ok().flatten().or(created);
        }
        created
    }

    /// The server refused what was merged: nothing is in yet.
    pub(super) fn start_over(&mut self) {
        self.state = State::Unread;
        for part in &mut self.drafts {
            if !self.written && !matches!(part.outcome, Some(SaveOutcome::Rejected(_))) {
                part.outcome = None;
            }
        }
    }

    /// Settles what is not rejected yet with `reason`.
    pub(super) fn reject(&mut self, reason: &Reason) {
        if self.repair {
            tracing::warn!(reason.code = &*reason.code, "A version that was overwritten cannot be merged back");
        }
        for part in &mut self.drafts {
            if !matches!(part.outcome, Some(SaveOutcome::Rejected(_))) {
                part.outcome = Some(SaveOutcome::Rejected(reason.clone()));
            }
        }
        self.state = State::Settled;
    }

    /// Puts the outcomes in their places. A job that is not settled has none.
    pub(super) fn report(self, outcomes: &mut [Option<SaveOutcome>]) {
        if !matches!(self.state, State::Settled) {
            return;
        }
        for part in self.drafts {
            outcomes[part.position] = part.outcome;
        }
    }
}

impl<D> Part<'_, D> {
    /// The draft is part of what is to be written. One that was created in an
    /// earlier round stays created.
    fn changed(&mut self, existed: bool) {
        if self.outcome != Some(SaveOutcome::Created) {
            self.outcome = Some(if existed { SaveOutcome::Merged } else { SaveOutcome::Created });
        }
    }
}
