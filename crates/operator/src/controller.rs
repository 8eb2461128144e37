//! Sees what changes, and has it reconciled.
//!
//! ```text
//! IotConnector, Fhir ---------------\
//! objects with the operator's label --> owner --> reconcile
//! ```
//!
//! Each kind is watched by a task of its own: one that is not installed, such
//! as KEDA's, is asked for again and again without holding up the others.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error_text::error_text;
use crate::manifest::{KINDS, MANAGED_BY, OPERATOR};
use crate::metrics;
use crate::reconcile::{Context, ReconcileError, reconcile, report_failure};
use crate::resources::Charted;

/// Changes that wait to be looked at. More are not read from the API server
/// until some are.
const QUEUE: usize = 1024;
/// How many resources are reconciled at once: each may run a Helm.
const CONCURRENCY: u16 = 4;
/// Several changes at once are one: a Deployment's status changes in bursts.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// How long a reconciliation may take: an API server that accepts and never
/// answers must not hold its place for ever. A Helm's turn is waited for in it,
/// behind those of all other namespaces.
const RECONCILE_LIMIT: Duration = Duration::from_secs(180);
/// How long telling of a failure may take.
const REPORT_LIMIT: Duration = Duration::from_secs(10);

/// Of objects only their metadata is read: it is what names the owner, and it
/// holds no secrets.
type Objects = Api<PartialObjectMeta<DynamicObject>>;

/// Which namespaces are looked at; all if there is none.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(pub Vec<String>);

impl Namespaces {
    /// Each, or once none for all of them.
    fn scopes(&self) -> Vec<Option<String>> {
        if self.0.is_empty() { vec![None] } else { self.0.iter().cloned().map(Some).collect() }
    }
}

/// Reconciles all resources of a type, and gives why it does so no longer: with
/// one task less this replica would hold the Lease and leave resources alone.
pub async fn run<K: Charted>(context: Arc<Context>, namespaces: Namespaces) -> anyhow::Error {
    let mut tasks = JoinSet::new();
    for scope in namespaces.scopes() {
        let client = context.client.clone();
        let (sender, changes) = mpsc::channel(QUEUE);
        for kind in KINDS.into_iter().filter(|kind| kind.watched) {
            let resource = kind.resource();
            let api = match &scope {
                None => Objects::all_with(client.clone(), &resource),
                Some(namespace) => Objects::namespaced_with(client.clone(), namespace, &resource),
            };
            tasks.spawn(watch(api, resource, sender.clone()));
        }
        let api = match &scope {
            None => Api::<K>::all(client),
            Some(namespace) => Api::namespaced(client, namespace),
        };
        tasks.spawn(control(api, changes, context.clone()));
    }
    first_end(tasks, &K::kind(&())).await
}

/// Waits for the first task that ends, and takes the others down with it. A panic
/// of a reconciliation ends its controller, and is seen here.
async fn first_end(mut tasks: JoinSet<()>, kind: &str) -> anyhow::Error {
    let ended = tasks.join_next().await;
    tasks.shutdown().await;
    match ended {
        Some(Err(error)) => anyhow::Error::new(error).context(format!("a task for {kind} broke off")),
        _ => anyhow::anyhow!("a task for {kind} ended"),
    }
}

async fn control<K: Charted>(api: Api<K>, changes: mpsc::Receiver<ObjectRef<K>>, context: Arc<Context>) {
    let config = kube::runtime::controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
    let controller = Controller::new(api, watcher::Config::default()).with_config(config).reconcile_on(changes);
    let reconciling = controller.run(timed::<K>, on_error::<K>, context);
    reconciling
        .for_each(|done| async move {
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = done {
                tracing::warn!(error = error_text(&error), resource = %K::kind(&()), "Watching was interrupted");
            }
        })
        .await;
}

async fn timed<K: Charted>(resource: Arc<K>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let timer = metrics::start(&K::kind(&()));
    let done = timeout(RECONCILE_LIMIT, reconcile(resource.clone(), context.clone())).await;
    let done = done.unwrap_or(Err(ReconcileError::TimedOut(RECONCILE_LIMIT.as_secs())));
    timer.stop(done.is_ok());
    if let Err(error) = &done {
        // What cannot be told now is told after the next failure.
        let told = timeout(REPORT_LIMIT, report_failure(resource.as_ref(), &context, error)).await;
        if let Ok(Err(error)) = told {
            tracing::debug!(error = error_text(&error), "A failure could not be told");
        }
    }
    done
}

fn on_error<K: Charted>(resource: Arc<K>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    if error.is_conflict() {
        return Action::requeue(DEBOUNCE);
    }
    let wait = context.retries.failed(&namespace, &name);
    let error = error_text(error);
    tracing::warn!(error, namespace, name, resource = %K::kind(&()), retry_seconds = wait.as_secs_f32(), "A reconciliation failed");
    Action::requeue(wait)
}

/// Has the owners of a kind's objects reconciled when these change.
async fn watch<K: Charted>(api: Objects, resource: ApiResource, mut changes: mpsc::Sender<ObjectRef<K>>) {
    let config = watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
    let mut events: BoxStream<'_, _> = watcher(api, config).default_backoff().boxed();
    let mut is_away = false;
    while let Some(event) = events.next().await {
        let object = match event {
            Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => object,
            Ok(Event::Init) => continue,
            Ok(Event::InitDone) => {
                is_away = false;
                continue;
            }
            Err(error) => {
                // Once, until it goes well again.
                if !std::mem::replace(&mut is_away, true) {
                    report(&resource.kind, &error);
                }
                continue;
            }
        };
        let Some(owner) = owner::<K>(&object) else { continue };
        if changes.send(owner).await.is_err() {
            return;
        }
    }
}

/// A kind that is not installed is no failure: not all are wanted everywhere.
fn report(kind: &str, error: &watcher::Error) {
    let (watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause)) = error else {
        tracing::warn!(kind, error = error_text(error), "A kind cannot be watched now");
        return;
    };
    match cause {
        kube::Error::Api(status) if status.code == 404 => tracing::info!(kind, "The cluster does not serve a kind"),
        _ => tracing::warn!(kind, error = error_text(cause), "A kind cannot be watched now"),
    }
}

/// The resource of a type that an object belongs to.
fn owner<K: Charted>(object: &PartialObjectMeta<DynamicObject>) -> Option<ObjectRef<K>> {
    let namespace = object.namespace()?;
    let owners = object.owner_references();
    let owner = owners.iter().find(|owner| {
        owner.controller.unwrap_or(false) && owner.kind == K::kind(&()) && owner.api_version == K::api_version(&())
    })?;
    Some(ObjectRef::new(&owner.name).within(&namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_one_task_ends_all() {
        let mut tasks = JoinSet::new();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move {
            let _held = held;
            std::future::pending().await
        });
        tasks.spawn(async { panic!("of the test") });
        let error = first_end(tasks, "Fhir").await;
        assert!(error.to_string().contains("a task for Fhir broke off"), "{error:#}");
        assert!(dropped.await.is_err(), "the other task is gone");
    }
}
