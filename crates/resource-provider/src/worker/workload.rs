//! The steps that have the cluster run a connector, or what belongs to one, and those
//! that take it away.

use arm::infrastructure::ConnectorNames;
use arm::state::ResourceState;
use arm::{ErrorCode, ResourceType};
use tokio::time::{Instant, sleep};

use super::spec;
use super::steps::{Stage, StepError};
use crate::ports::{ConnectorSpec, PortError};

/// What the cluster was asked for.
#[derive(Debug)]
struct Applied {
    /// The connector; none when there is nothing to run.
    connector: Option<String>,
    /// Whether it stands still.
    is_suspended: bool,
}

impl Stage<'_> {
    /// Applies the connector, to run or to stand still.
    async fn apply(&self) -> Result<Applied, StepError> {
        let (platform, place, store) = (&self.worker.platform, self.scene.place()?, &self.worker.store);
        let subscription = store.subscription_state(&self.scene.subject.subscription_id).await?;
        let is_suspended = subscription.is_suspended();
        let spec = self.scene.connector_spec(store, platform).await?;
        let Some(spec) = spec.map(|spec| ConnectorSpec { is_suspended, ..spec }) else {
            let name = ConnectorNames(&self.scene.connector().id).workload();
            platform.cluster.delete(place, &name).await?;
            return Ok(Applied { connector: None, is_suspended });
        };
        platform.cluster.apply(place, &spec).await?;
        Ok(Applied { connector: Some(spec.name), is_suspended })
    }

    /// Whether the resource is a connector.
    fn is_connector(&self) -> bool {
        self.scene.connector.is_none()
    }

    pub(super) async fn workload(&mut self) -> Result<(), StepError> {
        let before = self.scene.subject.infrastructure.fhir_service.clone();
        self.find_fhir_service().await?;
        let done = self.make_workload().await;
        if done.is_err() {
            // What was good is applied again with the address that it had.
            self.scene.subject.infrastructure.fhir_service = before;
        }
        done
    }

    /// Finds the FHIR service of what is worked on, as it is now. Without one, that
    /// which is known is used; where none is, whoever needs it says so.
    async fn find_fhir_service(&mut self) -> Result<(), PortError> {
        let subject = &mut self.scene.subject;
        if self.is_known && spec::known_address(subject)?.is_some() {
            return Ok(());
        }
        subject.infrastructure.fhir_service =
            spec::look_up(subject, self.worker.platform.fhir_services.as_ref()).await?;
        Ok(())
    }

    async fn make_workload(&mut self) -> Result<(), StepError> {
        let applied = self.apply().await?;
        if self.is_connector() {
            self.scene.subject.infrastructure.is_suspended = Some(applied.is_suspended);
        }
        let Some(connector) = applied.connector else { return Ok(()) };
        let (place, workload) = (self.scene.place()?.clone(), self.scene.workload());
        let deadline = Instant::now() + self.worker.settings.ready_limit;
        loop {
            let status = self.worker.platform.cluster.workload(&place, &connector, &workload).await?;
            if let Some(status) = status.filter(|status| status.is_ready) {
                self.scene.subject.infrastructure.kubernetes = Some(status.object);
                return Ok(());
            }
            if Instant::now() >= deadline {
                let message = format!("the workload `{workload}` was not ready in time");
                return Err(PortError::permanent(ErrorCode::WorkloadNotReady, message).into());
            }
            self.pause().await?;
        }
    }

    /// The time between two looks at what is awaited; over when the operation is to
    /// stop.
    async fn pause(&self) -> Result<(), StepError> {
        sleep(self.worker.settings.poll).await;
        match self.worker.store.renew(&self.operation, self.worker.lease()).await? {
            Some(false) => Ok(()),
            // A delete wants it to stop, which whoever tries the step sees.
            Some(true) => Err(StepError::Waiting),
            None => Err(StepError::Lost),
        }
    }

    pub(super) async fn no_workload(&mut self) -> Result<(), StepError> {
        let Ok(place) = self.scene.place().cloned() else { return Ok(()) };
        let cluster = &self.worker.platform.cluster;
        let connector = ConnectorNames(&self.scene.connector().id).workload();
        let kind = self.scene.subject.kind.resource_type();
        if matches!(kind, ResourceType::IotConnector | ResourceType::IomtConnector | ResourceType::IomtMapping) {
            cluster.delete(&place, &connector).await?;
        } else {
            let workload = self.scene.workload();
            if cluster.workload(&place, &connector, &workload).await?.is_none() {
                return Ok(());
            }
            let mut without = self.scene.clone();
            without.subject.state = ResourceState::Deprovisioning;
            let operation = self.operation.clone();
            Stage { worker: self.worker, scene: without, operation, is_known: true, renews: false }.apply().await?;
            let deadline = Instant::now() + self.worker.settings.ready_limit;
            while cluster.workload(&place, &connector, &workload).await?.is_some() {
                if Instant::now() >= deadline {
                    let message = format!("the workload `{workload}` is still there");
                    return Err(PortError::transient(ErrorCode::ClusterUnavailable, message).into());
                }
                self.pause().await?;
            }
        }
        self.scene.subject.infrastructure.kubernetes = None;
        self.scene.subject.infrastructure.is_suspended = None;
        Ok(())
    }
}
