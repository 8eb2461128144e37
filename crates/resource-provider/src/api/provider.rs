//! What belongs to no resource: names, subscriptions, registration
//! (resource-provider.md 2.13, 2.14).

use arm::state::SubscriptionState;
use arm::{ArmError, Body, ErrorCode, ResourceType};
use jiff::Timestamp;
use serde_json::{Map, json};

use super::Api;
use super::answer::Answer;
use super::call::Call;
use super::write::{ATTEMPTS_MAX, busy, check_writable};
use crate::documents::SubscriptionDocument;
use crate::lifecycle;
use crate::store::StoreError;

/// Says whether a name is free. Like any POST that is for those who may write.
pub async fn check_name(api: &Api, call: &Call, subscription: &str) -> Result<Answer, ArmError> {
    check_writable(api, subscription).await?;
    let body = Body::read(&call.body)?;
    let required = |name: &str| {
        let message = format!("`{name}` is required.");
        ArmError::at(ErrorCode::InvalidRequestContent, name, message)
    };
    let name: String = body.read_member("name")?.ok_or_else(|| required("name"))?;
    let kind: String = body.read_member("type")?.ok_or_else(|| required("type"))?;
    let is = |path: &str| kind.eq_ignore_ascii_case(&arm::name_of_provider(path));
    if !is("workspaces") && !is("services") {
        let message = "`type` has to be Microsoft.HealthcareApis/workspaces or Microsoft.HealthcareApis/services.";
        return Err(ArmError::at(ErrorCode::InvalidPropertyValue, "type", message));
    }
    let taken = |reason: &str, message: &str| {
        Ok(Answer::ok(json!({ "nameAvailable": false, "reason": reason, "message": message }).to_string()))
    };
    if let Err(error) = ResourceType::Workspace.check_name(&name) {
        return taken("Invalid", &error.message);
    }
    if is("workspaces") && api.settings.rules.reserved_names.iter().any(|reserved| reserved.eq_ignore_ascii_case(&name))
    {
        return taken("Invalid", "The name is reserved.");
    }
    let owner = match is("workspaces") {
        true => api.store.name_owner(&name).await?,
        false => None,
    };
    let is_taken = match owner {
        // Who has a workspace has its name.
        None => false,
        Some(owner) if owner.eq_ignore_ascii_case(subscription) => api.store.is_workspace(&name, &owner).await?,
        Some(_) => true,
    };
    if is_taken {
        return taken("AlreadyExists", "The name is already in use.");
    }
    Ok(Answer::ok(json!({ "nameAvailable": true }).to_string()))
}

/// Takes what ARM says of a subscription.
pub async fn put_subscription(api: &Api, call: &Call, subscription: &str) -> Result<Answer, ArmError> {
    let document: SubscriptionDocument = serde_json::from_slice(&call.body).map_err(|_| {
        let message =
            "The body has to be an object with `state`: Registered, Warned, Suspended, Unregistered or Deleted.";
        ArmError::at(ErrorCode::InvalidRequestContent, "state", message)
    })?;
    put(api, subscription, &document).await?;
    Ok(Answer::ok(serde_json::to_string(&document).unwrap_or_default()))
}

async fn put(api: &Api, subscription: &str, document: &SubscriptionDocument) -> Result<(), ArmError> {
    for _ in 0..ATTEMPTS_MAX {
        let put = async {
            let mut transaction = api.store.begin().await?;
            lifecycle::put(&mut transaction, subscription, document, Timestamp::now()).await?;
            transaction.commit().await
        };
        match put.await {
            Err(StoreError::Conflict) => {}
            done => return Ok(done?),
        }
    }
    Err(busy())
}

/// Registers a subscription.
pub async fn register(api: &Api, subscription: &str) -> Result<(), ArmError> {
    let document = SubscriptionDocument { state: SubscriptionState::Registered, rest: Map::new() };
    put(api, subscription, &document).await
}

/// The provider as ARM shows it to a subscription; `register` registers it
/// first. Answered only where no ARM stands in front.
pub async fn provider(api: &Api, subscription: &str, register: bool) -> Result<Answer, ArmError> {
    if !api.settings.is_front_door {
        return Err(ArmError::new(ErrorCode::InvalidResourceType, "The path belongs to Azure Resource Manager."));
    }
    let mut state = api.store.subscription_state(subscription).await?;
    // What ARM says of a subscription is not the customer's to undo.
    if register && state == SubscriptionState::Unregistered {
        self::register(api, subscription).await?;
        state = SubscriptionState::Registered;
    }
    let state = match state {
        SubscriptionState::Registered => "Registered",
        _ => "NotRegistered",
    };
    let types = ResourceType::ALL.map(|kind| {
        let versions: Vec<&str> = kind.versions().iter().rev().map(|version| version.as_str()).collect();
        let locations: Vec<&str> = api.settings.regions.iter().map(|region| region.as_str()).collect();
        json!({ "resourceType": kind.canonical_path(), "apiVersions": versions, "locations": locations })
    });
    let body = json!({
        "id": format!("/subscriptions/{subscription}/providers/{}", arm::NAMESPACE),
        "namespace": arm::NAMESPACE,
        "registrationState": state,
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": types,
    });
    Ok(Answer::ok(body.to_string()))
}
