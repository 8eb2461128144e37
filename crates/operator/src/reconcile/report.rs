//! Writes the status of a resource, and events about it.
//!
//! Every write has the version of the resource that was read as its condition:
//! whoever acts on an older one is refused, and reads anew.

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::conditions::{Verdict, Verdicts, conditions, has_changed};
use crate::manifest::OPERATOR;
use crate::readiness::{self, Applied};
use crate::resources::{Charted, InventoryItem, Status, WorkloadStatus};

use super::{Context, ReconcileError, api};

/// How an event's text may end at the latest.
const NOTE_MAX: usize = 1000;

/// How far a reconciliation came.
pub(super) enum Outcome<'a> {
    /// The chart does not take the spec.
    NotRendered {
        /// Helm's own text.
        message: String,
    },
    /// Helm could not be run.
    HelmFailed { message: String },
    /// Something could not be applied.
    NotApplied { reason: &'static str, message: String },
    /// All was applied and pruned.
    Applied { inventory: Vec<InventoryItem>, applied: &'a [Applied<'a>] },
}

/// The status of one resource as it is stored, and how to store it.
pub(super) struct Report<'c, K: Charted> {
    resources: Api<K>,
    resource: K,
    version: Option<String>,
    status: Status,
    recorder: &'c Recorder,
}

impl<'c, K: Charted> Report<'c, K> {
    pub(super) fn new(resources: Api<K>, resource: &K, context: &'c Context) -> Report<'c, K> {
        let status = resource.status().cloned().unwrap_or_default();
        let (resource, version) = (resource.clone(), resource.resource_version());
        Report { resources, resource, version, status, recorder: &context.recorder }
    }

    /// What is stored of what was made.
    pub(super) fn inventory(&self) -> &[InventoryItem] {
        &self.status.inventory
    }

    /// Stores what is about to be made.
    pub(super) async fn store_inventory(&mut self, inventory: Vec<InventoryItem>) -> Result<(), ReconcileError> {
        let status = Status { inventory, ..self.status.clone() };
        self.write(status).await
    }

    /// Stores how it went, tells of it if that is new, and gives whether the
    /// resource is ready.
    pub(super) async fn store(&mut self, outcome: Outcome<'_>) -> Result<bool, ReconcileError> {
        let generation = self.resource.meta().generation;
        let before = self.status.conditions.clone();
        let (verdicts, workloads, inventory) = self.judge(outcome);
        let is_ready = verdicts.ready.status == "True";
        let status = Status {
            observed_generation: generation,
            conditions: conditions(&before, &verdicts, generation, Timestamp::now()),
            destinations: self.resource.destination_count(),
            workloads,
            inventory,
        };
        self.write(status).await?;
        for condition in &self.status.conditions {
            // Ready repeats what the others say when they say no.
            let is_news = condition.type_ == "Ready" || condition.status != "True";
            if is_news && has_changed(&before, condition) {
                let kind = if condition.status == "True" { EventType::Normal } else { EventType::Warning };
                publish(self.recorder, &self.resource, kind, &condition.reason, "Reconcile", &condition.message).await;
            }
        }
        Ok(is_ready)
    }

    fn judge(&self, outcome: Outcome<'_>) -> (Verdicts, Vec<WorkloadStatus>, Vec<InventoryItem>) {
        let (workloads, inventory) = (self.status.workloads.clone(), self.status.inventory.clone());
        let rendered = Verdict::good("Rendered", "");
        match outcome {
            Outcome::NotRendered { message } => {
                let rendered = Verdict::bad("InvalidSpec", message);
                let applied = Verdict::unknown("NotRendered", "the objects are as they were");
                (Verdicts { ready: rendered.clone(), rendered, applied, scaling: None }, workloads, inventory)
            }
            Outcome::HelmFailed { message } => {
                let rendered = Verdict::unknown("HelmFailed", message);
                let applied = Verdict::unknown("NotRendered", "the objects are as they were");
                (Verdicts { ready: rendered.clone(), rendered, applied, scaling: None }, workloads, inventory)
            }
            Outcome::NotApplied { reason, message } => {
                let applied = Verdict::bad(reason, message);
                (Verdicts { ready: applied.clone(), rendered, applied, scaling: None }, workloads, inventory)
            }
            Outcome::Applied { inventory, applied } => {
                let workloads = readiness::workloads(applied);
                let scaling = readiness::has_scalers(applied).then(|| match readiness::scaling_problem(applied) {
                    None => Verdict::good("ScalersReady", ""),
                    Some(problem) => Verdict::bad("ScalerNotReady", problem),
                });
                let applied = Verdict::good("Applied", format!("{} objects", inventory.len()));
                (Verdicts { rendered, applied, scaling, ready: ready(&workloads) }, workloads, inventory)
            }
        }
    }

    /// Tells of something that went well.
    pub(super) async fn tell(&self, reason: &str, action: &str, note: String) {
        publish(self.recorder, &self.resource, EventType::Normal, reason, action, &note).await;
    }

    async fn write(&mut self, status: Status) -> Result<(), ReconcileError> {
        if status == self.status {
            return Ok(());
        }
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": self.resource.name_any(), "resourceVersion": self.version },
            "status": status,
        });
        let parameters = PatchParams::apply(OPERATOR).force();
        let written = self.resources.patch_status(&self.resource.name_any(), &parameters, &Patch::Apply(body)).await;
        self.version = written.map_err(api("storing the status"))?.resource_version();
        self.status = status;
        Ok(())
    }
}

fn ready(workloads: &[WorkloadStatus]) -> Verdict {
    let obstacle = workloads.iter().find_map(|workload| Some((&workload.name, workload.message.as_ref()?)));
    match obstacle {
        None => Verdict::good("WorkloadsReady", ""),
        Some((name, message)) => Verdict::bad("WorkloadNotReady", format!("Deployment `{name}`: {message}")),
    }
}

/// An event that cannot be told of is logged, and nothing more.
async fn publish<K: Charted>(
    recorder: &Recorder,
    resource: &K,
    kind: EventType,
    reason: &str,
    action: &str,
    note: &str,
) {
    let note = note.chars().take(NOTE_MAX).collect::<String>();
    let event = Event {
        type_: kind,
        reason: reason.to_owned(),
        action: action.to_owned(),
        note: Some(note).filter(|note| !note.is_empty()),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &resource.object_ref(&())).await {
        tracing::warn!(error = super::telemetry_text(&error), reason, "An event could not be published");
    }
}
