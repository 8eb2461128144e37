//! Azure says no, or says nothing.

use arm::ErrorCode;
use local::resource_manager::{Fault, FaultKind};
use resource_provider::ports::{ErrorClass, PortError};

use super::cloud::{Cloud, settled};
use super::things::{ALL, Thing, make_all};

fn answer(status: u16, code: &'static str, retry_after: Option<u64>) -> FaultKind {
    FaultKind::Answer { status, code, retry_after }
}

fn code_of(thing: Thing) -> ErrorCode {
    match thing {
        Thing::Group | Thing::Account => ErrorCode::StorageProvisioningFailed,
        Thing::Identity | Thing::Federation => ErrorCode::IdentityCredentialUnavailable,
        Thing::Namespace => ErrorCode::EventHubNamespaceProvisioningFailed,
        Thing::Hub | Thing::ConsumerGroup | Thing::SendRule => ErrorCode::EventHubProvisioningFailed,
        Thing::Role(_) => ErrorCode::RoleAssignmentFailed,
    }
}

/// Faults that pass, and what they say of when to come again.
fn passing() -> [(FaultKind, Option<u64>); 7] {
    [
        (answer(429, "TooManyRequests", Some(7)), Some(7)),
        (answer(503, "ServerBusy", Some(3)), Some(3)),
        (answer(500, "InternalServerError", None), None),
        (answer(409, "Conflict", None), None),
        (answer(408, "RequestTimeout", None), None),
        (FaultKind::CutBefore, None),
        (FaultKind::CutAfter, None),
    ]
}

#[track_caller]
fn is_transient(error: &PortError, retry_after_seconds: Option<u64>, thing: Thing) {
    assert_eq!(error.class, ErrorClass::Transient { retry_after_seconds }, "{thing:?}: {error}");
    assert_eq!(error.code, code_of(thing), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_nothing_is_made_twice() {
    for method in ["GET", "PUT"] {
        let cloud = Cloud::start().await;
        for thing in ALL {
            for (kind, retry_after) in passing() {
                cloud.resource_manager.fail(Fault { method, path_has: thing.path(), kind, times: 1 });
                let error = thing.ensure(&cloud).await.unwrap_err();
                is_transient(&error, retry_after, thing);
                if method == "PUT" {
                    // What was cut may have been made: without it the next fault
                    // would meet nothing.
                    settled(|| thing.ensure(&cloud)).await.unwrap();
                    settled(|| thing.remove(&cloud)).await.unwrap();
                }
            }
            settled(|| thing.ensure(&cloud)).await.unwrap();
        }
        assert_eq!(cloud.resource_manager.made().len(), ALL.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_disturbed_removes_in_the_end() {
    for (kind, retry_after) in passing() {
        let cloud = Cloud::start().await;
        make_all(&cloud).await;
        for thing in ALL.into_iter().rev() {
            cloud.resource_manager.fail(Fault {
                method: "DELETE",
                path_has: thing.path(),
                kind: kind.clone(),
                times: 1,
            });
            let error = thing.remove(&cloud).await.unwrap_err();
            is_transient(&error, retry_after, thing);
            settled(|| thing.remove(&cloud)).await.unwrap();
        }
        assert!(cloud.resource_manager.made().is_empty(), "{kind:?}: {:?}", cloud.resource_manager.made());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_is_said_so_with_azures_code_and_not_its_text() {
    let cases = [
        (answer(400, "BadRequest", None), None),
        (answer(403, "AuthorizationFailed", None), None),
        (answer(404, "ResourceGroupNotFound", None), None),
        (answer(403, "QuotaExceeded", None), Some(ErrorCode::QuotaExceeded)),
    ];
    let cloud = Cloud::start().await;
    for thing in ALL {
        for (kind, code) in cases.clone() {
            let FaultKind::Answer { code: said, .. } = kind else { panic!("an answer") };
            cloud.resource_manager.fail(Fault { method: "PUT", path_has: thing.path(), kind, times: 1 });
            let error = thing.ensure(&cloud).await.unwrap_err();
            assert_eq!((error.class, error.code), (ErrorClass::Permanent, code.unwrap_or(code_of(thing))), "{thing:?}");
            assert!(error.message.contains(said) && !error.message.contains("see the code"), "{}", error.message);
        }
        settled(|| thing.ensure(&cloud)).await.unwrap();
    }
}

#[tokio::test]
async fn an_operation_that_fails_is_begun_again() {
    let cloud = Cloud::start().await;
    Thing::Namespace.make_all_before(&cloud).await;
    let path_has = Thing::Namespace.path();
    cloud.resource_manager.fail(Fault { method: "PUT", path_has, kind: FaultKind::OperationFails, times: 1 });
    let error = Thing::Namespace.ensure(&cloud).await.unwrap_err();
    is_transient(&error, None, Thing::Namespace);
    settled(|| Thing::Namespace.ensure(&cloud)).await.unwrap();
}
