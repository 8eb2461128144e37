//! Which of several replicas writes: the one that holds a Lease.
//!
//! ```text
//! free, released or not renewed for LEASE --> taken --renewed every RENEW--> kept
//!                                               \--not renewed for RENEW_LIMIT--> lost: the process ends
//! ```
//!
//! Every write has the Lease's version as its condition, so of two that try to
//! take it one succeeds. Clocks of different machines are not compared: a Lease
//! has run out when this process saw it unchanged for its whole duration, on its
//! own clock. A holder gives up before others may think so.
//!
//! Our own, and small, because what is wanted of it is narrow: kube has none,
//! and the crates there are compare clocks, or tell of a loss on a channel where
//! a process that must stop writing at once has to end.

use std::time::Duration;

use custom_resources::error_text::error_text;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, timeout, timeout_at};

use crate::heartbeat::Heartbeat;

/// How long a Lease holds after it was renewed.
const LEASE: Duration = Duration::from_secs(10);
/// How long after the last renewal began a holder ends, whatever it waits for
/// then. Nobody else takes the Lease before [`LEASE`] has passed since that
/// renewal was seen. In the four seconds between, what was sent before the end
/// arrives. Later than that it may meet another's writes; it carries the uids and
/// versions that it was made for, so at the worst it repeats an older spec until
/// the other, which looks at every resource as it begins, has applied the newest.
const RENEW_LIMIT: Duration = Duration::from_secs(6);
/// How often it is renewed or looked at.
const RENEW: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(2);

/// A Lease, and who this process is.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    heartbeat: Heartbeat,
}

/// What was seen of a Lease last.
struct Seen {
    version: Option<String>,
    since: Instant,
}

impl Election {
    /// For the Lease `name` in `namespace`; `identity` is this replica's own.
    pub fn new(client: Client, namespace: &str, (name, identity): (&str, &str), heartbeat: Heartbeat) -> Election {
        let leases = Api::namespaced(client, namespace);
        Election { leases, name: name.to_owned(), identity: identity.to_owned(), heartbeat }
    }

    /// Waits until this process holds the Lease, and gives since when: the moment
    /// before it was asked for.
    pub async fn win(&self) -> Instant {
        let mut seen: Option<Seen> = None;
        loop {
            self.heartbeat.beat();
            let began = Instant::now();
            match timeout(REQUEST, self.try_to_win(&mut seen)).await {
                Ok(Ok(true)) => {
                    tracing::info!(lease = self.name, identity = self.identity, "Leads");
                    return began;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(error = error_text(&error), "The Lease cannot be taken now"),
                Err(_) => tracing::warn!("The Lease could not be looked at in time"),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Keeps the Lease that was won at `since`; returns when it is lost.
    pub async fn keep(&self, since: Instant) {
        let mut renewed = since;
        // One limit around waiting and asking: no step can go past it.
        while let Ok(again) = timeout_at(renewed + RENEW_LIMIT, self.renewed()).await {
            let Some(again) = again else {
                tracing::error!(lease = self.name, "Another replica holds the Lease");
                return;
            };
            renewed = again;
        }
        tracing::error!(lease = self.name, "The Lease could not be renewed for too long");
    }

    /// When the Lease was renewed next, as the moment before it was asked for;
    /// none when another holds it.
    async fn renewed(&self) -> Option<Instant> {
        loop {
            self.heartbeat.beat();
            tokio::time::sleep(RENEW).await;
            let began = Instant::now();
            match timeout(REQUEST, self.renew()).await {
                Ok(Ok(is_ours)) => return is_ours.then_some(began),
                Ok(Err(error)) => tracing::warn!(error = error_text(&error), "The Lease could not be renewed"),
                Err(_) => tracing::warn!("The Lease could not be renewed in time"),
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait.
    pub async fn give_back(&self) {
        let given = timeout(REQUEST, async {
            let Some(mut lease) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
            if self.holder(&lease) != Some(&self.identity) {
                return Ok(());
            }
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.leases.replace(&self.name, &PostParams::default(), &lease).await.map(|_| ())
        });
        match given.await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "Gave the Lease back"),
            Ok(Err(error)) => tracing::warn!(error = error_text(&error), "The Lease could not be given back"),
            Err(_) => tracing::warn!("The Lease could not be given back in time"),
        }
    }

    fn holder<'l>(&self, lease: &'l Lease) -> Option<&'l String> {
        lease.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
    }

    async fn try_to_win(&self, seen: &mut Option<Seen>) -> kube::Result<bool> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..Default::default() },
                spec: Some(self.taken(None)),
            };
            return won(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        if seen.as_ref().is_none_or(|seen| seen.version != version) {
            *seen = Some(Seen { version, since: Instant::now() });
        }
        let has_run_out = seen.as_ref().is_some_and(|seen| seen.since.elapsed() >= LEASE);
        match self.holder(&lease) {
            // Not renewed by us in this life: an identity is of one process.
            Some(_) if !has_run_out => Ok(false),
            _ => self.take(lease).await,
        }
    }

    async fn take(&self, mut lease: Lease) -> kube::Result<bool> {
        lease.spec = Some(self.taken(lease.spec.as_ref()));
        won(self.leases.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn taken(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(before.map_or(0, |spec| spec.lease_transitions.unwrap_or(0).saturating_add(1))),
            ..Default::default()
        }
    }

    async fn renew(&self) -> kube::Result<bool> {
        let mut lease = self.leases.get(&self.name).await?;
        if self.holder(&lease) != Some(&self.identity) {
            return Ok(false);
        }
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        // A conflict may be somebody's harmless edit: the next look says who holds it.
        match self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            Err(kube::Error::Api(status)) if status.code == 409 => self.holds().await,
            other => other.map(|_| true),
        }
    }

    async fn holds(&self) -> kube::Result<bool> {
        Ok(self.holder(&self.leases.get(&self.name).await?) == Some(&self.identity))
    }
}

fn won(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        // Somebody else was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        other => other.map(|_| true),
    }
}
