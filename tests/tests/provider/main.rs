//! `iotc up --with-provider` as its user has it: requests to the resource provider
//! make data flow and stop it.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod fate;
mod gen1;
mod gen2;
mod pasted;
mod sdk;
mod site;
