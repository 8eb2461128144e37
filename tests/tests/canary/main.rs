//! The canary: marked values travel through every path of every binary, and
//! nothing that a process printed, exported or wrote outside dead letters, hubs,
//! parking and the FHIR server holds one of them.
//!
//! `RUST_LOG` asks for all there is, of libraries by name too. What is looked
//! through is in [`evidence`], what is looked for in [`marks`].
#![allow(clippy::unwrap_used, reason = "a test stops where something is not what it should be")]

mod away;
mod events;
mod evidence;
mod marks;
mod quoting;
mod refusals;
mod stack;

/// Everything, by all the ways of asking for it: a level for all, libraries by
/// name and by module, spans by their fields.
const LOUD: &str = "trace,hyper::proto=trace,hyper_util::client=trace,h2::codec=trace,reqwest::connect=trace,\
                    azure_core::http=trace,azure_core_amqp::fe2o3=trace,azure_messaging_eventhubs::producer=trace,\
                    typespec_client_core=trace,typespec_client_core::http=trace,fe2o3_amqp::transport=trace,\
                    fe2o3_amqp::frames=trace,serde_amqp=trace,azure_storage_blob::generated=trace,axum=trace,\
                    rustls=trace,tower=trace,[{partition}]=trace,[send]=trace,[{frame}]=trace,[{url}]=trace";
