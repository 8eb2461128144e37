//! The keys of Gen1 connections (resource-provider.md 3.8): asked for and
//! answered at once, never stored.

use arm::gen1::KeyType;
use arm::resource_type::Action;
use arm::state::ResourceState;
use arm::{ArmError, Body, ErrorCode, ResourceId};
use axum::http::header;

use super::Api;
use super::answer::Answer;
use super::call::Call;
use super::read::not_found;
use super::write::check_writable;
use crate::ports::ConnectionRule;

/// Lists the keys of a connection, or makes one anew.
pub async fn act(api: &Api, call: &Call, id: &ResourceId, action: Action) -> Result<Answer, ArmError> {
    check_writable(api, &id.subscription).await?;
    let document = api.store.resource(id).await?.ok_or_else(|| not_found(id))?;
    let connector = match id.parent() {
        Some(parent) => api.store.resource(&parent).await?,
        None => None,
    };
    let connector = connector.ok_or_else(|| not_found(id))?;
    if document.state != ResourceState::Provisioned {
        let message = "The connection is not ready. Try again when it is.";
        return Err(ArmError::new(ErrorCode::AncestorNotProvisioned, message));
    }
    // As it was written last, not as this request writes it.
    let stored = document.resource_id();
    let rule = ConnectionRule { connector: &connector, connection: stored.own_name() };
    let keys = match action {
        Action::ListKeys => {
            if !call.body.trim_ascii().is_empty() {
                Body::read(&call.body)?;
            }
            api.keys.list(rule).await
        }
        Action::RegenerateKeys => api.keys.regenerate(rule, KeyType::read(&call.body)?).await,
    };
    let keys = keys.map_err(|error| {
        tracing::error!(code = error.code.as_str(), "The keys of a connection could not be read");
        ArmError::new(ErrorCode::ServiceUnavailable, "The keys cannot be read now. Try again.")
    })?;
    let body = serde_json::to_string(&keys).unwrap_or_default();
    Ok(Answer::ok(body).header(header::CACHE_CONTROL, "no-store".to_owned()))
}
