//! The two functions as processes: HTTP ingest through the Functions host
//! stand-in, and the handlers by themselves.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not what it should be")]

mod connection_string;
mod handler;
mod identity;
mod ingest;
mod parking;
mod telemetry;
