//! `iotc up` from outside: what comes of events, of bad ones, and when parts
//! of it are killed.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not what it should be")]

mod bad_input;
mod demo;
mod ended;
mod example;
mod killed;
mod replayed;
