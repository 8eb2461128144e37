//! Who may call the API, and how often (resource-provider.md 2.2, 2.5, 2.17).
//!
//! ```text
//! connection, request --Callers--> Caller --Throttle--> API, in time --> Audit
//! ```
//!
//! The front door is Azure Resource Manager: it says in headers for whom it asks
//! and what it has made for them. Nobody else is believed in that: what others
//! send of these headers is taken off before the API sees it.

pub mod audit;
pub mod callers;
pub mod certificates;
pub mod health;
pub mod throttle;
pub mod tokens;
pub mod trusted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arm::{ArmError, ErrorCode, Route};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use https_server::PeerCertificate;

use self::audit::{Audit, Entry};
use self::callers::{Caller, Callers};
use self::throttle::Throttle;
use crate::api::refusal;
use crate::metrics;

/// A request is answered within this: the manifest tells ARM 20 s
/// (resource-provider.md 2.2).
const ANSWER_LIMIT: Duration = Duration::from_secs(19);

/// What only the front door says, by the names of headers or by how they begin.
const FRONT_DOORS: [&str; 4] = ["x-ms-arm-", "x-ms-identity-", "x-ms-home-tenant-id", "x-ms-client-"];
/// Among them, what a caller may say of its own request.
const ANYBODYS: &str = "x-ms-client-request-id";

/// What stands before the API.
#[derive(Clone, Debug)]
pub struct Front {
    /// Who is known.
    pub callers: Arc<Callers>,
    /// How often a subscription may write.
    pub throttle: Arc<Throttle>,
    /// Where it is written down who wrote what.
    pub audit: Arc<Audit>,
    /// What is told of trying again, in seconds.
    pub retry_after_seconds: u64,
}

impl Front {
    /// The API behind it.
    pub fn before(self, api: Router) -> Router {
        api.layer(from_fn_with_state(self, pass))
    }

    async fn admit(&self, request: &mut Parts) -> Result<Caller, ArmError> {
        let caller = self.callers.of(request).await?;
        if caller != Caller::FrontDoor {
            take_off(&mut request.headers);
            if let Ok(Route::Subscription { .. }) = Route::of_path(request.uri.path()) {
                let message = "Only Azure Resource Manager tells what becomes of a subscription.";
                return Err(ArmError::new(ErrorCode::Forbidden, message));
            }
        }
        if is_write(&request.method) {
            self.throttle.check(request.uri.path())?;
        }
        Ok(caller)
    }

    async fn answer(self, request: Request, next: Next) -> Response {
        // The body, which cannot be shared, is not looked at here.
        let (mut request, body) = request.into_parts();
        say_scheme(&mut request);
        let (method, asked) = (request.method.clone(), request.headers.clone());
        let mut entry = is_write(&method).then(|| Entry::of(&request));
        let refuse = |error: &ArmError| refusal(error, self.retry_after_seconds, &method, &asked);
        let response = match self.admit(&mut request).await {
            Ok(caller) => {
                entry = entry.map(|entry| entry.by(caller, &request.headers));
                let answering = next.run(Request::from_parts(request, body));
                match tokio::time::timeout(ANSWER_LIMIT, answering).await {
                    Ok(response) => response,
                    Err(_) => refuse(&ArmError::new(ErrorCode::ServiceUnavailable, "The service is busy. Try again.")),
                }
            }
            Err(error) => {
                let mut response = refuse(&error);
                if error.code == ErrorCode::AuthenticationFailed {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                    // A place is for who may call.
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        };
        if let Some(entry) = entry {
            self.audit.write(&entry, &response);
        }
        response
    }
}

async fn pass(State(front): State<Front>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let (method, asked, retry_after) = (request.method().clone(), request.headers().clone(), front.retry_after_seconds);
    // A task of its own: a client that goes away stops neither what it asked for
    // nor the line about it.
    let response = match tokio::spawn(Box::pin(front.answer(request, next))).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(how = telemetry::broke_off(&error), "A request broke off");
            let message = "An unexpected error occurred. Try again later.";
            refusal(&ArmError::new(ErrorCode::InternalServerError, message), retry_after, &method, &asked)
        }
    };
    metrics::count_request(&method, response.status().as_u16(), since.elapsed());
    response
}

fn is_write(method: &Method) -> bool {
    matches!(*method, Method::PUT | Method::PATCH | Method::POST | Method::DELETE)
}

/// Says of what came over TLS to us that it did, where nobody before us has said
/// how it came: URLs that are given back begin so, and clients send no token to
/// others.
fn say_scheme(request: &mut Parts) {
    const SCHEME: &str = "x-forwarded-proto";
    let is_tls = request.extensions.get::<PeerCertificate>().is_some();
    if is_tls && !request.headers.contains_key(SCHEME) {
        request.headers.insert(SCHEME, HeaderValue::from_static("https"));
    }
}

/// Takes off what only the front door says.
fn take_off(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|name| is_front_doors(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_front_doors(name: &str) -> bool {
    name != ANYBODYS && FRONT_DOORS.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_front_doors_is_taken_off() {
        let mut headers = HeaderMap::new();
        let (theirs, anybodys) = (
            [
                "x-ms-arm-resource-system-data",
                "x-ms-identity-url",
                "x-ms-identity-principal-id",
                "x-ms-home-tenant-id",
                "x-ms-client-object-id",
                "x-ms-client-principal-name",
                "x-ms-client-tenant-id",
                "x-ms-client-app-id",
            ],
            ["x-ms-client-request-id", "x-ms-correlation-request-id", "x-ms-return-client-request-id", "if-match"],
        );
        for name in theirs.into_iter().chain(anybodys) {
            headers.insert(name, HeaderValue::from_static("a"));
        }
        take_off(&mut headers);
        assert!(theirs.iter().all(|name| !headers.contains_key(*name)), "{headers:?}");
        assert!(anybodys.iter().all(|name| headers.contains_key(*name)), "{headers:?}");
    }
}
