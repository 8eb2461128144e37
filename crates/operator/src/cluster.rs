//! What the operator asks of the API server about the objects it makes.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::Status as ApiStatus;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use crate::inventory::{Found, Key};
use crate::manifest::{Kind, Manifest, OPERATOR};

/// The objects of one namespace, as seen by their owner.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    namespace: String,
    owner_uid: String,
}

/// Why an object could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The cluster does not know the kind: something is not installed.
    #[error("the cluster does not serve {kind} ({api_version})")]
    NotServed {
        /// The kind.
        kind: &'static str,
        /// Its group and version.
        api_version: String,
    },
    /// The API server does not want it.
    #[error("{kind} `{name}`: {message}")]
    Refused {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// The API server could not be asked, or was busy; it may go well next time.
    #[error("{kind} `{name}`")]
    Away {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
        /// What went wrong.
        source: kube::Error,
    },
}

impl Objects {
    /// The objects in `namespace` of whoever has `owner_uid`.
    pub fn new(client: Client, namespace: &str, owner_uid: &str) -> Objects {
        Objects { client, namespace: namespace.to_owned(), owner_uid: owner_uid.to_owned() }
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    /// Looks what is there under a name. A kind that is not served has nothing.
    pub async fn find(&self, kind: Kind, name: &str) -> kube::Result<Found> {
        let object = match self.api(kind).get_metadata(name).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Found::Absent),
            object => object?,
        };
        let is_ours = object
            .owner_references()
            .iter()
            .any(|owner| owner.uid == self.owner_uid && owner.controller.unwrap_or(false));
        Ok(match object.uid().filter(|_| is_ours) {
            Some(uid) => Found::Ours(uid),
            None => Found::Foreign,
        })
    }

    /// Looks what is there under the name of each.
    pub async fn find_all(&self, manifests: &[Manifest]) -> kube::Result<BTreeMap<Key, Found>> {
        let mut all = BTreeMap::new();
        for Manifest { kind, name, .. } in manifests {
            all.insert((kind.kind.to_owned(), name.clone()), self.find(*kind, name).await?);
        }
        Ok(all)
    }

    /// Makes an object be as the chart says, and gives it as it is then. Fields
    /// that the chart does not set keep their value.
    pub async fn apply(&self, manifest: &Manifest) -> Result<Value, ApplyError> {
        let parameters = PatchParams::apply(OPERATOR).force();
        let patched = self.api(manifest.kind).patch(&manifest.name, &parameters, &Patch::Apply(&manifest.body)).await;
        let object = patched.map_err(|error| apply_error(manifest, error))?;
        serde_json::to_value(object).map_err(|error| apply_error(manifest, kube::Error::SerdeError(error)))
    }

    /// Deletes the object with that uid, and no other that has its name.
    pub async fn delete(&self, kind: Kind, name: &str, uid: &str) -> kube::Result<()> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let parameters = DeleteParams::background().preconditions(preconditions);
        match self.api(kind).delete(name, &parameters).await {
            // Gone, or another by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

fn apply_error(manifest: &Manifest, error: kube::Error) -> ApplyError {
    let (kind, name) = (manifest.kind.kind, manifest.name.clone());
    match error {
        kube::Error::Api(status) if is_not_served(&status) => {
            ApplyError::NotServed { kind, api_version: manifest.kind.resource().api_version }
        }
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 413 | 422) => {
            ApplyError::Refused { kind, name, message: status.message }
        }
        source => ApplyError::Away { kind, name, source },
    }
}

/// Whether the API server had something newer than what was acted on. Reading
/// anew is all that helps, and it helps at once.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether a kind, not an object, is what was not found: an answer about an
/// object or a namespace names it.
fn is_not_served(status: &ApiStatus) -> bool {
    status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
}
