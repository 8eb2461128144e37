//! What becomes of an operation that fails (resource-provider.md 6.4): a create is
//! undone, and after a change what was good is brought back.

use arm::operation::OperationKind;
use arm::{ArmError, ErrorCode};
use delivery::away::error_chain;
use jiff::Timestamp;

use super::Worker;
use super::outcome::{self, Ending};
use super::plan::Step;
use super::run::{Outcome, Purpose};
use super::steps::Stage;
use crate::documents::{InternalError, OperationDocument, Step as Journaled, StepOutcome};
use crate::ports::PortError;
use crate::store::StoreError;

impl Worker {
    /// Stores why an operation fails, before anything is undone, and gives it up.
    pub(super) async fn fail(
        &self,
        operation: &mut OperationDocument,
        mut stage: Stage<'_>,
        step: Step,
        error: PortError,
    ) -> Result<(), StoreError> {
        operation.internal_error = Some(InternalError { step: step.name(), message: error_chain(&error) });
        operation.error = Some(outcome::shown(&error, &stage.scene.subject));
        if !self.journal(operation, &mut stage.scene.subject).await? {
            return Ok(());
        }
        Box::pin(self.give_up(operation, stage)).await
    }

    /// Undoes a create, or brings back what was good before a change; a delete is
    /// left where it stands for the next one, and work of our own for the sweeper.
    pub(super) async fn give_up(
        &self,
        operation: &mut OperationDocument,
        mut stage: Stage<'_>,
    ) -> Result<(), StoreError> {
        let changes = matches!(operation.provisioning_operation, OperationKind::Provision | OperationKind::Patch);
        if changes && stage.scene.subject.last_good.is_none() {
            self.compensate(operation, &mut stage).await?;
        } else if changes {
            self.bring_back(operation, &mut stage).await?;
        }
        let unknown = || ArmError::new(ErrorCode::InternalServerError, "The operation failed.");
        let error = operation.error.clone().unwrap_or_else(unknown);
        self.end(operation.clone(), Ending::Failed(error)).await
    }

    /// Undoes what was done, the last first; the step that failed may have got
    /// half way.
    async fn compensate(&self, operation: &mut OperationDocument, stage: &mut Stage<'_>) -> Result<(), StoreError> {
        let all = Step::of_provision(stage.scene.subject.kind.resource_type());
        let failed = operation.internal_error.as_ref().map(|error| error.step.clone());
        let reached = all.iter().position(|step| Some(step.name()) == failed).map_or(all, |index| &all[..=index]);
        for undo in reached.iter().rev().filter_map(|step| step.undo()) {
            if operation.steps.iter().any(|done| done.name == undo.name()) {
                continue;
            }
            let outcome = match self.retried(operation, stage, (undo, Purpose::Undo)).await? {
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
        stage.is_known = true;
        for step in Step::of_return(stage.scene.subject.kind.resource_type()) {
            match self.retried(operation, stage, (step, Purpose::Undo)).await? {
                Outcome::Done => {}
                Outcome::Lost | Outcome::Preempted => return Ok(()),
                Outcome::Failed(step, error) => {
                    let error = error_chain(&error);
                    tracing::error!(operation = %operation.id, ?step, error, "What was good could not be brought back");
                    let (outcome, at) = (StepOutcome::CompensationFailed, Timestamp::now().to_string());
                    operation.steps.push(Journaled { name: step.name(), outcome, at });
                    stage.scene.subject.infrastructure.is_half_changed = true;
                    return self.journal(operation, &mut stage.scene.subject).await.map(|_| ());
                }
            }
        }
        self.mark_whole(operation, stage).await.map(|_| ())
    }

    /// Stores that a resource is what its document says, where it was not. False when
    /// the operation is this worker's no more.
    pub(super) async fn mark_whole(
        &self,
        operation: &mut OperationDocument,
        stage: &mut Stage<'_>,
    ) -> Result<bool, StoreError> {
        let subject = &mut stage.scene.subject;
        if std::mem::take(&mut subject.infrastructure.is_half_changed) {
            return self.journal(operation, subject).await;
        }
        Ok(true)
    }
}
