//! From a claim to the end of an operation.

use std::time::Duration;

use arm::operation::{OperationKind, OperationStatus};
use arm::state::ResourceState;
use arm::{ArmError, DocumentId, ErrorCode};
use jiff::Timestamp;
use tokio::time::Instant;

use super::Worker;
use super::outcome::{self, Ending};
use super::plan::Step;
use super::scene::Scene;
use super::steps::{Stage, StepError};
use crate::api::REMEMBERED;
use crate::documents::{InternalError, OperationDocument, ResourceDocument, Step as Journaled, StepOutcome};
use crate::ports::{ErrorClass, PortError};
use crate::store::{Claimed, StoreError};

impl Worker {
    /// Carries out an operation that was claimed. What ends early, because the
    /// lease or the store was lost, is claimed again by whoever comes.
    pub(super) async fn carry_out(&self, claimed: Claimed) -> Result<(), StoreError> {
        let (id, attempts, is_preempted) = (claimed.document.id.clone(), claimed.attempts, claimed.is_preempted);
        let mut operation = claimed.document;
        let work = async {
            if attempts > self.settings.claims_max {
                let message = "The operation could not be carried out. Contact support with the correlation id.";
                let error = ArmError::new(ErrorCode::InternalServerError, message);
                return self.end(operation, Ending::Failed { error, internal: None }).await;
            }
            if is_preempted {
                return self.end(operation, Ending::Preempted).await;
            }
            Box::pin(self.work_on(&mut operation)).await
        };
        tokio::select! {
            done = work => done,
            // Dropping the work stops it: whoever has the lease goes on.
            () = self.keep_lease(&id) => Ok(()),
        }
    }

    /// Renews the lease until it is lost.
    async fn keep_lease(&self, id: &DocumentId) {
        let third = Duration::try_from(self.settings.lease / 3).unwrap_or(Duration::from_secs(20));
        loop {
            tokio::time::sleep(third).await;
            match self.store.renew(id, self.lease()).await {
                Ok(Some(_)) => {}
                Ok(None) => return,
                // Tried again before the lease ends; the last time it is lost.
                Err(error) => tracing::warn!(%error, "A lease could not be renewed"),
            }
        }
    }

    async fn work_on(&self, operation: &mut OperationDocument) -> Result<(), StoreError> {
        let Some(subject) = self.store.resource_by_id(&operation.resource_id).await? else {
            return self.end(operation.clone(), Ending::Gone).await;
        };
        let removes = operation.provisioning_operation == OperationKind::Deprovision;
        let Some(scene) = Scene::of(&self.store, subject).await? else {
            return self.end(operation.clone(), Ending::Gone).await;
        };
        let mut stage = Stage { worker: self, scene };
        if removes && !self.remove_children(operation, &stage).await? {
            return Ok(());
        }
        let kind = stage.scene.subject.kind.resource_type();
        let steps = if removes { Step::of_deprovision(kind) } else { Step::of_provision(kind) };
        if !removes {
            let state = match stage.scene.subject.last_good {
                Some(_) => ResourceState::Updating,
                None => ResourceState::Provisioning,
            };
            self.begin(&mut stage.scene.subject, state).await?;
        }
        match self.perform_all(operation, &mut stage, steps).await? {
            Outcome::Done => self.end(operation.clone(), Ending::Succeeded).await,
            Outcome::Lost => Ok(()),
            Outcome::Preempted => self.end(operation.clone(), Ending::Preempted).await,
            Outcome::Failed(step, error) => Box::pin(self.fail(operation, stage, step, error)).await,
        }
    }

    /// Shows that work has begun.
    async fn begin(&self, subject: &mut ResourceDocument, state: ResourceState) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let Some(mut now) = transaction.resource_by_id(&subject.id).await? else { return Ok(()) };
        if now.state == ResourceState::Accepted {
            now.state = state;
            transaction.update_resource(&mut now).await?;
            transaction.commit().await?;
        }
        *subject = now;
        Ok(())
    }

    /// Removes what is below, each as its own delete would. False when the
    /// operation is this worker's no more, or has ended.
    async fn remove_children(&self, operation: &mut OperationDocument, stage: &Stage<'_>) -> Result<bool, StoreError> {
        for child in self.store.descendants(&stage.scene.subject.resource_id()).await? {
            let Some(scene) = Scene::of(&self.store, child).await? else { continue };
            let mut below = Stage { worker: self, scene };
            let steps = Step::of_deprovision(below.scene.subject.kind.resource_type());
            for step in steps {
                match self.retried(operation, &mut below, *step).await? {
                    Outcome::Done => {}
                    Outcome::Lost => return Ok(false),
                    Outcome::Preempted => break,
                    Outcome::Failed(step, error) => {
                        let scene = stage.scene.clone();
                        Box::pin(self.fail(operation, Stage { worker: self, scene }, step, error)).await?;
                        return Ok(false);
                    }
                }
            }
            let mut transaction = self.store.begin().await?;
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
            match self.retried(operation, stage, *step).await? {
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
    async fn retried(
        &self,
        operation: &OperationDocument,
        stage: &mut Stage<'_>,
        step: Step,
    ) -> Result<Outcome, StoreError> {
        let settings = &self.settings;
        let (begin, mut wait) = (Instant::now(), settings.backoff.0);
        for attempt in 1.. {
            match self.store.renew(&operation.id, self.lease()).await? {
                None => return Ok(Outcome::Lost),
                Some(true) => return Ok(Outcome::Preempted),
                Some(false) => {}
            }
            if outcome::age(operation) > settings.operation_limit {
                return Ok(Outcome::Failed(step, outcome::timed_out()));
            }
            let error = match stage.perform(step).await {
                Ok(()) => return Ok(Outcome::Done),
                Err(StepError::Store(error)) => return Err(error),
                Err(StepError::Port(error)) => error,
            };
            tracing::warn!(operation = %operation.id, ?step, attempt, %error, "A step failed");
            let ErrorClass::Transient { retry_after_seconds } = error.class else {
                return Ok(Outcome::Failed(step, error));
            };
            if attempt >= settings.tries_max || begin.elapsed() >= settings.step_limit {
                return Ok(Outcome::Failed(step, error));
            }
            let asked = retry_after_seconds.map_or(Duration::ZERO, Duration::from_secs);
            tokio::time::sleep(outcome::jittered(wait).max(asked.min(settings.step_limit))).await;
            wait = (wait * 2).min(settings.backoff.1);
        }
        Ok(Outcome::Lost)
    }

    /// Writes the journal and what was made, together. False when the operation
    /// is this worker's no more.
    async fn journal(
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

    /// Stores what a step has made up, before it is used.
    pub(super) async fn store_made(&self, subject: &mut ResourceDocument) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        outcome::take_over(&mut transaction, subject).await?;
        transaction.commit().await
    }

    /// Undoes a create, or brings back what was good before a change; a delete is
    /// left where it stands, for the next one.
    async fn fail(
        &self,
        operation: &mut OperationDocument,
        mut stage: Stage<'_>,
        step: Step,
        error: PortError,
    ) -> Result<(), StoreError> {
        let removes = operation.provisioning_operation == OperationKind::Deprovision;
        if !removes && stage.scene.subject.last_good.is_none() {
            self.compensate(operation, &mut stage, step).await?;
        } else if !removes {
            self.bring_back(operation, &mut stage).await?;
        }
        let internal = Some(InternalError { step: step.name(), message: error.message.clone() });
        let error = outcome::shown(&error, &stage.scene.subject);
        self.end(operation.clone(), Ending::Failed { error, internal }).await
    }

    /// Undoes what was done, the last first; the step that failed may have got
    /// half way.
    async fn compensate(
        &self,
        operation: &mut OperationDocument,
        stage: &mut Stage<'_>,
        failed: Step,
    ) -> Result<(), StoreError> {
        let all = Step::of_provision(stage.scene.subject.kind.resource_type());
        let reached = all.iter().position(|step| *step == failed).map_or(all, |index| &all[..=index]);
        for undo in reached.iter().rev().filter_map(|step| step.undo()) {
            let outcome = match self.retried(operation, stage, undo).await? {
                Outcome::Done => StepOutcome::Compensated,
                Outcome::Lost => return Ok(()),
                Outcome::Preempted => return Ok(()),
                Outcome::Failed(..) => StepOutcome::CompensationFailed,
            };
            let at = Timestamp::now().to_string();
            operation.steps.push(Journaled { name: undo.name(), outcome, at });
            if !self.journal(operation, &mut stage.scene.subject).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes the resource what it was when it last succeeded.
    async fn bring_back(&self, operation: &mut OperationDocument, stage: &mut Stage<'_>) -> Result<(), StoreError> {
        stage.scene.subject.revert();
        let kind = stage.scene.subject.kind.resource_type();
        for step in Step::of_provision(kind).iter().filter(|step| **step != Step::OldPositions) {
            match self.retried(operation, stage, *step).await? {
                Outcome::Done => {}
                Outcome::Lost | Outcome::Preempted => return Ok(()),
                Outcome::Failed(step, error) => {
                    tracing::error!(operation = %operation.id, ?step, %error, "What was good could not be brought back");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Ends an operation: the resource gets its final state in the same
    /// transaction.
    async fn end(&self, mut operation: OperationDocument, ending: Ending) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut transaction = self.store.begin().await?;
        if transaction.hold(&operation.id, self.lease()).await?.is_none() {
            return Ok(());
        }
        outcome::settle(&mut transaction, &mut operation, &ending).await?;
        operation.time_last_updated = now.to_string();
        operation.time_ended = Some(now.to_string());
        transaction.end_operation(&operation, now + REMEMBERED).await?;
        transaction.commit().await?;
        let status = operation.provisioning_status;
        let code = operation.error.as_ref().map(|error| error.code.as_str());
        match status {
            OperationStatus::Failed => tracing::error!(operation = %operation.id, code, "An operation failed"),
            _ => tracing::info!(operation = %operation.id, ?status, "An operation ended"),
        }
        Ok(())
    }
}

/// How steps went.
#[derive(Debug)]
enum Outcome {
    /// Well.
    Done,
    /// The operation is another worker's.
    Lost,
    /// A delete wants it to stop.
    Preempted,
    /// One failed, and trying again is no use.
    Failed(Step, PortError),
}
