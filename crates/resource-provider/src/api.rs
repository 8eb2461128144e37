//! The API that Azure Resource Manager calls (resource-provider.md 2 to 5).
//!
//! ```text
//! HTTP request --Call--> route, version, conditions --handler--> Answer --HTTP response
//! ```
//!
//! Everything a request decides is decided from documents as they were read, and
//! written only when they are still so ([`write`]); nothing waits for Azure or a
//! cluster.

mod answer;
mod call;
mod delete;
mod keys;
mod list;
mod operation_results;
mod provider;
mod read;
mod write;

use std::sync::Arc;
use std::time::Instant;

use arm::desired::Rules;
use arm::{ArmError, ErrorCode, Location, Route};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use delivery::away::error_chain;
use serde::Deserialize;

use self::answer::Answer;
use self::call::Call;
pub use self::call::OF_SUBSCRIPTIONS;
use crate::ports::{FhirServices, IdentityIssuer, Keys};
use crate::store::{Store, StoreError};

/// What the API is told when it starts.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// What resources may be.
    pub rules: Rules,
    /// Where tracked resources may be made: the regions that a cluster is known
    /// of; nothing allows any region.
    pub regions: Vec<Location>,
    /// Where and for whom they may be made.
    pub switches: Switches,
    /// How many there may be.
    pub limits: Limits,
    /// What clients wait between two polls, in seconds: 10 to 600 in production.
    pub retry_after_seconds: u64,
    /// Whether `register` is answered and the provider shown, which ARM does where
    /// it stands in front: for development.
    pub is_front_door: bool,
    /// Whether a subscription that nobody spoke of is registered when it first
    /// writes: for development.
    pub registers_on_first_use: bool,
    /// Whether a Gen1 connector with children is kept from being deleted.
    pub gen1_delete_requires_no_children: bool,
}

/// Whether the feature is on (resource-provider.md 2.15). Where it is off, nothing
/// is created, as if the types were unknown; what is there can be read, changed
/// and deleted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Switches {
    /// The regions in which it is off.
    pub off_in: Vec<Location>,
    /// The feature that a subscription has to have registered, with or without the
    /// namespace before it; none asks for none.
    pub required_feature: Option<String>,
}

/// How many resources there may be (resource-provider.md 4.9).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Workspaces of a subscription.
    pub workspaces: usize,
    /// Connectors of a workspace: a standard namespace holds as many hubs.
    pub connectors: usize,
    /// Destinations of a connector: a hub has that many consumer groups, beside
    /// `$Default`.
    pub destinations: usize,
    /// Gen1 connectors of a subscription.
    pub gen1_connectors: usize,
    /// Connections of a Gen1 connector: a hub has twelve rules, and ours are among them.
    pub gen1_connections: usize,
    /// Mappings of their own of a connector.
    pub mappings: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            workspaces: 10,
            connectors: 10,
            destinations: 19,
            gen1_connectors: 25,
            gen1_connections: 10,
            mappings: 20,
        }
    }
}

impl Default for ApiSettings {
    fn default() -> ApiSettings {
        ApiSettings {
            rules: Rules::default(),
            regions: Vec::new(),
            switches: Switches::default(),
            limits: Limits::default(),
            retry_after_seconds: 10,
            is_front_door: false,
            registers_on_first_use: false,
            gen1_delete_requires_no_children: false,
        }
    }
}

/// What the API works with.
#[derive(Clone)]
pub struct Api {
    /// What is known.
    pub store: Store,
    /// What it was told.
    pub settings: Arc<ApiSettings>,
    /// The FHIR services of the platform.
    pub fhir_services: Arc<dyn FhirServices>,
    /// Where identities come from that ARM did not send; none where ARM always
    /// does.
    pub identities: Option<Arc<dyn IdentityIssuer>>,
    /// The keys of Gen1 connections.
    pub keys: Arc<dyn Keys>,
}

/// How much of a text that a client sends is logged.
const LOGGED_MAX: usize = 512;

tokio::task_local! {
    /// Of the request that is being answered, for what is logged of it on the way.
    static REQUEST_ID: String;
}

/// How large a body may be, in bytes (resource-provider.md 2.2).
const BODY_BYTES_MAX: usize = 1024 * 1024;

impl Api {
    /// Answers every path.
    pub fn router(self) -> Router {
        Router::new().fallback(handle).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(self)
    }

    async fn answer(&self, call: &Call) -> Result<Answer, ArmError> {
        call.check_method()?;
        match &call.route {
            Route::Resource(id) => match call.method {
                Method::PUT => write::put(self, call, id).await,
                Method::PATCH => write::patch(self, call, id).await,
                Method::DELETE => delete::delete(self, call, id).await,
                _ => read::read(self, call, id).await,
            },
            Route::Collection(scope) => list::list(self, call, scope).await,
            Route::Action(id, action) => Box::pin(keys::act(self, call, id, *action)).await,
            Route::Operations => Ok(Answer::ok(arm::manifest::operations().to_string())),
            Route::OperationResult { subscription, id, .. } => {
                operation_results::read(self, call, subscription, id).await
            }
            Route::CheckNameAvailability { subscription } => provider::check_name(self, call, subscription).await,
            Route::Subscription { subscription } => provider::put_subscription(self, call, subscription).await,
            Route::Provider { subscription } => provider::provider(self, subscription, false).await,
            Route::Register { subscription } => provider::provider(self, subscription, true).await,
            Route::MoveResources { .. } => {
                let message = "Resources of this provider cannot be moved.";
                Err(ArmError::new(ErrorCode::ResourceMoveNotSupported, message))
            }
        }
    }
}

async fn handle(
    State(api): State<Api>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let since = Instant::now();
    let request_id = uuid::Uuid::new_v4().to_string();
    let answering = REQUEST_ID.scope(request_id.clone(), answer_to(&api, (&method, &uri, &headers), body));
    // On the heap: a future lies on the stack of whoever polls it.
    let answered = Box::pin(answering).await;
    let code = answered.as_ref().err().map(|error| error.code.as_str());
    let answer = answered.unwrap_or_else(|error| Answer::error(&error, api.settings.retry_after_seconds));
    let (status, milliseconds) = (answer.status(), since.elapsed().as_millis());
    let path: String = uri.path().chars().take(LOGGED_MAX).collect();
    let correlation_id = correlation_id(&headers);
    match status {
        500.. => {
            tracing::error!(%method, path, status, code, milliseconds, request_id, correlation_id, "Could not answer")
        }
        _ => tracing::info!(%method, path, status, code, milliseconds, request_id, correlation_id, "Answered"),
    }
    answer.into_response(&headers, &request_id)
}

async fn answer_to(
    api: &Api,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Answer, ArmError> {
    match body {
        Ok(body) => {
            let call = Call::read(method, uri, headers, body)?;
            api.answer(&call).await
        }
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("The body has more than {BODY_BYTES_MAX} bytes.");
            Err(ArmError::new(ErrorCode::RequestEntityTooLarge, message))
        }
        Err(_) => Err(ArmError::new(ErrorCode::InvalidRequestContent, "The body did not come whole.")),
    }
}

/// What the client calls the request with all that follows of it, to be logged.
fn correlation_id(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get("x-ms-correlation-request-id").and_then(|value| value.to_str().ok())?;
    Some(sent.chars().take(LOGGED_MAX).collect())
}

/// The answer to a request that does not get as far as the API.
pub(crate) fn refusal(error: &ArmError, retry_after_seconds: u64, method: &Method, headers: &HeaderMap) -> Response {
    let request_id = uuid::Uuid::new_v4().to_string();
    let answer = Answer::error(error, retry_after_seconds);
    let (status, code, correlation_id) = (answer.status(), error.code.as_str(), correlation_id(headers));
    tracing::info!(%method, status, code, request_id, correlation_id, "Refused");
    answer.into_response(headers, &request_id)
}

impl From<StoreError> for ArmError {
    /// What a client hears of a store that does not answer: nothing of why.
    fn from(error: StoreError) -> ArmError {
        // Not of a request where there is none.
        let request_id = REQUEST_ID.try_with(String::clone).ok();
        match &error {
            // Others were faster.
            StoreError::Conflict => tracing::warn!(request_id, "The store was busy"),
            _ => tracing::error!(request_id, error = error_chain(&error), "The store failed"),
        }
        match error {
            StoreError::Document { .. }
            | StoreError::Migration(_)
            | StoreError::UnknownScheme { .. }
            | StoreError::NoFile
            | StoreError::File { .. } => {
                ArmError::new(ErrorCode::InternalServerError, "An unexpected error occurred. Try again later.")
            }
            StoreError::Database { .. } | StoreError::Conflict => {
                ArmError::new(ErrorCode::ServiceUnavailable, "The service is busy. Try again.")
            }
        }
    }
}
