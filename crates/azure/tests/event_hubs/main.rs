//! The Event Hubs client against the stand-in.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(missing_docs, reason = "a test has no public interface")]

mod dead_letters;
mod identity;
mod reading;
mod sas;
mod sending;
mod stand_in;
