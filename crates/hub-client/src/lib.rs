//! Speaks AMQP with Event Hubs, as a client (functions-eventhubs-keda.md 7).
//!
//! ```text
//! a stream, TLS or not --> Client --> put_token         $cbs
//!                                 --> properties        $management
//!                                 --> EventReceiver     a partition's events
//!                                 --> EventSender       batches
//! ```
//!
//! The caller brings the stream, so nothing here knows TLS, and the tokens, so
//! nothing here knows keys. Every step has a time limit but waiting for events;
//! nothing is tried again: whoever gets an error connects anew.
//!
//! `crates/azure` reads hubs with it that are opened by a connection string,
//! which the Event Hubs SDK of 0.15 cannot; `crates/local` receives, sends and
//! counts with it on its stand-in, which takes no tokens.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use hub_client::{Client, NewEvent, StartPosition};
//! # async fn example() -> Result<(), hub_client::ClientError> {
//! let mut client = Client::connect("127.0.0.1:5672", "devicedata").await?;
//! let mut sender = client.sender(None).await?;
//! sender.send(&[NewEvent::new(r#"{"heartRate":78}"#)], Some("device-1")).await?;
//!
//! let mut receiver = client.receiver("$Default", "0", &StartPosition::Earliest, None).await?;
//! for event in receiver.receive(100, Duration::from_secs(1)).await? {
//!     println!("{} {} bytes", event.sequence_number, event.body.len());
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod event;
pub mod message;
mod position;
mod properties;
mod receiver;
mod requests;
mod sender;

pub use client::Client;
pub use error::ClientError;
pub use event::{Event, NewEvent};
pub use fe2o3_amqp::types::messaging::{MessageId, Properties};
pub use fe2o3_amqp::types::primitives::{SimpleValue, Value as AnnotationValue};
pub use position::{InvalidFilter, StartPosition};
pub use properties::{HubProperties, PartitionProperties};
pub use receiver::{EventReceiver, ReceiverOptions};
pub use sender::EventSender;
