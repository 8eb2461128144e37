//! Models what Azure Resource Manager (ARM) and this provider say to each other:
//! addresses, resources of both generations, states, operations and errors
//! (resource-provider.md).
//!
//! ```text
//! path, query --Route--> what is meant
//! body --Body--> merged with what is stored --> properties, checked --> rendered
//! ```
//!
//! Everything is pure: no I/O, no clock, no chance. What is random or of a clock
//! is given in. What is stored, and what is done about it, is the resource
//! provider's.

pub mod api_version;
pub mod body;
pub mod desired;
pub mod encounter;
pub mod error;
pub mod etag;
pub mod gen1;
pub mod gen2;
pub mod id;
pub mod identity;
pub mod infrastructure;
pub mod location;
pub mod manifest;
pub mod mapping_content;
pub mod name;
pub mod operation;
pub mod resource;
pub mod resource_id;
pub mod resource_type;
pub mod route;
pub mod state;
pub mod system_data;
pub mod tags;

pub use api_version::ApiVersion;
pub use body::Body;
pub use desired::Desired;
pub use error::{ArmError, ErrorCode};
pub use id::DocumentId;
pub use location::Location;
pub use resource::Resource;
pub use resource_id::ResourceId;
pub use resource_type::{Generation, ResourceType};
pub use route::Route;

/// The namespace of the provider (resource-provider.md 1.2).
pub const NAMESPACE: &str = "Microsoft.HealthcareApis";

/// A type, or an operation, with the namespace before it.
pub fn name_of_provider(path: &str) -> String {
    format!("{NAMESPACE}/{path}")
}
