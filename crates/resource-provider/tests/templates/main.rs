//! Templates before the API and a worker: those that we ship, and what the
//! documents send that the provider is made after.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::sync::Arc;

use resource_provider::local::Open;

#[path = "../api/bodies.rs"]
#[allow(dead_code)]
mod bodies;
mod deployment;
mod expression;
mod ours;
#[path = "../store/places.rs"]
#[allow(dead_code)]
mod places;
#[path = "../api/provider.rs"]
#[allow(dead_code)]
mod provider;
mod seeds;
#[path = "../worker/site.rs"]
#[allow(dead_code)]
mod site;

/// An API, and a worker before a cloud that refuses nothing.
async fn site() -> site::Site {
    site::Site::behind(Arc::new(Open)).await
}
