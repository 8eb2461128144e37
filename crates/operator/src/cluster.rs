//! What the operator asks of the API server about the objects it makes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status as ApiStatus;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

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
        for manifest in manifests {
            all.insert(manifest.key(), self.find(manifest.kind, &manifest.name).await?);
        }
        Ok(all)
    }

    /// Makes an object be as the chart says, and gives it as it is then. Fields
    /// that the chart does not set keep their value. What is `absent` is created:
    /// applying by force would take over what somebody made in between.
    pub async fn apply(&self, manifest: &Manifest, absent: bool) -> Result<Value, ApplyError> {
        let object = if absent { self.create(manifest).await } else { self.force(manifest).await };
        let object = object.map_err(|error| apply_error(manifest, error))?;
        serde_json::to_value(object).map_err(|error| apply_error(manifest, kube::Error::SerdeError(error)))
    }

    async fn create(&self, manifest: &Manifest) -> kube::Result<DynamicObject> {
        let parameters = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        let object: DynamicObject = serde_json::from_value(manifest.body.clone()).map_err(kube::Error::SerdeError)?;
        let created = self.api(manifest.kind).create(&parameters, &object).await?;
        let mut made = manifest.clone();
        made.expect_uid(&created.uid().unwrap_or_default());
        self.force(&made).await
    }

    async fn force(&self, manifest: &Manifest) -> kube::Result<DynamicObject> {
        let parameters = PatchParams::apply(OPERATOR).force();
        let api = self.api(manifest.kind);
        let object = api.patch(&manifest.name, &parameters, &Patch::Apply(&manifest.body)).await?;
        self.disown_creation(manifest, object).await
    }

    /// Whoever creates holds every field, those with default values too. What is
    /// ours is what we apply: else fields would stay that a chart no longer sets.
    async fn disown_creation(&self, manifest: &Manifest, object: DynamicObject) -> kube::Result<DynamicObject> {
        let Some(held) = without_creation(object.metadata.managed_fields.as_deref().unwrap_or_default()) else {
            return Ok(object);
        };
        let metadata = json!({
            "uid": object.metadata.uid,
            "resourceVersion": object.metadata.resource_version,
            "managedFields": held,
        });
        let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match self.api(manifest.kind).patch(&manifest.name, &parameters, &patch).await {
            // Somebody wrote meanwhile, such as a status: after the next time that it is applied.
            Err(error) if is_conflict(&error) => Ok(object),
            other => other,
        }
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
            let message = if may_quote(kind, status.code) { without_words(&status) } else { status.message };
            ApplyError::Refused { kind, name, message }
        }
        kube::Error::Api(mut status) if may_quote(kind, status.code) => {
            status.message = without_words(&status);
            ApplyError::Away { kind, name, source: kube::Error::Api(status) }
        }
        source => ApplyError::Away { kind, name, source },
    }
}

/// Whether an answer may quote what a Secret holds. What a quota, a right or a
/// conflict is about is the object, not its content.
fn may_quote(kind: &str, code: u16) -> bool {
    kind == "Secret" && !matches!(code, 403 | 404 | 409 | 429)
}

fn without_words(status: &ApiStatus) -> String {
    format!("the API server answers {} {}", status.code, status.reason)
}

/// Who holds which fields, without the operator as the one who created; none
/// where it is none, or has not applied yet.
fn without_creation(held: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let is_ours = |entry: &&ManagedFieldsEntry, operation: &str| {
        let (manager, done) = (entry.manager.as_deref(), entry.operation.as_deref());
        manager == Some(OPERATOR) && done == Some(operation) && entry.subresource.as_deref().is_none_or(str::is_empty)
    };
    held.iter().find(|entry| is_ours(entry, "Apply"))?;
    held.iter().find(|entry| is_ours(entry, "Update"))?;
    Some(held.iter().filter(|entry| !is_ours(entry, "Update")).cloned().collect())
}

/// Whether the API server had something newer than what was acted on. Reading
/// anew is all that helps, and it helps at once.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether there is no right to ask that.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Whether a kind, not an object, is what was not found: an answer about an
/// object or a namespace names it.
fn is_not_served(status: &ApiStatus) -> bool {
    status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn entry(manager: &str, operation: &str, subresource: Option<&str>) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            operation: Some(operation.to_owned()),
            subresource: subresource.map(str::to_owned),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn holds_only_what_it_applied() {
        let (created, applied) = (entry(OPERATOR, "Update", None), entry(OPERATOR, "Apply", None));
        let others = entry("kubectl", "Update", None);
        let cases = [
            ("applied", vec![others.clone(), applied.clone()], None),
            ("a status", vec![applied.clone(), entry(OPERATOR, "Update", Some("status"))], None),
            ("created only", vec![created.clone(), others.clone()], None),
            ("applied since", vec![others.clone(), created, applied.clone()], Some(vec![others, applied])),
        ];
        for (name, held, expected) in cases {
            assert_eq!(without_creation(&held), expected, "{name}");
        }
    }

    #[test]
    fn quotes_no_secret() {
        for (kind, code, quotes) in
            [("Secret", 422, false), ("Secret", 500, false), ("Secret", 403, true), ("ConfigMap", 500, true)]
        {
            let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n");
            let manifest = manifest::read(&text, "ns1", 0).unwrap().remove(0);
            let status = ApiStatus::failure("data: Invalid value: 5ecret", "Invalid").with_code(code).boxed();
            let error = apply_error(&manifest, kube::Error::Api(status));
            let text = custom_resources::error_text::error_text(&error);
            assert_eq!(text.contains("5ecret"), quotes, "{kind} {code}: {text}");
        }
    }
}
