//! Implements delivery's traits on Event Hubs and Blob Storage.
//!
//! The Azure SDK is used here and nowhere else, so that its next version is
//! this package's business alone (docs/decisions/0001-azure-sdk-versions.md).

mod amqp_event;
pub mod blob_positions;
pub mod connection_string;
pub mod container;
pub mod credentials;
pub mod dead_letter_blobs;
pub mod dead_letter_hub;
pub mod event_hubs;
pub mod external_identity;
pub mod hub_output;
pub mod mapping_blob;
pub mod outgoing_event;
pub mod sas_hub;
pub mod sdk_hub;
pub mod text_blobs;

pub use azure_core::credentials::TokenCredential;
pub use blob_positions::BlobPositions;
pub use connection_string::{ConnectionString, InvalidConnectionString};
pub use container::{StorageError, open_container};
pub use credentials::CredentialSettings;
pub use dead_letter_blobs::DeadLetterBlobs;
pub use dead_letter_hub::{DeadLetterHub, HubLetters};
pub use event_hubs::{HubConfig, HubProducer};
pub use external_identity::{CertificateUri, ExternalIdentity, VaultCertificate};
pub use hub_output::HubOutput;
pub use mapping_blob::MappingBlob;
pub use outgoing_event::{OutgoingEvent, PropertiedEvent};
pub use sas_hub::{SasHub, SasHubConfig};
pub use sdk_hub::SdkHub;
pub use text_blobs::TextBlobs;

/// The time now, as tokens of a [`TokenCredential`] give their end.
pub fn now() -> azure_core::time::OffsetDateTime {
    azure_core::time::OffsetDateTime::now_utc()
}
