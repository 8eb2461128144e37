//! Principal, role and scope count; ids are only names.

use arm::ErrorCode;
use local::resource_manager::{Fault, FaultKind};
use resource_provider::ports::{Azure, ErrorClass, Role, RoleAssignment, Scope};

use super::cloud::{Cloud, FHIR, place, settled};
use super::things::{Thing, principal, role};

const OTHER: &str = "99999999-0000-4000-8000-000000000000";

async fn with_identity_and_hub() -> Cloud {
    let cloud = Cloud::start().await;
    Thing::Role(0).make_all_before(&cloud).await;
    cloud
}

fn count(cloud: &Cloud) -> usize {
    cloud.resource_manager.made().iter().filter(|id| id.contains("/roleassignments/")).count()
}

#[tokio::test]
async fn one_under_another_id_counts_and_is_removed_too() {
    let cloud = with_identity_and_hub().await;
    let (role, scope, id) = role(0);
    let principal_id = &principal(&cloud);
    let other = RoleAssignment { id: OTHER, principal_id, role, scope };
    cloud.ports.ensure_role_assignment(&place(), other).await.unwrap();
    let own = RoleAssignment { id, ..other };
    cloud.ports.ensure_role_assignment(&place(), own).await.unwrap();
    assert_eq!(count(&cloud), 1);
    cloud.ports.delete_role_assignment(&place(), own).await.unwrap();
    assert_eq!(count(&cloud), 0);
    cloud.ports.delete_role_assignment(&place(), own).await.unwrap();
}

#[tokio::test]
async fn an_identity_that_was_made_anew_gets_its_roles_again() {
    let cloud = with_identity_and_hub().await;
    Thing::Role(0).ensure(&cloud).await.unwrap();
    let before = principal(&cloud);
    Thing::Identity.remove(&cloud).await.unwrap();
    Thing::Identity.ensure(&cloud).await.unwrap();
    assert_ne!(principal(&cloud), before);
    Thing::Role(0).ensure(&cloud).await.unwrap();
    let (role, scope, id) = role(0);
    let principal_id = &principal(&cloud);
    let writes = cloud.resource_manager.write_count();
    let assignment = RoleAssignment { id, principal_id, role, scope };
    cloud.ports.ensure_role_assignment(&place(), assignment).await.unwrap();
    assert_eq!((count(&cloud), cloud.resource_manager.write_count()), (1, writes));
}

#[tokio::test]
async fn an_id_that_collides_is_said_to_whoever_chose_it() {
    let cloud = with_identity_and_hub().await;
    let kind = FaultKind::Answer { status: 409, code: "HashConflictOnDifferentRoleAssignmentIds", retry_after: None };
    cloud.resource_manager.fail(Fault { method: "PUT", path_has: "/roleassignments/", kind, times: 1 });
    let error = Thing::Role(0).ensure(&cloud).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::HashConflictOnDifferentRoleAssignmentIds);
}

#[tokio::test]
async fn a_principal_that_is_new_is_waited_for() {
    let cloud = with_identity_and_hub().await;
    let kind = FaultKind::Answer { status: 400, code: "PrincipalNotFound", retry_after: None };
    cloud.resource_manager.fail(Fault { method: "PUT", path_has: "/roleassignments/", kind, times: 1 });
    let error = Thing::Role(0).ensure(&cloud).await.unwrap_err();
    assert!(matches!(error.class, ErrorClass::Transient { .. }), "{error:?}");
    settled(|| Thing::Role(0).ensure(&cloud)).await.unwrap();
}

/// A customer who lets us in no more keeps what is ours from going no longer.
#[tokio::test]
async fn a_role_that_may_not_be_taken_away_is_left() {
    let cloud = with_identity_and_hub().await;
    let service = format!("{FHIR}/services/fhir1");
    let principal_id = &principal(&cloud);
    let of_customer = RoleAssignment {
        id: OTHER,
        principal_id,
        role: Role::FhirDataContributor,
        scope: Scope::FhirService(&service),
    };
    cloud.ports.ensure_role_assignment(&place(), of_customer).await.unwrap();
    let refuse = |status, code| {
        let kind = FaultKind::Answer { status, code, retry_after: None };
        cloud.resource_manager.fail(Fault { method: "DELETE", path_has: "/roleassignments/", kind, times: 1 });
    };
    for (status, code) in [(403, "AuthorizationFailed"), (401, "InvalidAuthenticationTokenTenant")] {
        refuse(status, code);
        cloud.ports.delete_role_assignment(&place(), of_customer).await.unwrap();
        assert_eq!(count(&cloud), 1, "it is theirs to remove");
    }
    // A token that has just expired says nothing of that.
    refuse(401, "ExpiredAuthenticationToken");
    let error = cloud.ports.delete_role_assignment(&place(), of_customer).await.unwrap_err();
    assert!(matches!(error.class, ErrorClass::Transient { .. }), "{error:?}");
    // On what is ours it is an error.
    let (role, scope, id) = role(0);
    let ours = RoleAssignment { id, principal_id, role, scope };
    refuse(403, "AuthorizationFailed");
    let error = cloud.ports.delete_role_assignment(&place(), ours).await.unwrap_err();
    assert_eq!((error.code, error.class), (ErrorCode::RoleAssignmentFailed, ErrorClass::Permanent));
}
