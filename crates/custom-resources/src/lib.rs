//! The custom resources `IotConnector` and `Fhir` of `iotconnector.health/v1alpha1`.
//!
//! ```text
//! these types --> helm/platform/definitions/*.yaml      written by a test, diffed in CI
//!             --> values of a chart              (crate::values)
//! ```
//!
//! Beside them is what those share who read and write them: [`error_text`], [`values`].
//!
//! What a schema cannot say is a CEL rule beside the field; the API server
//! refuses what breaks one before the operator sees it.

pub mod destination;
pub mod error_text;
pub mod fhir;
pub mod fhir_parts;
pub mod hub;
pub mod identity;
pub mod iot_connector;
mod patterns;
pub mod scaling;
pub mod status;
pub mod values;

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use fhir::{Fhir, FhirSpec};
pub use iot_connector::{IotConnector, IotConnectorSpec};
pub use status::{InventoryItem, Status, WorkloadStatus};

/// The group of both.
pub const GROUP: &str = "iotconnector.health";

/// A resource that a chart is rendered for.
pub trait Charted:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + CustomResourceExt
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// The folder of the chart.
    const CHART: &'static str;

    /// What takes the place of the chart's examples, under the platform's
    /// defaults and the spec: an example must not be taken for a choice.
    fn base() -> Value {
        json!({})
    }

    /// What the spec says of the chart's values.
    fn values(&self) -> serde_json::Result<Value>;

    /// How many Deployments the chart renders for it.
    fn deployment_count(&self) -> usize;

    /// How many FHIR servers it writes to, if it writes to any.
    fn destination_count(&self) -> Option<i64>;

    /// Its status.
    fn status(&self) -> Option<&Status>;
}

impl Charted for IotConnector {
    const CHART: &'static str = "iot-connector";

    fn values(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.spec)
    }

    fn deployment_count(&self) -> usize {
        // Normalize, and a group-convert for each destination.
        1 + self.spec.destinations.len()
    }

    fn destination_count(&self) -> Option<i64> {
        i64::try_from(self.spec.destinations.len()).ok()
    }

    fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }
}

impl Charted for Fhir {
    const CHART: &'static str = "fhir-service";

    fn base() -> Value {
        json!({ "authentication": { "authority": "", "audience": "" } })
    }

    fn values(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.spec)
    }

    fn deployment_count(&self) -> usize {
        1
    }

    fn destination_count(&self) -> Option<i64> {
        None
    }

    fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }
}

/// The definitions of both, each with the name of its file.
pub fn definitions() -> [(String, CustomResourceDefinition); 2] {
    [IotConnector::crd(), Fhir::crd()].map(|crd| (format!("{}.yaml", crd.spec.names.plural), crd))
}
