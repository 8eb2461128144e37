//! Sees what changes, and has it reconciled.
//!
//! ```text
//! IotConnector, Fhir ---------------\
//! objects with the operator's label --> owner --> reconcile
//! ```
//!
//! Each kind is watched by a task of its own: one that is not installed, such
//! as KEDA's, is asked for again and again without holding up the others.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use custom_resources::Charted;
use custom_resources::error_text::error_text;
use futures::channel::mpsc;
use futures::stream::BoxStream;
use futures::{SinkExt, Stream, StreamExt};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::{ApiResource, DynamicResourceScope};
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::heartbeat::{Heartbeat, ROUND};
use crate::manifest::{KINDS, MANAGED_BY, OPERATOR};
use crate::reconcile::{Context, ReconcileError, reconcile, report_failure};
use crate::{metrics, readiness};

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
            let beat = part::<K>(&context, &format!("watch of {}", kind.kind), scope.as_deref());
            // Of these the status says something, and it changes at each poll of KEDA.
            if kind.kind == "ScaledObject" {
                let api = objects::<DynamicObject>(&client, scope.as_deref(), &resource);
                tasks.spawn(watch(api, resource, sender.clone(), beat, Some(scaler_seen)));
            } else {
                let api = objects::<PartialObjectMeta<DynamicObject>>(&client, scope.as_deref(), &resource);
                tasks.spawn(watch(api, resource, sender.clone(), beat, None));
            }
        }
        let api = match &scope {
            None => Api::<K>::all(client),
            Some(namespace) => Api::namespaced(client, namespace),
        };
        tasks.spawn(control(api, changes, context.clone(), part::<K>(&context, "controller", scope.as_deref())));
    }
    first_end(tasks, &K::kind(&())).await
}

/// Of most objects only their metadata is read: it is what names the owner, and
/// it holds no secrets.
fn objects<O>(client: &Client, namespace: Option<&str>, resource: &ApiResource) -> Api<O>
where
    O: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match namespace {
        None => Api::all_with(client.clone(), resource),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

/// A part that is to come round, with a name for people.
fn part<K: Charted>(context: &Context, what: &str, namespace: Option<&str>) -> Heartbeat {
    let place = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    context.heartbeats.part(format!("{what} for {}{place}", K::kind(&())))
}

/// Waits for the first task that ends, and takes the others down with it. A panic
/// of a reconciliation ends its controller, and is seen here.
async fn first_end(mut tasks: JoinSet<()>, kind: &str) -> anyhow::Error {
    let ended = tasks.join_next().await;
    tasks.shutdown().await;
    match ended {
        Some(Err(error)) => anyhow::anyhow!("a task for {kind} broke off: {}", telemetry::broke_off(&error)),
        _ => anyhow::anyhow!("a task for {kind} ended"),
    }
}

async fn control<K: Charted>(
    api: Api<K>,
    changes: mpsc::Receiver<ObjectRef<K>>,
    context: Arc<Context>,
    heartbeat: Heartbeat,
) {
    let config = kube::runtime::controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
    let controller = Controller::new(api, watcher::Config::default()).with_config(config).reconcile_on(changes);
    let mut reconciling = controller.run(timed::<K>, on_error::<K>, context).boxed();
    while let Some(done) = next(&mut reconciling, &heartbeat, ROUND).await {
        if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = done {
            tracing::warn!(error = error_text(&error), resource = %K::kind(&()), "Watching was interrupted");
        }
    }
}

/// What comes next, however long it takes: a stream that is asked comes round.
async fn next<S: Stream + Unpin>(stream: &mut S, heartbeat: &Heartbeat, round: Duration) -> Option<S::Item> {
    loop {
        heartbeat.beat();
        if let Ok(next) = timeout(round, stream.next()).await {
            return next;
        }
    }
}

async fn timed<K: Charted>(resource: Arc<K>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    within(RECONCILE_LIMIT, resource, context).await
}

/// Reconciles within a time, tells of a failure, and counts.
async fn within<K: Charted>(
    limit: Duration,
    resource: Arc<K>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let timer = metrics::start(&K::kind(&()));
    let done = timeout(limit, reconcile(resource.clone(), context.clone())).await;
    let done = done.unwrap_or(Err(ReconcileError::TimedOut(limit.as_secs())));
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

/// Has the owners of a kind's objects reconciled when these change; where `state`
/// says what there is to see of one, when that does.
async fn watch<K: Charted, O>(
    api: Api<O>,
    resource: ApiResource,
    mut changes: mpsc::Sender<ObjectRef<K>>,
    heartbeat: Heartbeat,
    state: Option<fn(&O) -> Value>,
) where
    O: Resource<DynamicType = ApiResource> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
    let mut events: BoxStream<'_, _> = watcher(api, config).default_backoff().boxed();
    let mut seen = HashMap::new();
    let mut is_away = false;
    while let Some(event) = next(&mut events, &heartbeat, ROUND).await {
        let object = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                if state.is_some_and(|state| !is_news(&mut seen, &object, state(&object))) {
                    continue;
                }
                object
            }
            Ok(Event::Delete(object)) => {
                seen.remove(&key(&object));
                object
            }
            Ok(Event::Init) => {
                // All come again, and those that went meanwhile do not.
                seen.clear();
                continue;
            }
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

/// Namespace and name.
type Key = (Option<String>, String);

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace(), object.name_any())
}

/// Whether there is something else to see of an object than when it was seen last.
fn is_news(seen: &mut HashMap<Key, Value>, object: &impl ResourceExt, state: Value) -> bool {
    let key = key(object);
    let is_news = seen.get(&key) != Some(&state);
    if is_news {
        seen.insert(key, state);
    }
    is_news
}

/// What there is to see of a ScaledObject: what it is to be, so that drift is
/// repaired, and what is told of its status.
fn scaler_seen(object: &DynamicObject) -> Value {
    let metadata = &object.metadata;
    json!({
        "uid": metadata.uid,
        "generation": metadata.generation,
        "labels": metadata.labels,
        "annotations": metadata.annotations,
        "owners": metadata.owner_references,
        "isDeleted": metadata.deletion_timestamp.is_some(),
        "ready": readiness::ready_condition(&object.data),
    })
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
fn owner<K: Charted>(object: &impl ResourceExt) -> Option<ObjectRef<K>> {
    let namespace = object.namespace()?;
    let owners = object.owner_references();
    let owner = owners.iter().find(|owner| {
        owner.controller.unwrap_or(false) && owner.kind == K::kind(&()) && owner.api_version == K::api_version(&())
    })?;
    Some(ObjectRef::new(&owner.name).within(&namespace))
}

#[cfg(test)]
mod tests;
