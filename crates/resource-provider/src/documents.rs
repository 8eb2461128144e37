//! What is stored (resource-provider.md 3.5, 3.6, 4.14, 7.1).

mod infrastructure;
mod operation;
mod resource;
mod subscription;

pub use infrastructure::{
    Certificate, FhirAddress, Infrastructure, InternalIdentity, KubernetesObject, RoleAssignments, ScaleInfo,
};
pub use operation::{DocumentKind, InternalError, OperationDocument, Step, StepOutcome};
pub use resource::{ConnectionDefinition, DocumentType, IngestDefinition, LastGood, ResourceDocument, SearchIndex};
pub use subscription::SubscriptionDocument;

/// The form of documents that this program writes.
pub const SCHEMA_VERSION: u32 = 1;
