//! What breaks while events flow, over real parts: our binaries as processes,
//! Azurite, the Event Hubs stand-in, and FHIR servers.
//!
//! After each fault everything is as if nothing had happened: the Observations
//! are those of an undisturbed run, each event has its fate, and no partition
//! stands still. docs/reliability.md has the faults and what was seen.

mod chance;
mod course;
mod disk;
mod fhir;
mod hub;
mod kills;
mod large;
mod mappings;
mod order;
mod poison;
mod replicas;
mod selection;
mod stack;
mod storage;
mod undisturbed;
