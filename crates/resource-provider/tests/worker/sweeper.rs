//! What nobody is at, and the sweeper finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arm::identity::SystemAssigned;
use arm::operation::{OperationKind, OperationStatus};
use arm::state::ResourceState;
use arm::{ArmError, ErrorCode};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use resource_provider::documents::{OperationDocument, ScaleInfo};
use resource_provider::local::{Gate, LocalCloud, Moment, Open};
use resource_provider::metrics;
use resource_provider::ports::{Certificates, EnsuredCertificate, PortError};
use resource_provider::worker::Swept;
use serde_json::json;

use super::bodies::{CONNECTOR, connector, workspace};
use super::faults::{Fault, Trap};
use super::provider::{Answered, NEWEST};
use super::site::Site;

const WORKSPACE: &str = "workspaces/ws1";

/// Writes the end of a resource's operation, and nothing into the resource: no
/// worker does that.
async fn end_alone(site: &Site, path: &str, expires: Timestamp, end: impl Fn(&mut OperationDocument)) {
    let document = site.document(path).await.unwrap();
    let mut transaction = site.provider.store.begin().await.unwrap();
    let id = document.current_operation_id.unwrap();
    let mut operation = transaction.operation(&id).await.unwrap().unwrap();
    end(&mut operation);
    transaction.end_operation(&operation, expires).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Loses the operation of a resource.
async fn lose_operation(site: &Site, path: &str) {
    end_alone(site, path, Timestamp::UNIX_EPOCH, |_| {}).await;
    let mut transaction = site.provider.store.begin().await.unwrap();
    assert_eq!(transaction.forget_expired(Timestamp::now(), 10).await.unwrap(), 1);
    transaction.commit().await.unwrap();
}

fn in_an_hour() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

async fn state(site: &Site, path: &str) -> String {
    site.provider.get(path, NEWEST).await.state().to_owned()
}

#[tokio::test]
async fn what_has_no_operation_gets_one() {
    let site = Site::behind(Arc::new(Open)).await;
    site.provider.put(WORKSPACE, NEWEST, &workspace()).await.is(201);
    lose_operation(&site, WORKSPACE).await;
    assert_eq!(site.sweep().await, Swept { enqueued: 1, ..Swept::default() });
    assert_eq!(site.sweep().await, Swept::default(), "it has one now");
    site.work().await;
    assert_eq!(state(&site, WORKSPACE).await, "Succeeded");
    // The same of one that is being removed.
    site.provider.delete(WORKSPACE, NEWEST).await.is(202);
    lose_operation(&site, WORKSPACE).await;
    assert_eq!(site.sweep().await, Swept { enqueued: 1, ..Swept::default() });
    site.work().await;
    site.provider.get(WORKSPACE, NEWEST).await.is_error(404, "ResourceNotFound");
    assert!(site.cloud.things().is_empty());
}

#[tokio::test]
async fn what_an_operation_left_unsettled_is_settled() {
    let site = Site::behind(Arc::new(Open)).await;
    site.provider.put(WORKSPACE, NEWEST, &workspace()).await.is(201);
    end_alone(&site, WORKSPACE, in_an_hour(), |operation| operation.provisioning_status = OperationStatus::Succeeded)
        .await;
    assert_eq!(site.sweep().await, Swept { settled: 1, ..Swept::default() });
    assert_eq!(state(&site, WORKSPACE).await, "Succeeded");
    site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    end_alone(&site, CONNECTOR, in_an_hour(), |operation| {
        operation.provisioning_status = OperationStatus::Failed;
        operation.error = Some(ArmError::new(ErrorCode::ClusterUnavailable, "It is away."));
    })
    .await;
    assert_eq!(site.sweep().await, Swept { settled: 1, ..Swept::default() });
    let document = site.document(CONNECTOR).await.unwrap();
    let code = document.provisioning_error.map(|error| error.code);
    assert_eq!((document.state, code), (ResourceState::Failed, Some(ErrorCode::ClusterUnavailable)));
    site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    end_alone(&site, CONNECTOR, in_an_hour(), |operation| operation.provisioning_status = OperationStatus::Succeeded)
        .await;
    assert_eq!(site.sweep().await, Swept { settled: 1, ..Swept::default() });
    site.provider.get(CONNECTOR, NEWEST).await.is_error(404, "ResourceNotFound");
}

/// A sweep finds nothing of what is going on.
#[tokio::test]
async fn what_is_going_on_is_left_alone() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    site.provider.put("workspaces/ws2", NEWEST, &workspace()).await.is(201);
    site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.sweep().await, Swept::default());
    site.work().await;
    assert_eq!(site.sweep().await, Swept::default());
}

#[tokio::test]
async fn a_certificate_is_renewed_when_it_is_time() {
    let site = Site::behind(Arc::new(Open)).await;
    site.cloud.renew_certificates_after("2020-01-01T00:00:00Z");
    site.with_connector().await;
    site.cloud.renew_certificates_after("9999-01-01T00:00:00Z");
    let certificate = |site: &Site| site.cloud.connectors()[0].certificate.clone().unwrap();
    let before = certificate(&site);
    assert_eq!(site.sweep().await, Swept { renewals: 1, ..Swept::default() });
    assert_eq!(site.sweep().await, Swept::default(), "it waits already");
    assert_eq!(state(&site, CONNECTOR).await, "Succeeded", "nobody sees it");
    site.work().await;
    let after = certificate(&site);
    assert_ne!(after.version, before.version);
    assert_eq!(site.document(CONNECTOR).await.unwrap().infrastructure.certificate, Some(after));
    assert_eq!(site.sweep().await, Swept::default());
}

#[tokio::test]
async fn a_renewal_that_fails_changes_nothing_and_is_tried_again_another_day() {
    let trap = Trap::new(Fault::Refuse);
    let site = Site::behind(trap.clone()).await;
    site.cloud.renew_certificates_after("2020-01-01T00:00:00Z");
    site.with_connector().await;
    assert_eq!(site.sweep().await.renewals, 1);
    trap.arm(0);
    site.work().await;
    trap.disarm();
    assert_eq!((state(&site, CONNECTOR).await.as_str(), site.cloud.connector_count()), ("Succeeded", 1));
    assert_eq!(site.sweep().await, Swept::default());
    let mut worker = site.worker();
    (worker.settings.sweep_period, worker.settings.renewal_pause) = (Duration::ZERO, SignedDuration::ZERO);
    assert_eq!(worker.sweep().await.unwrap().unwrap().renewals, 1);
}

/// A vault to which nothing newer comes.
#[derive(Debug)]
struct NotRenewed(Arc<LocalCloud>);

#[async_trait]
impl Certificates for NotRenewed {
    async fn ensure(
        &self,
        place: &ScaleInfo,
        name: &str,
        identity: &SystemAssigned,
    ) -> Result<EnsuredCertificate, PortError> {
        let ensured = Certificates::ensure(&*self.0, place, name, identity).await?;
        let error = PortError::transient(ErrorCode::IdentityCredentialUnavailable, "401");
        Ok(EnsuredCertificate { not_renewed: Some(error), ..ensured })
    }

    async fn delete(&self, place: &ScaleInfo, name: &str) -> Result<(), PortError> {
        Certificates::delete(&*self.0, place, name).await
    }
}

/// A certificate that cannot be renewed stops no change, and a renewal says so.
#[tokio::test]
async fn a_renewal_that_renews_nothing_has_failed() {
    let site = Site::behind(Arc::new(Open)).await;
    site.cloud.renew_certificates_after("2020-01-01T00:00:00Z");
    site.with_workspace().await;
    let mut worker = site.worker();
    worker.platform.certificates = Arc::new(NotRenewed(site.cloud.clone()));
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    assert!(worker.work_once().await.unwrap());
    assert_eq!(site.status(&made).await["status"], "Succeeded");
    assert_eq!(site.sweep().await.renewals, 1);
    let id = site.document_id(CONNECTOR).await;
    assert!(worker.work_once().await.unwrap());
    let mut transaction = site.provider.store.begin().await.unwrap();
    let failed = transaction.has_failed(&id, OperationKind::Renew, Timestamp::UNIX_EPOCH).await.unwrap();
    drop(transaction);
    assert!(failed);
    let text = String::from_utf8(metrics::text(&site.provider.store).await.unwrap()).unwrap();
    assert!(text.contains("iot_connector_provider_certificates_due 1"), "{text}");
    assert_eq!(state(&site, CONNECTOR).await, "Succeeded");
}

/// What was removed half way stays away, whatever its subscription and its certificate do.
#[tokio::test]
async fn a_connector_that_a_failed_delete_took_away_does_not_run_again() {
    let roles = Arc::new(RolesStay::default());
    let site = Site::behind(roles.clone()).await;
    site.cloud.renew_certificates_after("2020-01-01T00:00:00Z");
    site.with_connector().await;
    roles.0.store(true, Ordering::SeqCst);
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Failed");
    assert_eq!(site.cloud.connector_count(), 0);
    for state in ["Suspended", "Registered"] {
        site.provider.subscription_is(state).await.is(200);
        site.work().await;
    }
    assert_eq!(site.sweep().await, Swept::default());
    assert_eq!(site.cloud.connector_count(), 0);
    roles.0.store(false, Ordering::SeqCst);
    let again = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(again).await["status"], "Succeeded");
}

/// Refuses that roles are taken away, while it is told to.
#[derive(Debug, Default)]
struct RolesStay(AtomicBool);

#[async_trait]
impl Gate for RolesStay {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        let refuses = self.0.load(Ordering::SeqCst) && call.starts_with("no role ") && moment == Moment::Before;
        if refuses { Err(PortError::permanent(ErrorCode::RoleAssignmentFailed, "403")) } else { Ok(()) }
    }
}

/// A connector that could not be told to stand still, as its subscription is to.
async fn with_connector_that_was_not_suspended() -> Site {
    let trap = Trap::new(Fault::Refuse);
    let site = Site::behind(trap.clone()).await;
    site.with_connector().await;
    site.provider.subscription_is("Suspended").await.is(200);
    trap.arm(0);
    site.work().await;
    trap.disarm();
    site
}

/// What failed is tried again after a pause, so that it leaves room for the rest.
#[tokio::test]
async fn what_failed_has_its_pause() {
    let site = with_connector_that_was_not_suspended().await;
    let mut worker = site.worker();
    worker.settings.sweep_period = Duration::ZERO;
    assert_eq!(worker.sweep().await.unwrap(), Some(Swept::default()));
    assert_eq!(site.sweep().await, Swept { followed: 1, ..Swept::default() });
    site.work().await;
    assert!(site.cloud.connectors()[0].is_suspended);
}

#[tokio::test]
async fn of_many_workers_one_sweeps() {
    let site = Site::behind(Arc::new(Open)).await;
    let workers: Vec<_> = (0..6).map(|_| site.worker()).collect();
    let swept = futures::future::join_all(workers.iter().map(|worker| worker.sweep())).await;
    assert_eq!(swept.into_iter().filter(|swept| matches!(swept, Ok(Some(_)))).count(), 1);
}

#[tokio::test]
async fn a_group_that_is_nobodys_is_told_of_and_removed_only_when_that_is_wanted() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_workspace().await;
    assert_eq!(site.sweep().await, Swept::default());
    let id = site.document_id(WORKSPACE).await;
    let mut transaction = site.provider.store.begin().await.unwrap();
    transaction.delete_resource(&id).await.unwrap();
    transaction.commit().await.unwrap();
    let groups = |site: &Site| site.cloud.things().keys().filter(|name| name.starts_with("group ")).count();
    assert_eq!((site.sweep().await.orphans, groups(&site)), (1, 1));
    // Nor is it that of another workspace of the same name.
    site.with_workspace().await;
    let mut worker = site.worker();
    (worker.settings.sweep_period, worker.settings.removes_orphans) = (Duration::ZERO, true);
    assert_eq!(worker.sweep().await.unwrap().unwrap().orphans, 1);
    assert_eq!((site.sweep().await.orphans, groups(&site)), (0, 1));
    let own = site.document(WORKSPACE).await.unwrap().infrastructure.resource_group.unwrap();
    assert!(site.cloud.things().contains_key(&format!("group {own}")));
}

/// A connector that could not be told to stand still is told again.
#[tokio::test]
async fn what_has_not_followed_its_subscription_does() {
    let site = with_connector_that_was_not_suspended().await;
    assert!(!site.cloud.connectors()[0].is_suspended);
    assert_eq!(site.sweep().await, Swept { followed: 1, ..Swept::default() });
    site.work().await;
    assert!(site.cloud.connectors()[0].is_suspended);
    assert_eq!(site.sweep().await, Swept::default());
}

/// A removal that failed is begun again; so is all that was left of a subscription.
#[tokio::test]
async fn what_a_deleted_subscription_still_has_is_removed() {
    let trap = Trap::new(Fault::RefuseRemoval);
    let site = Site::behind(trap.clone()).await;
    site.with_destination().await;
    trap.arm(0);
    site.provider.subscription_is("Deleted").await.is(200);
    site.work().await;
    trap.disarm();
    let connector = site.document(CONNECTOR).await.unwrap();
    let child = site.document(super::site::DESTINATION).await.unwrap();
    assert_eq!((connector.state, child.state), (ResourceState::Failed, ResourceState::Failed));
    assert_eq!(site.sweep().await.followed, 1);
    site.work().await;
    assert!(site.document(WORKSPACE).await.is_none() && site.cloud.things().is_empty());
}

/// A delete that fails takes back what it said of the children; another one goes
/// on.
#[tokio::test]
async fn a_delete_that_fails_shows_it_and_may_come_again() {
    let trap = Trap::new(Fault::RefuseRemoval);
    let site = Site::behind(trap.clone()).await;
    site.with_destination().await;
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    trap.arm(0);
    let status = site.done(deleted).await;
    trap.disarm();
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("EventHubProvisioningFailed")));
    assert_eq!(state(&site, CONNECTOR).await, "Failed");
    assert_eq!(state(&site, super::site::DESTINATION).await, "Failed");
    let again: Answered = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(again).await["status"], "Succeeded");
    site.provider.get(super::site::DESTINATION, NEWEST).await.is_error(404, "ResourceNotFound");
}
