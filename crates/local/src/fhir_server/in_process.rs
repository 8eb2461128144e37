//! The server without its listener, at a time of its user's choosing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::State;
use axum::http::{Request, Response};
use jiff::Timestamp;

use crate::fhir_server::http::{BASE_PATH, Front, fhir};
use crate::fhir_server::personality::Personality;
use crate::fhir_server::service::Service;
use crate::fhir_server::store::Store;

/// A server in memory that answers whoever holds it; clones are the same one.
#[derive(Clone)]
pub struct InProcessFhirServer {
    front: Arc<Front>,
}

impl fmt::Debug for InProcessFhirServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessFhirServer").finish_non_exhaustive()
    }
}

impl InProcessFhirServer {
    /// An empty server that calls itself `host`, such as `fhir.test`.
    pub fn new(personality: Personality, host: &str) -> InProcessFhirServer {
        let base = format!("http://{host}{BASE_PATH}");
        let store = Store::in_memory(personality.opaque_versions());
        let service = Service::new(store, personality, base, Duration::ZERO, 5000);
        InProcessFhirServer { front: Arc::new(Front { service, tokens: None, bearer: None }) }
    }

    /// The FHIR base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.front.service.base
    }

    /// Answers a request that comes at `now`.
    pub async fn answer(&self, request: Request<Vec<u8>>, now: Timestamp) -> Response<Vec<u8>> {
        self.front.service.set_now(now);
        let (head, body) = request.into_parts();
        let state = State(self.front.clone());
        let answer = fhir(state, head.method, head.uri, head.headers, Bytes::from(body)).await;
        let (head, body) = answer.into_parts();
        // It is in memory: reading it cannot fail.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        Response::from_parts(head, body.to_vec())
    }
}
