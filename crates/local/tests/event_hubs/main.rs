//! The Event Hubs stand-in, run as a process and used through AMQP: by our own
//! client, by the raw AMQP library, by frames made here, and by the Event Hubs SDK for Rust.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod administration;
mod durability;
mod faults;
mod frames;
mod links;
mod rust_sdk;
mod stand_in;
