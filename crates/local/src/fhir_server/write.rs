//! Writes: what each does to the store under each personality.
//!
//! A write is planned against the state as it is seen and committed later. A
//! server that locks does both at once; one that writes optimistically lets
//! others in between, and finds out when it commits.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::fhir_server::failure::Failure;
use crate::fhir_server::personality::{AbsentMatch, Personality};
use crate::fhir_server::query::Query;
use crate::fhir_server::request::{self, Conditions, Interaction, Reply};
use crate::fhir_server::resource::{Resource, Stored};
use crate::fhir_server::store::Store;

/// A write that may go ahead.
#[derive(Debug)]
pub(super) struct Plan {
    kind: String,
    id: String,
    /// Number of the newest version when the write was planned; 0: none.
    seen: u64,
    action: Action,
    /// `If-None-Exist`, looked at again at the end.
    unless: Option<Query>,
}

#[derive(Debug)]
enum Action {
    /// Answer without a change.
    Nothing(Reply),
    Store(Resource),
    Delete,
}

/// The state and the habits that decide about writes.
pub(super) struct Writer<'a> {
    pub(super) store: &'a mut Store,
    pub(super) personality: Personality,
    pub(super) now: Timestamp,
    /// What a transaction is about to create, as `(type, id)`.
    pub(super) announced: &'a [(String, String)],
}

impl Writer<'_> {
    /// Decides what a create, update or delete will do.
    pub(super) fn plan(
        &mut self,
        interaction: &Interaction,
        conditions: &Conditions,
        resource: Option<Resource>,
    ) -> Result<Plan, Failure> {
        match interaction {
            Interaction::Create { kind } => self.plan_create(kind, conditions, body_of(kind, resource)?),
            Interaction::Update { kind, id } => self.plan_update(kind, id, conditions, body_of(kind, resource)?),
            Interaction::ConditionalUpdate { kind, query } => {
                self.plan_conditional_update(kind, query, conditions, body_of(kind, resource)?)
            }
            Interaction::Delete { kind, id } => self.plan_delete(kind, id, conditions),
            _ => Err(Failure::not_supported("this interaction")),
        }
    }

    fn plan_create(&mut self, kind: &str, conditions: &Conditions, resource: Resource) -> Result<Plan, Failure> {
        self.check(&resource)?;
        let unless = conditions.if_none_exist.as_deref().map(|text| request::condition(kind, text)).transpose()?;
        if let Some(query) = &unless {
            let matches = query.matching_ids(self.store);
            if let Some(id) = only(&matches)? {
                return Ok(self.found(kind, id));
            }
        }
        let id = self.new_id(kind);
        Ok(Plan { unless, ..self.store_plan(kind, &id, resource) })
    }

    fn plan_update(
        &mut self,
        kind: &str,
        id: &str,
        conditions: &Conditions,
        resource: Resource,
    ) -> Result<Plan, Failure> {
        match &resource.id {
            None => return Err(Failure::invalid("the resource has no id; an update needs one")),
            Some(own) if own != id => return Err(Failure::invalid("the resource has another id than the address")),
            Some(_) => {}
        }
        self.check_client_id(kind, id)?;
        self.check_match(kind, id, conditions)?;
        self.check(&resource)?;
        Ok(self.update_or_nothing(kind, id, resource))
    }

    fn plan_conditional_update(
        &mut self,
        kind: &str,
        query: &Query,
        conditions: &Conditions,
        resource: Resource,
    ) -> Result<Plan, Failure> {
        self.check(&resource)?;
        let matches = query.matching_ids(self.store);
        match only(&matches)? {
            Some(id) if resource.id.as_ref().is_none_or(|own| own == id) => {
                self.check_match(kind, id, conditions)?;
                Ok(self.update_or_nothing(kind, id, resource))
            }
            Some(_) => Err(Failure::invalid("the resource has another id than the one that matches")),
            None => match resource.id.clone() {
                Some(id) => self.plan_update(kind, &id, &Conditions::default(), resource),
                None => {
                    let id = self.new_id(kind);
                    Ok(self.store_plan(kind, &id, resource))
                }
            },
        }
    }

    fn plan_delete(&mut self, kind: &str, id: &str, conditions: &Conditions) -> Result<Plan, Failure> {
        self.check_match(kind, id, conditions)?;
        let seen = self.seen(kind, id);
        let plan = |action| Plan { kind: kind.to_owned(), id: id.to_owned(), seen, action, unless: None };
        if self.store.current(kind, id).is_none() {
            return Ok(plan(Action::Nothing(self.deleted()?)));
        }
        if self.personality.checks_references() && self.store.is_referenced(kind, id) {
            return Err(Failure::new(409, "conflict", "another resource refers to this one"));
        }
        Ok(plan(Action::Delete))
    }

    /// Does what was planned, unless the resource has changed in between.
    pub(super) fn commit(&mut self, plan: Plan) -> Result<Reply, Failure> {
        let Plan { kind, id, seen, action, unless } = plan;
        if let Action::Nothing(reply) = action {
            return Ok(reply);
        }
        let doubled = unless.is_some_and(|query| !query.matching_ids(self.store).is_empty());
        if doubled || self.seen(&kind, &id) != seen {
            return Err(Failure::new(409, "conflict", "another request has written the resource in between"));
        }
        match action {
            Action::Store(resource) => {
                let version = self.store.put(&kind, &id, Some(&resource), self.now)?;
                let is_update = seen > 0 && (self.personality.revival_is_update() || self.was_current(&kind, &id));
                Ok(Reply::written(if is_update { 200 } else { 201 }, &kind, &id, &version))
            }
            Action::Delete => {
                let version = self.store.put(&kind, &id, None, self.now)?;
                Ok(Reply { version: Some((version.version_id, version.last_updated)), ..self.deleted()? })
            }
            Action::Nothing(reply) => Ok(reply),
        }
    }

    /// An id that no resource of the type has.
    pub(super) fn new_id(&mut self, kind: &str) -> String {
        loop {
            let id = match self.personality.numbers_resources() {
                true => self.store.next_number().to_string(),
                false => Uuid::new_v4().to_string(),
            };
            if self.store.newest(kind, &id).is_none() {
                return id;
            }
        }
    }

    /// A create in a transaction, whose id was given out beforehand.
    pub(super) fn plan_create_as(&mut self, id: &str, resource: Resource) -> Result<Plan, Failure> {
        self.check(&resource)?;
        let kind = resource.kind.clone();
        Ok(self.store_plan(&kind, id, resource))
    }

    /// What a conditional create answers that finds the resource there.
    pub(super) fn found(&self, kind: &str, id: &str) -> Plan {
        let reply = match self.store.current(kind, id) {
            Some(version) => Reply::written(200, kind, id, version),
            None => Reply::plain(200, None),
        };
        let (kind, id) = (kind.to_owned(), id.to_owned());
        Plan { kind, id, seen: 0, action: Action::Nothing(reply), unless: None }
    }

    fn update_or_nothing(&self, kind: &str, id: &str, resource: Resource) -> Plan {
        let current = self.store.current(kind, id).and_then(|version| version.resource.as_ref());
        match current {
            Some(stored) if self.personality.keeps_version_of_identical() && resource.has_content_of(stored) => {
                self.found(kind, id)
            }
            _ => self.store_plan(kind, id, resource),
        }
    }

    fn store_plan(&self, kind: &str, id: &str, resource: Resource) -> Plan {
        let seen = self.seen(kind, id);
        Plan { kind: kind.to_owned(), id: id.to_owned(), seen, action: Action::Store(resource), unless: None }
    }

    fn seen(&self, kind: &str, id: &str) -> u64 {
        self.store.newest(kind, id).map_or(0, |version| version.number)
    }

    /// Whether the version before the newest was no deletion.
    fn was_current(&self, kind: &str, id: &str) -> bool {
        let versions = self.store.versions(kind, id);
        let before = versions.len().checked_sub(2).and_then(|index| versions.get(index));
        before.is_some_and(|version| version.resource.is_some())
    }

    fn check(&self, resource: &Resource) -> Result<(), Failure> {
        resource.check(self.personality.checks_required())?;
        if self.personality.checks_references() {
            let mut references = resource.references().into_iter();
            let is_there = |(kind, id): &(String, String)| {
                self.store.current(kind, id).is_some()
                    || self.announced.iter().any(|new| new == &(kind.clone(), id.clone()))
            };
            if !references.all(|reference| is_there(&reference)) {
                return Err(Failure::new(400, "processing", "a reference leads to a resource that is not here"));
            }
        }
        Ok(())
    }

    fn check_client_id(&self, kind: &str, id: &str) -> Result<(), Failure> {
        let is_numeric = id.bytes().all(|c| c.is_ascii_digit());
        if is_numeric && !self.personality.allows_numeric_client_ids() && self.store.newest(kind, id).is_none() {
            return Err(Failure::new(400, "processing", "an id given by a client needs a character that is no digit"));
        }
        Ok(())
    }

    /// `If-Match` and `If-None-Match` of a write.
    fn check_match(&self, kind: &str, id: &str, conditions: &Conditions) -> Result<(), Failure> {
        let newest = self.store.newest(kind, id);
        let is_there = newest.is_some_and(|version| version.resource.is_some());
        if conditions.if_none_match.as_deref() == Some("*") && is_there && self.personality.honours_if_none_match() {
            return Err(Failure::new(412, "conflict", "the resource exists, which `If-None-Match` rules out"));
        }
        match (&conditions.if_match, newest) {
            (Some(wanted), Some(version)) if *wanted != version.version_id => {
                Err(Failure::new(self.personality.stale_status(), "conflict", "`If-Match` is not the current version"))
            }
            (Some(_), None) => match self.personality.absent_match() {
                AbsentMatch::Creates => Ok(()),
                AbsentMatch::Refused(status) => {
                    Err(Failure::new(status, "not-found", "`If-Match` is for a resource that is not here"))
                }
            },
            _ => Ok(()),
        }
    }

    fn deleted(&self) -> Result<Reply, Failure> {
        let status = self.personality.deleted_status();
        let body = json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": "information", "code": "informational", "diagnostics": "the resource is deleted" }],
        });
        Ok(Reply::plain(status, (status == 200).then(|| Stored::of(&body)).transpose()?))
    }
}

/// The one match of a condition, if any.
pub(super) fn only(matches: &[String]) -> Result<Option<&str>, Failure> {
    match matches {
        [] => Ok(None),
        [id] => Ok(Some(id)),
        _ => Err(Failure::several_matches()),
    }
}

fn body_of(kind: &str, resource: Option<Resource>) -> Result<Resource, Failure> {
    let resource = resource.ok_or_else(|| Failure::invalid("a resource is needed"))?;
    if resource.kind != kind {
        return Err(Failure::invalid("`resourceType` is another than the address names"));
    }
    Ok(resource)
}
