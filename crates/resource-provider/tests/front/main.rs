//! The program as a process: who may call it over TLS, what it writes down, and
//! how it begins and ends; and what tokens are taken for.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod callers;
mod issuer;
#[path = "../listens.rs"]
mod listens;
mod process;
mod runs;
mod tokens;
