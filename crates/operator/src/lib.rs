//! Makes a Kubernetes cluster match its `IotConnector` and `Fhir` resources.
//!
//! ```text
//! resource --values--> chart --helm template--> objects --server-side apply--> cluster
//!     ^                                                                          |
//!     \------------------------------- status -----------------------------------/
//! ```
//!
//! Kubernetes objects are written in the charts and nowhere else (design.md
//! D8). What decides is pure: `custom_resources::values`, `manifest`, `inventory`, `readiness`
//! and `conditions`; `cluster`, `chart` and `election` do I/O.

pub mod chart;
pub mod cluster;
pub mod conditions;
pub mod controller;
pub mod election;
pub mod heartbeat;
pub mod http;
pub mod inventory;
pub mod lag;
pub mod manifest;
pub mod metrics;
pub mod platform;
pub mod readiness;
pub mod reconcile;
pub mod retry;
pub mod settings;
