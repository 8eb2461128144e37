//! The resource provider's port on clusters: what it asks of a real control plane,
//! and what the operator makes of it.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod dedicated;
mod environment;
mod installed;
mod life;
#[path = "../../../../crates/resource-provider/tests/store/places.rs"]
#[allow(dead_code)]
mod places;
mod planes;
#[path = "../operator/site.rs"]
#[allow(dead_code)]
mod site;
mod specs;
