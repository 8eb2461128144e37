//! The operator on a real control plane: as its own service account, with the
//! rights that `helm/platform` gives it and no others.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod connector;
mod examples;
mod failures;
mod fhir;
mod lag;
mod outage;
mod people;
mod platform;
mod ready;
mod refusals;
mod rights;
mod rounds;
mod site;
