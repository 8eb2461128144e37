//! The documents of a rendered chart, as objects to apply.
//!
//! ```text
//! helm's text --> Manifest (kind, name, body) in an order to apply
//!                 + namespace, owner, label
//! ```
//!
//! Only kinds of a fixed list are taken: it is what the operator has rights
//! for, and what it watches.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};

/// The label of everything that the operator makes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const OPERATOR: &str = "iot-connector-operator";
/// The label that says what a workload does.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The label with the destination of a workload.
pub const DESTINATION: &str = "iot-connector/destination";

/// A kind that a chart may render.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    /// Its name.
    pub kind: &'static str,
    plural: &'static str,
    /// Whether objects of it are watched, so that drift is repaired at once.
    /// Secrets are not: watching needs the right to list them all.
    pub watched: bool,
}

const fn kind(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, watched: true }
}

/// In the order in which they are applied: what is referred to first.
pub const KINDS: [Kind; 14] = [
    kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind { watched: false, ..kind("", "v1", "Secret", "secrets") },
    kind("", "v1", "ConfigMap", "configmaps"),
    kind("aadpodidentity.k8s.io", "v1", "AzureIdentity", "azureidentities"),
    kind("aadpodidentity.k8s.io", "v1", "AzureIdentityBinding", "azureidentitybindings"),
    kind("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClass", "secretproviderclasses"),
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    kind("", "v1", "Service", "services"),
    kind("apps", "v1", "Deployment", "deployments"),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
    kind("keda.sh", "v1alpha1", "TriggerAuthentication", "triggerauthentications"),
    kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
    kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
];

impl Kind {
    /// The kind called so.
    pub fn named(kind: &str) -> Option<Kind> {
        KINDS.into_iter().find(|known| known.kind == kind)
    }

    /// How the API server calls it.
    pub fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group, self.version, self.kind), self.plural)
    }

    fn api_version(&self) -> String {
        self.resource().api_version
    }

    fn position(&self) -> usize {
        KINDS.iter().position(|known| known.kind == self.kind).unwrap_or(KINDS.len())
    }
}

/// One object to apply.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it.
    pub body: Value,
}

impl Manifest {
    /// A label of it.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.body["metadata"]["labels"][name].as_str()
    }

    /// The annotation or label path of the body.
    fn metadata(&mut self) -> &mut Map<String, Value> {
        let metadata = &mut self.body["metadata"];
        if !metadata.is_object() {
            *metadata = json!({});
        }
        metadata.as_object_mut().expect("made an object above")
    }

    /// Puts it into a namespace, gives it its owner and the operator's label.
    pub fn adopt(&mut self, namespace: &str, owner: &OwnerReference) {
        let metadata = self.metadata();
        metadata.insert("namespace".to_owned(), json!(namespace));
        metadata.insert("ownerReferences".to_owned(), json!([owner]));
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if !labels.is_object() {
            *labels = json!({});
        }
        labels[MANAGED_BY] = json!(OPERATOR);
    }

    /// Makes the API server refuse it when another object has taken the name.
    pub fn expect_uid(&mut self, uid: &str) {
        self.metadata().insert("uid".to_owned(), json!(uid));
    }
}

/// Why rendered text is nothing to apply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// No YAML.
    #[error("the chart renders what is not YAML: {0}")]
    Yaml(String),
    /// Without a kind or a name.
    #[error("the chart renders a document without `kind`, `apiVersion` and `metadata.name`")]
    Incomplete,
    /// Of a kind that the operator has no rights for.
    #[error("the chart renders {kind} `{name}` of {api_version}, which the operator does not know")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its group and version.
        api_version: String,
        /// The name.
        name: String,
    },
    /// In another namespace than the resource.
    #[error("the chart renders {kind} `{name}` in another namespace")]
    Namespace {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
    },
    /// One object twice.
    #[error("the chart renders {kind} `{name}` twice")]
    Twice {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
    },
    /// Not as many Deployments as there must be: applying and pruning by it
    /// would take a running connector away.
    #[error("the chart renders {found} Deployments where {expected} are expected")]
    Deployments {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
}

/// Reads what Helm prints, in the order in which it is to be applied.
pub fn read(text: &str, namespace: &str, deployments: usize) -> Result<Vec<Manifest>, InvalidManifest> {
    // As Kubernetes reads YAML: 0644 is a mode, and `on` in quotes a text.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| InvalidManifest::Yaml(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
    let mut manifests: Vec<Manifest> = Vec::new();
    for body in documents.into_iter().filter(|body| !body.is_null()) {
        let manifest = manifest(body, namespace)?;
        if manifests.iter().any(|other| other.kind.kind == manifest.kind.kind && other.name == manifest.name) {
            let Manifest { kind, name, .. } = manifest;
            return Err(InvalidManifest::Twice { kind: kind.kind.to_owned(), name });
        }
        manifests.push(manifest);
    }
    let found = manifests.iter().filter(|manifest| manifest.kind.kind == "Deployment").count();
    if found != deployments {
        return Err(InvalidManifest::Deployments { found, expected: deployments });
    }
    manifests.sort_by(|a, b| (a.kind.position(), &a.name).cmp(&(b.kind.position(), &b.name)));
    Ok(manifests)
}

fn manifest(body: Value, namespace: &str) -> Result<Manifest, InvalidManifest> {
    let text = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
    let (Some(kind), Some(api_version), Some(name)) =
        (text(&body["kind"]), text(&body["apiVersion"]), text(&body["metadata"]["name"]))
    else {
        return Err(InvalidManifest::Incomplete);
    };
    let Some(known) = Kind::named(&kind).filter(|known| known.api_version() == api_version) else {
        return Err(InvalidManifest::UnknownKind { kind, api_version, name });
    };
    if body["metadata"]["namespace"].as_str().is_some_and(|other| other != namespace) {
        return Err(InvalidManifest::Namespace { kind, name });
    }
    Ok(Manifest { kind: known, name, body })
}

#[cfg(test)]
mod tests;
