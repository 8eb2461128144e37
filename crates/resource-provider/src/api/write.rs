//! PUT and PATCH (resource-provider.md 2.7, 3.3, 4.6, 5.4).
//!
//! ```text
//! look --decide--> plan --apply, if all is still as it was--> answer
//!   ^----------------------- otherwise ------------------------'
//! ```
//!
//! What is decided may need others (the directory of FHIR services), so no
//! transaction is open meanwhile; it is applied in one that has locked what was
//! looked at, and only when none of that has changed.

mod apply;
mod aside;
mod decide;
mod look;

use arm::state::SubscriptionState;
use arm::{ArmError, ErrorCode, ResourceId};

pub use self::look::{directory, gen1_parent};
use super::Api;
use super::answer::Answer;
use super::call::Call;
use super::provider;
use crate::store::StoreError;

/// How often something is decided anew when what it was decided from has
/// changed. Each time somebody else has got further, so few are enough.
pub const ATTEMPTS_MAX: usize = 8;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Replaces.
    Put,
    /// Merges.
    Patch,
}

/// Makes or replaces a resource.
pub async fn put(api: &Api, call: &Call, id: &ResourceId) -> Result<Answer, ArmError> {
    Box::pin(write(api, call, id, Verb::Put)).await
}

/// Changes a resource.
pub async fn patch(api: &Api, call: &Call, id: &ResourceId) -> Result<Answer, ArmError> {
    Box::pin(write(api, call, id, Verb::Patch)).await
}

async fn write(api: &Api, call: &Call, id: &ResourceId, verb: Verb) -> Result<Answer, ArmError> {
    for _ in 0..ATTEMPTS_MAX {
        check_writable(api, &id.subscription).await?;
        let seen = look::look(api, id).await?;
        let plan = decide::decide(api, call, id, verb, &seen).await?;
        match Box::pin(apply::apply(api, call, id, verb, seen, plan)).await {
            Ok(answer) => return answer,
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy())
}

/// Somebody else was faster every time.
pub fn busy() -> ArmError {
    let message = "Others are changing the same resource. Try again.";
    ArmError::new(ErrorCode::AnotherOperationInProgress, message)
}

/// Whether a subscription may write (resource-provider.md 2.14).
pub async fn check_writable(api: &Api, subscription: &str) -> Result<(), ArmError> {
    match api.store.subscription(subscription).await?.map(|document| document.state) {
        Some(SubscriptionState::Registered) => Ok(()),
        Some(SubscriptionState::Warned | SubscriptionState::Suspended) => {
            let message = "The subscription is disabled: its resources can be read and deleted only.";
            Err(ArmError::new(ErrorCode::ReadOnlyDisabledSubscription, message))
        }
        None if api.settings.registers_on_first_use => provider::register(api, subscription).await,
        None | Some(SubscriptionState::Unregistered | SubscriptionState::Deleted) => Err(unregistered()),
    }
}

/// The words of the public service: clients look for the namespace in quotes,
/// register, and try again.
pub fn unregistered() -> ArmError {
    let message =
        format!("The subscription is not registered to use namespace '{}'. Register it and try again.", arm::NAMESPACE);
    ArmError::new(ErrorCode::MissingSubscriptionRegistration, message)
}
