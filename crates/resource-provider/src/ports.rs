//! What is outside: behind traits, with an implementation on Azure and one on
//! this machine (design.md D9).

use std::fmt::Debug;

use arm::gen1::{ConnectionKeys, KeyType};
use arm::identity::SystemAssigned;
use arm::{ErrorCode, Location, ResourceId};
use async_trait::async_trait;

use crate::documents::ResourceDocument;

/// What is outside did not do it (resource-provider.md 6.3).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// What a client is told that it was.
    pub code: ErrorCode,
    /// Whether it can help to try again.
    pub class: ErrorClass,
    /// What happened, for us; without secrets.
    pub message: String,
}

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try again, not before so many seconds when it says.
    Transient {
        /// `Retry-After`.
        retry_after_seconds: Option<u64>,
    },
    /// Nothing.
    Permanent,
}

/// A FHIR service, as the team says that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirService {
    /// Its region.
    pub location: Location,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Its base URL.
    pub url: String,
}

/// The FHIR services of the platform, which are not ours.
#[async_trait]
pub trait FhirServices: Debug + Send + Sync {
    /// A service by its resource id, letter case ignored.
    async fn get(&self, path: &str) -> Result<Option<FhirService>, PortError>;

    /// Whether a workspace has any FHIR or DICOM service.
    async fn has_any(&self, workspace: &ResourceId) -> Result<bool, PortError>;
}

/// Makes the identities that ARM makes where it stands in front.
#[async_trait]
pub trait IdentityIssuer: Debug + Send + Sync {
    /// The identity of a resource, the same each time.
    async fn issue(&self, resource: &ResourceId) -> Result<SystemAssigned, PortError>;
}

/// A connection of a Gen1 connector: a rule on its hub.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRule<'r> {
    /// Whose hub.
    pub connector: &'r ResourceDocument,
    /// The rule.
    pub connection: &'r str,
}

/// The keys of Gen1 connections. They are asked for, given on, and kept nowhere.
#[async_trait]
pub trait Keys: Debug + Send + Sync {
    /// Both keys.
    async fn list(&self, rule: ConnectionRule<'_>) -> Result<ConnectionKeys, PortError>;

    /// Both keys, one of which is new.
    async fn regenerate(&self, rule: ConnectionRule<'_>, key: KeyType) -> Result<ConnectionKeys, PortError>;
}
