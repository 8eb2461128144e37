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

use crate::error_text::error_text;
use crate::manifest::{KINDS, MANAGED_BY, OPERATOR};
use crate::metrics;
use crate::reconcile::{Context, ReconcileError, reconcile};
use crate::resources::Charted;

/// Changes that wait to be looked at. More are not read from the API server
/// until some are.
const QUEUE: usize = 1024;
/// How many resources are reconciled at once: each may run a Helm.
const CONCURRENCY: u16 = 4;
/// Several changes at once are one: a Deployment's status changes in bursts.
const DEBOUNCE: Duration = Duration::from_millis(200);

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

/// Reconciles all resources of a type, for ever.
pub async fn run<K: Charted>(context: Arc<Context>, namespaces: Namespaces) {
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
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(error = error_text(&error), "A task of the controller broke off");
        }
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
    let done = reconcile(resource, context).await;
    timer.stop(done.is_ok());
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
