//! Makes the cluster match one resource.
//!
//! ```text
//! spec + defaults --> values --helm--> documents --> inventory stored --> applied --> pruned --> status
//! ```
//!
//! Every step may be repeated and the process may end after any of them. The
//! inventory is stored before the first object is made; nothing is pruned
//! before the last one was applied. There is no finalizer: what a resource made
//! goes with it by owner references, whether or not the operator runs
//! (design.md D8).

mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use custom_resources::error_text::error_text;
use custom_resources::values;
use custom_resources::{Charted, InventoryItem};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::chart::{Charts, RenderError};
use crate::cluster::{ApplyError, Objects, is_conflict, is_forbidden};
use crate::heartbeat::Heartbeats;
use crate::inventory::{self, Found};
use crate::lag::LagOffer;
use crate::lag::identity::FederatedIdentity;
use crate::lag::workload::{Environment, InvalidWorkload};
use crate::manifest::{self, Kind, Manifest};
use crate::readiness::Applied;
use crate::retry::Retries;

use self::report::{Outcome, Report};

/// How often a resource is looked at when nothing happens: repairs what is not
/// watched, and what a watch missed.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// How soon what was refused is tried again: the reason may lie elsewhere, such
/// as a quota, a missing right or a kind that is not installed yet.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// After how many failures in a row a resource's status says so.
const TELL_AFTER: u32 = 3;

/// What a reconciliation needs.
pub struct Context {
    /// The cluster.
    pub client: Client,
    /// Helm and the charts.
    pub charts: Charts,
    /// The platform's values for a chart, under the values of a spec.
    pub defaults: Value,
    /// What connectors get whose lag the operator reads; none when it serves none.
    pub lag: Option<LagOffer>,
    /// Events.
    pub recorder: Recorder,
    /// Failures in a row.
    pub retries: Retries,
    /// The parts that are to come round.
    pub heartbeats: Heartbeats,
}

/// Why a reconciliation is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server was not there, or had something newer.
    #[error("the API server cannot be asked, or refuses: {doing}")]
    Api {
        /// What was asked.
        doing: &'static str,
        /// The answer.
        #[source]
        source: kube::Error,
    },
    /// An object could not be applied, for a reason that passes.
    #[error("cannot apply an object")]
    Apply(#[source] ApplyError),
    /// Helm could not be run.
    #[error("cannot render the chart")]
    Render(#[source] RenderError),
    /// It took too long.
    #[error("it took longer than {0} s")]
    TimedOut(u64),
    /// A bug of ours: what was read from the API server is no JSON.
    #[error("cannot write the spec as values")]
    Values(#[source] serde_json::Error),
}

impl ReconcileError {
    /// Whether something changed meanwhile, which is no failure.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Api { source, .. } | Self::Apply(ApplyError::Away { source, .. }) => is_conflict(source),
            _ => false,
        }
    }
}

fn api(doing: &'static str) -> impl FnOnce(kube::Error) -> ReconcileError {
    move |source| ReconcileError::Api { doing, source }
}

/// Makes the cluster match `resource`, and says when to look again.
pub async fn reconcile<K: Charted>(cached: Arc<K>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let (name, namespace) = (cached.name_any(), cached.namespace().unwrap_or_default());
    let resources: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    // Read anew: an inventory out of a cache may lack what was made a moment ago.
    let resource = resources.get_opt(&name).await.map_err(api("reading the resource"))?;
    let Some(resource) = resource.filter(|resource| resource.meta().deletion_timestamp.is_none()) else {
        context.retries.succeeded(&namespace, &name);
        return Ok(Action::await_change());
    };
    let run = Run { report: Report::new(resources, &resource, &context), resource, context: &context, namespace };
    let action = Box::pin(run.run()).await?;
    context.retries.succeeded(&cached.namespace().unwrap_or_default(), &name);
    Ok(action)
}

/// Says in the status of a resource that it fails, once it did so several times
/// in a row: what passes at once is nobody's business.
pub async fn report_failure<K: Charted>(
    cached: &K,
    context: &Context,
    error: &ReconcileError,
) -> Result<(), ReconcileError> {
    let (name, namespace) = (cached.name_any(), cached.namespace().unwrap_or_default());
    // That Helm fails was said already.
    let is_known = error.is_conflict() || matches!(error, ReconcileError::Render(_));
    // The failure at hand is not counted yet.
    let failures = context.retries.failures(&namespace, &name).saturating_add(1);
    let is_new = cached.meta().generation != cached.status().and_then(|status| status.observed_generation);
    if is_known || !is_worth_telling(failures, is_new) {
        return Ok(());
    }
    let resources: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    let resource = resources.get_opt(&name).await.map_err(api("reading the resource"))?;
    let Some(resource) = resource.filter(|resource| resource.meta().deletion_timestamp.is_none()) else {
        return Ok(());
    };
    let outcome = Outcome::Failed { is_late: matches!(error, ReconcileError::TimedOut(_)), message: error_text(error) };
    Report::new(resources, &resource, context).store(outcome).await.map(drop)
}

/// The third failure, the sixth, the twelfth and so on, or each of a spec of which
/// nothing was said yet. A text may differ each time, as by a port, and telling
/// has the resource looked at at once: told each time it would never rest.
fn is_worth_telling(failures: u32, is_new: bool) -> bool {
    let (times, rest) = (failures / TELL_AFTER, failures % TELL_AFTER);
    times > 0 && (is_new || rest == 0 && times.is_power_of_two())
}

struct Run<'c, K: Charted> {
    resource: K,
    report: Report<'c, K>,
    context: &'c Context,
    namespace: String,
}

impl<K: Charted> Run<'_, K> {
    async fn run(mut self) -> Result<Action, ReconcileError> {
        let manifests = match self.render().await? {
            Ok(manifests) => manifests,
            Err(outcome) => return self.give_up(outcome).await,
        };
        let objects =
            Objects::new(self.context.client.clone(), &self.namespace, &self.resource.uid().unwrap_or_default());
        let found = objects.find_all(&manifests).await.map_err(api("looking at what is there"))?;
        if let Some((kind, name)) = found.iter().find(|(_, found)| **found == Found::Foreign).map(|(key, _)| key) {
            let message = format!("there is a {kind} `{name}` that belongs to somebody else");
            return self.give_up(Outcome::NotApplied { reason: "NameTaken", message, applied: &[] }).await;
        }
        let stored = self.report.inventory().to_vec();
        self.report.store_inventory(inventory::before(&stored, &manifests, &found)).await?;

        let owned = self.owned(manifests, &found);
        let (applied, problem) = apply_all(&objects, &owned, &found).await?;
        if let Some((reason, message)) = problem {
            return self.give_up(Outcome::NotApplied { reason, message, applied: &applied }).await;
        }
        let left = self.prune(&objects, &owned).await?;
        let uids: BTreeMap<_, _> = applied.iter().filter_map(uid).collect();
        let outcome = Outcome::Applied { inventory: inventory::after(&owned, &uids, left), applied: &applied };
        let is_ready = self.report.store(outcome).await?;
        Ok(Action::requeue(if is_ready { LOOK_EVERY } else { TRY_AGAIN }))
    }

    /// The documents of the chart, or why there are none for this spec.
    async fn render(&mut self) -> Result<Result<Vec<Manifest>, Outcome<'static>>, ReconcileError> {
        let refused = |message| Ok(Err(Outcome::NotRendered { message }));
        let spec = self.resource.values().map_err(ReconcileError::Values)?;
        let mut all = values::merge(values::merge(K::base(), self.context.defaults.clone()), spec);
        let name = self.resource.name_any();
        let is_read_here = all["scaling"]["source"] == "operator";
        if is_read_here {
            let uid = self.resource.uid().unwrap_or_default();
            let Some(lag) = &self.context.lag else {
                return refused(
                    "spec.scaling.source: this operator serves no lag (its value `lag.enabled`)".to_owned(),
                );
            };
            all = values::merge(all, json!({ "scaling": { "operator": lag.values(&self.namespace, &uid) } }));
        }
        let rendered = self.context.charts.render(K::CHART, &self.namespace, &name, &all).await;
        let text = match rendered {
            Ok(text) => text,
            Err(RenderError::Refused { message, .. }) => return refused(message),
            Err(error) => {
                let message = error_text(&error);
                self.report.store(Outcome::HelmFailed { message }).await?;
                return Err(ReconcileError::Render(error));
            }
        };
        let manifests = match manifest::read(&text, &self.namespace, self.resource.deployment_count()) {
            Ok(manifests) => manifests,
            Err(error) => return refused(error.to_string()),
        };
        match self.context.lag.as_ref().filter(|_| is_read_here).and_then(|lag| self.unreadable(&manifests, lag)) {
            Some(error) => refused(format!("spec.scaling.source: the lag cannot be read: {error}")),
            None => Ok(Ok(manifests)),
        }
    }

    /// Why the operator cannot read the lag of one of the Deployments, as far as
    /// that can be seen without the values of Secrets.
    fn unreadable(&self, manifests: &[Manifest], lag: &LagOffer) -> Option<InvalidWorkload> {
        let of = |kind: &'static str| manifests.iter().filter(move |manifest| manifest.kind.kind == kind);
        // One that the chart does not make may say the tenant itself: seen when the lag is read.
        let account = of("ServiceAccount").next();
        let account = account.and_then(|account| serde_json::from_value::<ServiceAccount>(account.body.clone()).ok());
        let identity =
            account.map(|account| FederatedIdentity::new(self.context.client.clone(), &account, lag.tenant.clone()));
        of("Deployment").find_map(|manifest| {
            let deployment: Deployment = serde_json::from_value(manifest.body.clone()).ok()?;
            let environment = Environment::of(&deployment, BTreeMap::new()).ok()?;
            let host = environment.check_hosts(&lag.hosts).err();
            let host = host.filter(|error| matches!(error, InvalidWorkload::HostNotAllowed { .. }));
            host.or_else(|| environment.check_credentials(identity.as_ref()?).err())
        })
    }

    fn owned(&self, mut manifests: Vec<Manifest>, found: &BTreeMap<inventory::Key, Found>) -> Vec<Manifest> {
        let owner = owner_reference(&self.resource);
        for manifest in &mut manifests {
            manifest.adopt(&self.namespace, &owner);
            if let Some(Found::Ours(uid)) = found.get(&manifest.key()) {
                manifest.expect_uid(uid);
            }
        }
        manifests
    }

    /// Takes away what the inventory has and the chart does not render any more,
    /// and gives what it has no right to take away.
    async fn prune(&self, objects: &Objects, rendered: &[Manifest]) -> Result<Vec<InventoryItem>, ReconcileError> {
        let mut left = Vec::new();
        for item in inventory::surplus(self.report.inventory(), rendered) {
            // A kind of an older operator: its owner reference collects it.
            let Some(kind) = Kind::named(&item.kind) else { continue };
            let found = match objects.find(kind, &item.name).await {
                // Of a time when the operator served the lag. It goes with its owner, or once the right is back.
                Err(error) if kind.kind == "Secret" && is_forbidden(&error) => {
                    tracing::debug!(kind = item.kind, name = item.name, "There is no right to prune an object");
                    left.push(item);
                    continue;
                }
                found => found.map_err(api("looking at what to prune"))?,
            };
            let Some(uid) = inventory::deletable(&item, &found) else { continue };
            objects.delete(kind, &item.name, &uid).await.map_err(api("pruning"))?;
            tracing::info!(kind = item.kind, name = item.name, namespace = self.namespace, "Pruned an object");
            self.report.tell_pruned(&item).await;
        }
        Ok(left)
    }

    async fn give_up(mut self, outcome: Outcome<'_>) -> Result<Action, ReconcileError> {
        // What the chart refuses is right only once the spec is another, unless
        // it was taken for a refusal and was none.
        let wait = if matches!(outcome, Outcome::NotRendered { .. }) { LOOK_EVERY } else { TRY_AGAIN };
        self.report.store(outcome).await?;
        Ok(Action::requeue(wait))
    }
}

fn owner_reference<K: Charted>(resource: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: resource.name_any(),
        uid: resource.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn uid(applied: &Applied<'_>) -> Option<(inventory::Key, String)> {
    let uid = applied.live["metadata"]["uid"].as_str()?;
    Some((applied.manifest.key(), uid.to_owned()))
}

/// Applies all that can be applied, and says what could not.
async fn apply_all<'m>(
    objects: &Objects,
    manifests: &'m [Manifest],
    found: &BTreeMap<inventory::Key, Found>,
) -> Result<(Vec<Applied<'m>>, Option<(&'static str, String)>), ReconcileError> {
    let (mut applied, mut problems) = (Vec::new(), Vec::new());
    for manifest in manifests {
        let absent = !matches!(found.get(&manifest.key()), Some(Found::Ours(_)));
        match objects.apply(manifest, absent).await {
            Ok(live) => applied.push(Applied { manifest, live }),
            Err(error @ ApplyError::Away { .. }) => return Err(ReconcileError::Apply(error)),
            Err(error) => problems.push(error),
        }
    }
    // One refusal is enough to see what is wrong; what is not served counts
    // least, since the rest works without it.
    problems.sort_by_key(|problem| matches!(problem, ApplyError::NotServed { .. }));
    let problem = problems.first().map(|problem| {
        let reason = if matches!(problem, ApplyError::NotServed { .. }) { "KindNotServed" } else { "ApplyRefused" };
        (reason, problem.to_string())
    });
    Ok((applied, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_failures_less_and_less() {
        let told = |is_new| (1..30).filter(|failures| is_worth_telling(*failures, is_new)).collect::<Vec<_>>();
        assert_eq!(told(false), [3, 6, 12, 24]);
        assert_eq!(told(true), (3..30).collect::<Vec<_>>());
    }
}
