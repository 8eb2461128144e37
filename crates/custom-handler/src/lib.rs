//! Speaks the Functions host's custom-handler protocol.
//!
//! ```text
//! POST /<function> {"Data": …, "Metadata": …} --invocation--> Batch
//! fates --answer--> {"Outputs": {}, "Logs": […], "ReturnValue": null}
//! ```
//!
//! What the host sends and expects is in functions-eventhubs-keda.md 1. This
//! package knows that protocol and nothing of mappings or FHIR; it serves what
//! it is given.

pub mod answer;
pub mod invocation;
pub mod server;

pub use answer::Answer;
pub use invocation::{Invocation, InvocationError};
pub use server::{Handler, HandlerError, function, listen, serve};
