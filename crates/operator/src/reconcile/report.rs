//! Writes the status of a resource, and events about it.
//!
//! Every write has the version of the resource that was read as its condition:
//! whoever acts on an older one is refused, and reads anew.

use custom_resources::error_text::error_text;
use custom_resources::{Charted, InventoryItem, Status, WorkloadStatus};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::conditions::{Verdict, Verdicts, conditions, has_changed};
use crate::manifest::OPERATOR;
use crate::readiness::{self, Applied};

use super::{Context, ReconcileError, api};

/// How an event's text may end at the latest.
const NOTE_MAX: usize = 1000;

/// The reason while pods start.
const WORKLOAD_NOT_READY: &str = "WorkloadNotReady";

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
    NotApplied { reason: &'static str, message: String, applied: &'a [Applied<'a>] },
    /// The API server could not be asked, or failed, several times in a row.
    Failed { is_late: bool, message: String },
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
            // Ready repeats what Rendered and Applied say when they say no.
            let is_news = condition.type_ == "Ready" || condition.type_ == "Scaling" && condition.status == "False";
            if is_news && has_changed(&before, condition) {
                // That pods take a while to start is no reason to warn.
                let is_well = condition.status == "True" || condition.reason == WORKLOAD_NOT_READY;
                let kind = if is_well { EventType::Normal } else { EventType::Warning };
                self.publish(kind, (&condition.reason, "Reconcile"), &condition.message, None).await;
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
            Outcome::Failed { is_late, message } => {
                let rendered = if is_late { Verdict::unknown("TimedOut", message.clone()) } else { rendered };
                let applied = Verdict::unknown(if is_late { "TimedOut" } else { "ApplyFailed" }, message);
                (Verdicts { ready: applied.clone(), rendered, applied, scaling: None }, workloads, inventory)
            }
            Outcome::NotApplied { reason, message, applied } => {
                let workloads = if applied.is_empty() { workloads } else { readiness::workloads(applied) };
                let applied = Verdict::bad(reason, message);
                (Verdicts { ready: applied.clone(), rendered, applied, scaling: None }, workloads, inventory)
            }
            Outcome::Applied { inventory, applied } => {
                let workloads = readiness::workloads(applied);
                let scaling = readiness::scaling(applied);
                let applied = Verdict::good("Applied", format!("{} objects", inventory.len()));
                (Verdicts { rendered, applied, scaling, ready: ready(&workloads) }, workloads, inventory)
            }
        }
    }

    /// Tells of an object that was taken away.
    pub(super) async fn tell_pruned(&self, item: &InventoryItem) {
        let InventoryItem { kind, name, uid } = item.clone();
        let note = format!("{kind} `{name}` is not rendered any more");
        let namespace = self.resource.namespace();
        let pruned = ObjectReference { kind: Some(kind), name: Some(name), namespace, uid, ..Default::default() };
        self.publish(EventType::Normal, ("Pruned", "Prune"), &note, Some(pruned)).await;
    }

    /// An event that cannot be told of is logged, and nothing more.
    async fn publish(
        &self,
        type_: EventType,
        (reason, action): (&str, &str),
        note: &str,
        secondary: Option<ObjectReference>,
    ) {
        let note = note.chars().take(NOTE_MAX).collect::<String>();
        let note = Some(note).filter(|note| !note.is_empty());
        let event = Event { type_, reason: reason.to_owned(), action: action.to_owned(), note, secondary };
        if let Err(error) = self.recorder.publish(&event, &self.resource.object_ref(&())).await {
            tracing::warn!(error = error_text(&error), reason, "An event could not be published");
        }
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
        Some((name, message)) => Verdict::bad(WORKLOAD_NOT_READY, format!("Deployment `{name}`: {message}")),
    }
}
