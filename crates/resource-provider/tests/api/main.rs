//! The API over HTTP, with a real store. What a worker does is done here by the
//! test, when it says so ([`provider::Provider::work`]).

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod bodies;
mod conditions;
mod destinations;
mod gen1;
mod lists;
mod operations;
mod protocol;
mod provider;
mod states;
mod subscriptions;
mod workspaces;
