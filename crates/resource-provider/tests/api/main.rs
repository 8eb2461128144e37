//! The API over HTTP, with a real store. What a worker does is done here by the
//! test, when it says so ([`provider::Provider::work`]).

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod bodies;
mod conditions;
mod destinations;
mod gen1;
mod killed;
mod lists;
mod operations;
#[path = "../store/places.rs"]
#[allow(dead_code)]
mod places;
mod protocol;
#[allow(dead_code, reason = "some of it is for other tests")]
mod provider;
mod states;
mod subscriptions;
mod switches;
mod workspaces;
