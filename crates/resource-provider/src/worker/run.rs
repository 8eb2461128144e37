//! From a claim to the end of an operation.

use std::time::Duration;

use arm::DocumentId;
use arm::operation::{OperationKind, OperationStatus};
use arm::state::ResourceState;
use delivery::away::error_chain;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use super::Worker;
use super::hold::Hold;
use super::outcome::{self, Ending};
use super::plan::Step;
use super::scene::Scene;
use super::steps::{Stage, StepError};
use crate::documents::{OperationDocument, ResourceDocument, Step as Journaled, StepOutcome};
use crate::enqueue::REMEMBERED;
use crate::metrics;
use crate::ports::{ErrorClass, PortError};
use crate::store::{Claimed, StoreError};

impl Worker {
    /// Carries out an operation that was claimed. What ends early, because the
    /// lease or the store was lost, is claimed again by whoever comes.
    pub(super) async fn carry_out(&self, claimed: Claimed) -> Result<(), StoreError> {
        let id = claimed.document.id.clone();
        metrics::count_claim(&claimed);
        tokio::select! {
            done = Box::pin(self.persist(claimed)) => done,
            // Dropping the work stops it: whoever has the lease goes on.
            () = self.keep(Hold::Lease(&id)) => {
                tracing::warn!(operation = %id, "An operation is left to another worker: the lease was lost");
                Ok(())
            }
        }
    }

    /// Works on an operation until it has ended, or is another's. When the store
    /// does not do it, or somebody else was faster, it goes on from what is
    /// stored, while the lease lasts.
    async fn persist(&self, claimed: Claimed) -> Result<(), StoreError> {
        let Claimed { document: mut operation, attempts, is_preempted, .. } = claimed;
        let id = operation.id.clone();
        let mut wait = self.settings.backoff.0;
        for attempt in 1.. {
            let worked = if attempts > self.settings.claims_max {
                self.end(operation.clone(), Ending::Abandoned(outcome::poisoned())).await
            } else if is_preempted {
                self.end(operation.clone(), Ending::Preempted).await
            } else {
                Box::pin(self.work_on(&mut operation)).await
            };
            let error = match worked {
                Ok(()) => return Ok(()),
                // The same the next time.
                Err(error @ StoreError::Document { .. }) => return Err(error),
                Err(error) if attempt >= self.settings.tries_max => return Err(error),
                Err(error) => error,
            };
            tracing::warn!(operation = %id, attempt, error = error_chain(&error), "The store did not take an operation on");
            sleep(outcome::jittered(wait)).await;
            wait = (wait * 2).min(self.settings.backoff.1);
            match self.store.operation(&id).await {
                Ok(Some(stored)) if !stored.provisioning_status.is_terminal() => operation = stored,
                // It ended, though its worker was not told.
                Ok(_) => return Ok(()),
                // Then as it was last known: all of it can be repeated.
                Err(error) => tracing::warn!(operation = %id, error = error_chain(&error), "An operation was not read"),
            }
        }
        Ok(())
    }

    async fn work_on(&self, operation: &mut OperationDocument) -> Result<(), StoreError> {
        let Some(subject) = self.store.resource_by_id(&operation.resource_id).await? else {
            return self.end(operation.clone(), Ending::Gone).await;
        };
        let removes = operation.provisioning_operation == OperationKind::Deprovision;
        let Some(scene) = Scene::of(&self.store, subject).await? else {
            return self.end(operation.clone(), Ending::Gone).await;
        };
        let is_known = operation.provisioning_operation.is_upkeep();
        let renews = operation.provisioning_operation == OperationKind::Renew;
        let mut stage = Stage { worker: self, scene, operation: operation.id.clone(), is_known, renews };
        // Whoever had it before was undoing it: what is undone is not taken for done.
        if operation.error.is_some() {
            return Box::pin(self.give_up(operation, stage)).await;
        }
        if removes && !Box::pin(self.remove_children(operation, &stage)).await? {
            return Ok(());
        }
        let kind = stage.scene.subject.kind.resource_type();
        let does = operation.provisioning_operation;
        let steps = match does {
            // Of a change that failed more than the workload may be left.
            OperationKind::Reapply if stage.scene.subject.infrastructure.is_half_changed => Step::of_return(kind),
            _ => Step::of(does, kind).to_vec(),
        };
        if operation.provisioning_operation.is_upkeep() {
            // Of what is wanted since, others take care.
            if stage.scene.subject.state == ResourceState::Deprovisioning || !stage.scene.subject.revert() {
                return self.end(operation.clone(), Ending::Gone).await;
            }
        } else if !removes {
            let state = match stage.scene.subject.last_good {
                Some(_) => ResourceState::Updating,
                None => ResourceState::Provisioning,
            };
            if !self.begin(&operation.id, &mut stage.scene.subject, state).await? {
                return Ok(());
            }
        }
        match self.perform_all(operation, &mut stage, &steps).await? {
            Outcome::Done => {
                // A renewal leaves the rest as it is.
                let is_whole = does == OperationKind::Renew || self.mark_whole(operation, &mut stage).await?;
                if is_whole { self.end(operation.clone(), Ending::Succeeded).await } else { Ok(()) }
            }
            Outcome::Lost => Ok(()),
            Outcome::Preempted => self.end(operation.clone(), Ending::Preempted).await,
            Outcome::Failed(step, error) => Box::pin(self.fail(operation, stage, step, error)).await,
        }
    }

    /// Shows that work has begun. False when the operation is this worker's no more.
    async fn begin(
        &self,
        operation: &DocumentId,
        subject: &mut ResourceDocument,
        state: ResourceState,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        if transaction.hold_with(&subject.id, operation, self.lease()).await?.is_none() {
            return Ok(false);
        }
        let Some(mut now) = transaction.resource_by_id(&subject.id).await? else { return Ok(true) };
        if now.state == ResourceState::Accepted {
            now.state = state;
            transaction.update_resource(&mut now).await?;
            transaction.commit().await?;
        }
        *subject = now;
        Ok(true)
    }

    /// Removes what is below, each as its own delete would. False when the
    /// operation is this worker's no more, or has ended.
    async fn remove_children(&self, operation: &mut OperationDocument, stage: &Stage<'_>) -> Result<bool, StoreError> {
        for child in self.store.descendants(&stage.scene.subject.resource_id()).await? {
            let Some(scene) = Scene::of(&self.store, child).await? else { continue };
            let id = operation.id.clone();
            let mut below = Stage { worker: self, scene, operation: id, is_known: true, renews: false };
            let steps = Step::of_deprovision(below.scene.subject.kind.resource_type());
            for step in steps {
                match self.retried(operation, &mut below, (*step, Purpose::Act)).await? {
                    Outcome::Done => {}
                    Outcome::Lost => return Ok(false),
                    Outcome::Preempted => {
                        self.end(operation.clone(), Ending::Preempted).await?;
                        return Ok(false);
                    }
                    Outcome::Failed(step, error) => {
                        Box::pin(self.fail(operation, stage.clone(), step, error)).await?;
                        return Ok(false);
                    }
                }
            }
            let mut transaction = self.store.begin().await?;
            if transaction.hold_with(&below.scene.subject.id, &operation.id, self.lease()).await?.is_none() {
                return Ok(false);
            }
            transaction.delete_resource(&below.scene.subject.id).await?;
            transaction.commit().await?;
        }
        Ok(true)
    }

    /// Does the steps that are not done yet, each with its entry in the journal.
    async fn perform_all(
        &self,
        operation: &mut OperationDocument,
        stage: &mut Stage<'_>,
        steps: &[Step],
    ) -> Result<Outcome, StoreError> {
        operation.steps_total = u32::try_from(steps.len()).ok();
        for step in steps {
            let name = step.name();
            if operation.steps.iter().any(|done| done.name == name && done.outcome == StepOutcome::Done) {
                continue;
            }
            match self.retried(operation, stage, (*step, Purpose::Act)).await? {
                Outcome::Done => {}
                other => return Ok(other),
            }
            operation.steps.push(Journaled { name, outcome: StepOutcome::Done, at: Timestamp::now().to_string() });
            if !self.journal(operation, &mut stage.scene.subject).await? {
                return Ok(Outcome::Lost);
            }
        }
        Ok(Outcome::Done)
    }

    /// Does a step, again and again while that can help (resource-provider.md
    /// 6.3).
    pub(super) async fn retried(
        &self,
        operation: &OperationDocument,
        stage: &mut Stage<'_>,
        (step, purpose): (Step, Purpose),
    ) -> Result<Outcome, StoreError> {
        let settings = &self.settings;
        let (mut begin, mut wait, mut attempt) = (Instant::now(), settings.backoff.0, 1);
        loop {
            match self.store.renew(&operation.id, self.lease()).await? {
                None => return Ok(Outcome::Lost),
                Some(true) => return Ok(Outcome::Preempted),
                Some(false) => {}
            }
            // Undoing has a limit of its own for each step, which waiting counts for.
            let is_late = match purpose {
                Purpose::Act => operation.age() > settings.operation_limit,
                Purpose::Undo => begin.elapsed() >= settings.step_limit,
            };
            if is_late {
                return Ok(Outcome::Failed(step, outcome::timed_out()));
            }
            let timer = metrics::Timer::start(step, attempt);
            let error = match stage.perform(step).await {
                Ok(()) => {
                    timer.stop("done");
                    return Ok(Outcome::Done);
                }
                Err(StepError::Store(error)) => {
                    timer.stop("store");
                    return Err(error);
                }
                // Waiting for another is no try of this one; the operation's age
                // ends it, or the step's when it undoes.
                Err(StepError::Waiting) => {
                    timer.stop("waiting");
                    let since = Instant::now();
                    sleep(outcome::jittered(settings.poll)).await;
                    if purpose == Purpose::Act {
                        begin += since.elapsed();
                    }
                    continue;
                }
                // Nor is looking again at what goes on by itself, for as long as a step may take.
                Err(StepError::Port(error)) if error.is_under_way() && begin.elapsed() < settings.step_limit => {
                    timer.stop("waiting");
                    let pause = look_again_after(&error, settings.backoff.1).max(settings.poll);
                    if let Some(stopped) = self.pause(operation, pause).await? {
                        return Ok(stopped);
                    }
                    continue;
                }
                Err(StepError::Lost) => {
                    timer.stop("lost");
                    return Ok(Outcome::Lost);
                }
                Err(StepError::Port(error)) => error,
            };
            self.log_failed_step(operation, stage, (step, attempt), &error);
            let is_over = attempt >= settings.tries_max || begin.elapsed() >= settings.step_limit;
            let ErrorClass::Transient { retry_after_seconds } = error.class else {
                timer.stop("failed");
                return Ok(Outcome::Failed(step, error));
            };
            if is_over {
                timer.stop("failed");
                return Ok(Outcome::Failed(step, error));
            }
            timer.stop("again");
            let asked = retry_after_seconds.map_or(Duration::ZERO, Duration::from_secs);
            let pause = outcome::jittered(wait).max(asked.min(settings.step_limit));
            if let Some(stopped) = self.pause(operation, pause).await? {
                return Ok(stopped);
            }
            wait = (wait * 2).min(settings.backoff.1);
            attempt += 1;
        }
    }

    /// Lets time go by before a step is tried again. What ends it early: the operation
    /// is another worker's, or a delete wants it to stop.
    async fn pause(&self, operation: &OperationDocument, pause: Duration) -> Result<Option<Outcome>, StoreError> {
        let end = Instant::now() + pause;
        let look_every = Duration::try_from(self.settings.lease / 6).unwrap_or(self.settings.poll);
        while Instant::now() < end {
            sleep_until(end.min(Instant::now() + look_every)).await;
            match self.store.renew(&operation.id, self.lease()).await? {
                None => return Ok(Some(Outcome::Lost)),
                Some(true) => return Ok(Some(Outcome::Preempted)),
                Some(false) => {}
            }
        }
        Ok(None)
    }

    /// Says that a step failed, and of what: who looks for it knows the resource, the
    /// request or the cluster.
    fn log_failed_step(
        &self,
        operation: &OperationDocument,
        stage: &Stage<'_>,
        (step, attempt): (Step, u32),
        error: &PortError,
    ) {
        let cluster = stage.scene.place().ok().map(|place| place.aks_cluster_resource_id.as_str());
        tracing::warn!(
            operation = %operation.id,
            correlation_id = operation.correlation_id,
            resource = %stage.scene.subject.resource_id(),
            cluster,
            ?step,
            attempt,
            error = error_chain(error),
            "A step failed"
        );
    }

    /// Writes the journal and what was made, together. False when the operation
    /// is this worker's no more.
    pub(super) async fn journal(
        &self,
        operation: &mut OperationDocument,
        subject: &mut ResourceDocument,
    ) -> Result<bool, StoreError> {
        operation.time_last_updated = Timestamp::now().to_string();
        let mut transaction = self.store.begin().await?;
        if !transaction.journal(operation, self.lease()).await? {
            return Ok(false);
        }
        outcome::take_over(&mut transaction, subject).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Stores what a step has made up, before it is used. False when the operation is
    /// this worker's no more.
    pub(super) async fn store_made(
        &self,
        operation: &DocumentId,
        subject: &mut ResourceDocument,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        if transaction.hold_with(&subject.id, operation, self.lease()).await?.is_none() {
            return Ok(false);
        }
        outcome::take_over(&mut transaction, subject).await?;
        transaction.commit().await.map(|()| true)
    }

    /// Ends an operation: the resource gets its final state in the same
    /// transaction.
    pub(super) async fn end(&self, mut operation: OperationDocument, ending: Ending) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut transaction = self.store.begin().await?;
        let (kind, subscription) = (operation.provisioning_operation, &operation.subscription_id);
        outcome::lock(&mut transaction, kind, subscription, &operation.resource_id).await?;
        if transaction.hold(&operation.id, self.lease()).await?.is_none() {
            return Ok(());
        }
        let pause = self.settings.upkeep_pause;
        Box::pin(outcome::settle(&mut transaction, &mut operation, &ending, pause)).await?;
        operation.time_last_updated = now.to_string();
        operation.time_ended = Some(now.to_string());
        transaction.end_operation(&operation, now + REMEMBERED).await?;
        transaction.commit().await?;
        metrics::count_end(&operation);
        let status = operation.provisioning_status;
        let code = operation.error.as_ref().map(|error| error.code.as_str());
        let (id, correlation_id, resource) = (&operation.id, operation.correlation_id.as_deref(), &operation.resource);
        match status {
            OperationStatus::Failed => {
                tracing::error!(operation = %id, correlation_id, %resource, ?kind, code, "An operation failed");
            }
            _ => tracing::info!(operation = %id, correlation_id, %resource, ?kind, ?status, "An operation ended"),
        }
        Ok(())
    }
}

/// When to look again at what goes on by itself.
fn look_again_after(error: &PortError, most: Duration) -> Duration {
    let asked = match error.class {
        ErrorClass::UnderWay { retry_after_seconds } => retry_after_seconds.map(Duration::from_secs),
        _ => None,
    };
    asked.unwrap_or(outcome::jittered(most / 4)).min(most)
}

/// What a step is done for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What was asked for: no longer than an operation may take.
    Act,
    /// What was before: also when the operation took too long.
    Undo,
}

/// How steps went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Well.
    Done,
    /// The operation is another worker's.
    Lost,
    /// A delete wants it to stop.
    Preempted,
    /// One failed, and trying again is no use.
    Failed(Step, PortError),
}
