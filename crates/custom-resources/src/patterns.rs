//! Patterns of texts that several resources have. The schemas of the charts have
//! them too, and a test compares (`crates/operator/tests/values.rs`).

/// A name of Kubernetes: a DNS subdomain.
pub(super) const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// An id of Entra.
pub(super) const GUID: &str = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
/// A container of blobs, and a workload, after which one is called.
pub(super) const CONTAINER: &str = r"^[a-z0-9]+(-[a-z0-9]+)*$";
/// The name of a host.
pub(super) const HOST: &str = r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*$";
/// An event hub.
pub(super) const HUB: &str = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$";
/// A consumer group.
pub(super) const CONSUMER_GROUP: &str = r"^(\$[Dd]efault|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)$";
/// A key of a Secret or ConfigMap.
pub(super) const KEY: &str = r"^[-._a-zA-Z0-9]+$";
