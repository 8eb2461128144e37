//! The delivery loop, in a simulated machine: each test names the rule of the
//! design that it holds.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]
#![allow(missing_docs, reason = "a test has no public interface")]

mod ownership;
mod positions;
mod site;
mod windows;
