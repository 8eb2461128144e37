//! The worker, with the API before it, a real store, and a cloud that remembers
//! what was made in it.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

#[path = "../api/bodies.rs"]
#[allow(dead_code)]
mod bodies;
mod epochs;
mod faults;
mod half_changed;
mod late;
mod leases;
mod lives;
mod outside;
#[path = "../store/places.rs"]
#[allow(dead_code)]
mod places;
#[path = "../api/provider.rs"]
#[allow(dead_code)]
mod provider;
mod races;
mod site;
mod skus;
mod store_down;
mod subscriptions;
mod sweeper;
mod undo;
mod unreadable;
mod waits;
