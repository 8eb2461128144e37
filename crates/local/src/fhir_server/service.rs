//! Answers requests: reads and searches here, writes by way of
//! [`crate::fhir_server::write`], bundles by way of
//! [`crate::fhir_server::bundle`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::fhir_server::failure::Failure;
use crate::fhir_server::journal::Ticket;
use crate::fhir_server::listing::{self, Listing};
use crate::fhir_server::personality::Personality;
use crate::fhir_server::query::Query;
use crate::fhir_server::request::{Conditions, Interaction, Reply};
use crate::fhir_server::resource::{Resource, Stored};
use crate::fhir_server::shape;
use crate::fhir_server::store::{Store, Version};
use crate::fhir_server::write::Writer;

/// How long HAPI answers a search from its cache.
const SEARCH_CACHE_AGE: Duration = Duration::from_secs(60);

/// The server without its HTTP.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) personality: Personality,
    /// Base URL, for links.
    pub(super) base: String,
    /// What an optimistic write waits between its look and its commit.
    pub(super) commit_time: Duration,
    /// Most entries in one bundle.
    pub(super) bundle_entries_max: usize,
    /// When it is now; as the machine says, where that is none.
    now: Mutex<Option<Timestamp>>,
    store: Mutex<Store>,
    /// Search to the ids it found, and when.
    searches: Mutex<HashMap<String, (Instant, Vec<String>)>>,
}

impl Service {
    pub(super) fn new(
        store: Store,
        personality: Personality,
        base: String,
        commit_time: Duration,
        bundle_entries_max: usize,
    ) -> Self {
        let (now, searches) = (Mutex::default(), Mutex::default());
        Self { personality, base, commit_time, bundle_entries_max, now, store: Mutex::new(store), searches }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Timestamp::now)
    }

    /// From now on it is `now`, until somebody says so again.
    pub(super) fn set_now(&self, now: Timestamp) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing panics while it holds the lock; were it so, the state would
        // still be that of the last commit or one change further.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resources of each type that are there now.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        self.store().counts()
    }

    /// What makes all that was answered so far durable.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        self.store().ticket()
    }

    /// Answers everything but bundles.
    pub(super) async fn answer(
        &self,
        interaction: &Interaction,
        conditions: &Conditions,
        resource: Option<Resource>,
        fresh_search: bool,
    ) -> Result<Reply, Failure> {
        match interaction {
            Interaction::Create { .. }
            | Interaction::Update { .. }
            | Interaction::ConditionalUpdate { .. }
            | Interaction::Delete { .. } => self.write(interaction, conditions, resource).await,
            Interaction::Search { kind, query, text } => self.search(kind, query, text, fresh_search),
            _ => self.read(&self.store(), interaction, conditions),
        }
    }

    async fn write(
        &self,
        interaction: &Interaction,
        conditions: &Conditions,
        resource: Option<Resource>,
    ) -> Result<Reply, Failure> {
        let now = self.now();
        let plan = {
            let mut store = self.store();
            let mut writer = self.writer(&mut store, now, &[]);
            let plan = writer.plan(interaction, conditions, resource)?;
            if !self.personality.writes_optimistically() {
                let reply = writer.commit(plan)?;
                store.commit()?;
                return Ok(reply);
            }
            plan
        };
        self.let_others_in().await;
        let mut store = self.store();
        let reply = self.writer(&mut store, now, &[]).commit(plan)?;
        store.commit()?;
        Ok(reply)
    }

    /// The time in which another write can come between.
    async fn let_others_in(&self) {
        if self.commit_time.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.commit_time).await;
        }
    }

    pub(super) fn writer<'a>(
        &self,
        store: &'a mut Store,
        now: Timestamp,
        announced: &'a [(String, String)],
    ) -> Writer<'a> {
        Writer { store, personality: self.personality, now, announced }
    }

    /// Answers what changes nothing and is no search.
    pub(super) fn read(
        &self,
        store: &Store,
        interaction: &Interaction,
        conditions: &Conditions,
    ) -> Result<Reply, Failure> {
        match interaction {
            Interaction::Capabilities => Ok(Reply::plain(200, Some(self.capabilities()?))),
            Interaction::Read { kind, id } => {
                let version = store.newest(kind, id).ok_or_else(Failure::not_found)?;
                read_version(version, conditions)
            }
            Interaction::VersionRead { kind, id, version_id } => {
                let mut versions = store.versions(kind, id).iter();
                let version = versions.find(|version| version.version_id == *version_id);
                read_version(version.ok_or_else(Failure::not_found)?, conditions)
            }
            Interaction::History { kind, id, page } => self.listing(store).history(kind, id.as_deref(), page),
            Interaction::Search { kind, query, text } => {
                self.listing(store).matches(kind, query, text, &query.matching_ids(store))
            }
            _ => Err(Failure::not_supported("this interaction")),
        }
    }

    fn listing<'a>(&'a self, store: &'a Store) -> Listing<'a> {
        Listing { store, personality: self.personality, base: &self.base }
    }

    fn search(&self, kind: &str, query: &Query, text: &str, fresh: bool) -> Result<Reply, Failure> {
        if !self.personality.caches_searches() {
            let store = self.store();
            return self.listing(&store).matches(kind, query, text, &query.matching_ids(&store));
        }
        let key = format!("{kind}?{}", listing::without_paging(text));
        let cached = if fresh { None } else { self.cached_search(&key) };
        let store = self.store();
        let from_cache = cached.is_some();
        let ids = cached.unwrap_or_else(|| query.matching_ids(&store));
        let reply = self.listing(&store).matches(kind, query, text, &ids)?;
        if !from_cache {
            self.keep_search(key, ids);
        }
        Ok(Reply { from_cache, ..reply })
    }

    fn cached_search(&self, key: &str) -> Option<Vec<String>> {
        let searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, ids) = searches.get(key)?;
        (at.elapsed() < SEARCH_CACHE_AGE).then(|| ids.clone())
    }

    fn keep_search(&self, key: String, ids: Vec<String>) {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        searches.retain(|_, (at, _)| at.elapsed() < SEARCH_CACHE_AGE);
        searches.insert(key, (Instant::now(), ids));
    }

    fn capabilities(&self) -> Result<Stored, Failure> {
        let codes = |codes: &[&str]| codes.iter().map(|code| json!({ "code": code })).collect::<Vec<_>>();
        let interactions =
            codes(&["read", "vread", "update", "delete", "history-instance", "history-type", "create", "search-type"]);
        let resources: Vec<Value> = shape::supported()
            .map(|kind| {
                json!({
                    "type": kind, "versioning": "versioned-update", "readHistory": true, "updateCreate": true,
                    "conditionalCreate": true, "conditionalRead": "not-match", "conditionalUpdate": true,
                    "interaction": interactions, "searchParam": [{ "name": "identifier", "type": "token" }],
                })
            })
            .collect();
        Stored::of(&json!({
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-11-01",
            "kind": "instance",
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "software": { "name": "IoT Connector for FHIR: development FHIR server" },
            "implementation": {
                "description": format!("For development only; behaves like `{}`", self.personality.name()),
                "url": self.base,
            },
            "rest": [{
                "mode": "server", "resource": resources, "interaction": codes(&["transaction", "batch"]),
            }],
        }))
    }
}

fn read_version(version: &Version, conditions: &Conditions) -> Result<Reply, Failure> {
    if version.resource.is_none() {
        return Err(Failure::deleted());
    }
    let reply = Reply::read(version);
    if conditions.if_none_match.as_ref() == Some(&version.version_id) {
        return Ok(Reply { status: 304, body: None, ..reply });
    }
    Ok(reply)
}
