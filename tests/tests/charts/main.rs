//! The charts, rendered by helm and judged without a cluster.
//!
//! ```text
//! values --helm--> manifests --> schemas of Kubernetes and KEDA, kube-score, golden files, our own rules
//! ```
//!
//! What needs a control plane is in `tests/kubernetes`.

mod chart;
mod golden;
mod injection;
mod keda;
mod platform;
mod pods;
mod provider;
mod refusals;
mod rules;
mod schemas;
mod settings;
mod values;
