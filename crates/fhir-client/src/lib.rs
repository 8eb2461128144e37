//! Resolves Device, Patient and Encounter, and saves Observations on a FHIR R4
//! server.
//!
//! ```text
//! groups   --Resolver--> ResourceIds      what is missing is created, reported or a reason
//! pending  --Saver-----> SaveOutcomes     read by id, merge, PUT, look at what came back
//!             both through Client         batches, retries, tokens
//! ```
//!
//! [`FhirDestination`] is both, as the delivery package wants them. An error is
//! either about the data, a reason, or says that the server is away; which, the
//! status alone decides. No identifier of a patient or device is in any error
//! or log line.

pub mod auth;
pub mod client;
pub mod destination;
mod history;
pub mod identity;
pub mod save;
pub mod search;
pub mod surroundings;
pub mod version;

pub use auth::{AccessToken, CachedTokens, ClientCredentials, TokenEndpoint, TokenError, TokenSource};
pub use client::{Client, ClientOptions, RetryOptions, ServerAway, base_url};
pub use destination::FhirDestination;
pub use identity::{Identity, IdentityOptions, Mode, PatientCheck, Resolver, Subject, Unresolved};
pub use save::{Draft, SaveOptions, Saver, Window};
pub use surroundings::{Clock, Missing, NoAnswer, SystemClock, Transport};
