//! Batches and transactions.
//!
//! The entries of a batch stand alone, in their order. A transaction is done in
//! the order of the standard (deletes, creates, updates, reads) under one lock,
//! with references among its entries resolved, and is taken back as a whole
//! when one entry fails.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fhir_server::failure::Failure;
use crate::fhir_server::listing::{BundleJson, EntryJson};
use crate::fhir_server::personality::Personality;
use crate::fhir_server::request::{self, Conditions, Interaction, Reply};
use crate::fhir_server::resource::{Resource, Stored};
use crate::fhir_server::service::Service;
use crate::fhir_server::store::Store;
use crate::fhir_server::write;

/// What a client asks for, beside the bundle itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BundleOptions {
    /// `Prefer: return=`; `None`: as the server likes.
    pub(super) representation: Option<bool>,
    /// `Cache-Control: no-cache`.
    pub(super) fresh_search: bool,
}

#[derive(Deserialize)]
struct BundleIn<'a> {
    #[serde(rename = "resourceType")]
    resource_type: String,
    r#type: String,
    #[serde(borrow, default)]
    entry: Vec<EntryIn<'a>>,
}

#[derive(Deserialize)]
struct EntryIn<'a> {
    #[serde(rename = "fullUrl")]
    full_url: Option<String>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    request: Option<RequestIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestIn {
    method: String,
    url: String,
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_none_exist: Option<String>,
}

/// An entry that can be carried out.
struct Entry {
    full_url: Option<String>,
    interaction: Interaction,
    conditions: Conditions,
    resource: Option<Resource>,
}

impl Service {
    /// Answers a batch or a transaction.
    pub(super) async fn answer_bundle(&self, text: &str, options: BundleOptions) -> Result<Reply, Failure> {
        let bundle: BundleIn<'_> = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Failure::structure(format!("the body is not a Bundle with entries ({place})"))
        })?;
        if bundle.resource_type != "Bundle" {
            return Err(Failure::invalid("a Bundle is needed here"));
        }
        if bundle.entry.len() > self.bundle_entries_max {
            let most = self.bundle_entries_max;
            return Err(Failure::new(413, "too-long", format!("a bundle may have {most} entries at most")));
        }
        let entries: Vec<Result<Entry, Failure>> = bundle.entry.iter().map(|entry| self.entry(entry)).collect();
        if self.personality.parses_bundle_as_one() {
            check_structure(&entries)?;
        }
        match bundle.r#type.as_str() {
            "batch" => self.answer_batch(entries, options).await,
            "transaction" => self.answer_transaction(entries, options),
            _ => Err(Failure::invalid("the Bundle is neither a batch nor a transaction")),
        }
    }

    fn entry(&self, entry: &EntryIn<'_>) -> Result<Entry, Failure> {
        let request = entry.request.as_ref().ok_or_else(|| Failure::structure("an entry has no `request`"))?;
        let url = request.url.strip_prefix(&self.base).unwrap_or(&request.url);
        let interaction = Interaction::parse(&request.method, url)?;
        if matches!(interaction, Interaction::Bundle | Interaction::Capabilities) {
            return Err(Failure::not_supported("this interaction inside a bundle"));
        }
        let version = |etag: &Option<String>| etag.as_deref().map(request::version_of_etag);
        Ok(Entry {
            full_url: entry.full_url.clone(),
            interaction,
            conditions: Conditions {
                if_match: version(&request.if_match),
                if_none_match: version(&request.if_none_match),
                if_none_exist: request.if_none_exist.clone(),
            },
            resource: entry.resource.map(|text| Resource::parse(text.get())).transpose()?,
        })
    }

    async fn answer_batch(
        &self,
        entries: Vec<Result<Entry, Failure>>,
        options: BundleOptions,
    ) -> Result<Reply, Failure> {
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            answers.push(match entry {
                Ok(entry) => {
                    self.answer(&entry.interaction, &entry.conditions, entry.resource, options.fresh_search).await
                }
                Err(failure) => Err(failure),
            });
        }
        self.reply("batch-response", &answers, options)
    }

    fn answer_transaction(
        &self,
        entries: Vec<Result<Entry, Failure>>,
        options: BundleOptions,
    ) -> Result<Reply, Failure> {
        let entries = entries.into_iter().collect::<Result<Vec<_>, _>>()?;
        check_distinct(&entries)?;
        let mut store = self.store();
        match self.transact(&mut store, entries) {
            Ok(answers) => {
                store.commit()?;
                self.reply("transaction-response", &answers, options)
            }
            Err(failure) => {
                store.roll_back();
                Err(failure)
            }
        }
    }

    /// Carries out a transaction, up to the first entry that fails.
    fn transact(&self, store: &mut Store, mut entries: Vec<Entry>) -> Result<Vec<Result<Reply, Failure>>, Failure> {
        let targets = self.assign_ids(store, &entries)?;
        let announced: Vec<(String, String)> = targets.iter().flatten().map(Target::key).collect();
        let references: HashMap<String, String> = entries
            .iter()
            .zip(&targets)
            .filter_map(|(entry, target)| Some((entry.full_url.clone()?, target.as_ref()?.reference())))
            .collect();
        for entry in &mut entries {
            entry.resource = entry.resource.take().map(|r| r.with_references(&references)).transpose()?;
        }
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|index| entries.get(*index).map(|entry| rank(&entry.interaction)));
        let mut answers: Vec<Option<Result<Reply, Failure>>> = entries.iter().map(|_| None).collect();
        for index in order {
            let (Some(entry), Some(target)) = (entries.get_mut(index), targets.get(index)) else { continue };
            let answer = self.transact_entry(store, entry, target.as_ref(), &announced);
            let may_fail = self.personality.transaction_reads_may_miss() && rank(&entry.interaction) == READS;
            answers[index] = Some(if may_fail { answer } else { Ok(answer?) });
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn transact_entry(
        &self,
        store: &mut Store,
        entry: &mut Entry,
        target: Option<&Target>,
        announced: &[(String, String)],
    ) -> Result<Reply, Failure> {
        if rank(&entry.interaction) == READS {
            return self.read(store, &entry.interaction, &entry.conditions);
        }
        let mut writer = self.writer(store, self.now(), announced);
        let plan = match (&entry.interaction, target, entry.resource.take()) {
            (Interaction::Create { kind }, Some(Target { id, exists: true, .. }), _) => writer.found(kind, id),
            (Interaction::Create { kind }, Some(target), Some(resource)) if resource.kind == *kind => {
                writer.plan_create_as(&target.id, resource)?
            }
            (interaction, _, resource) => writer.plan(interaction, &entry.conditions, resource)?,
        };
        writer.commit(plan)
    }

    /// Gives each create and update the id it will have, before any is done.
    fn assign_ids(&self, store: &mut Store, entries: &[Entry]) -> Result<Vec<Option<Target>>, Failure> {
        let mut targets = Vec::with_capacity(entries.len());
        for entry in entries {
            targets.push(match &entry.interaction {
                Interaction::Create { kind } => Some(self.assign_id(store, kind, &entry.conditions)?),
                Interaction::Update { kind, id } => Some(Target { kind: kind.clone(), id: id.clone(), exists: true }),
                _ => None,
            });
        }
        Ok(targets)
    }

    fn assign_id(&self, store: &mut Store, kind: &str, conditions: &Conditions) -> Result<Target, Failure> {
        if let Some(text) = &conditions.if_none_exist {
            let matches = request::condition(kind, text)?.matching_ids(store);
            if let Some(id) = write::only(&matches)? {
                return Ok(Target { kind: kind.to_owned(), id: id.to_owned(), exists: true });
            }
        }
        let id = self.writer(store, Timestamp::UNIX_EPOCH, &[]).new_id(kind);
        Ok(Target { kind: kind.to_owned(), id, exists: false })
    }

    fn reply(&self, kind: &str, answers: &[Result<Reply, Failure>], options: BundleOptions) -> Result<Reply, Failure> {
        let with_bodies = options.representation.unwrap_or(self.personality.entry_bodies_by_default());
        let entry = |answer| entry_json(self.personality, &self.base, answer, with_bodies);
        BundleJson::new(kind, answers.iter().map(entry).collect()).reply()
    }
}

/// What an entry of a transaction is about.
struct Target {
    kind: String,
    id: String,
    /// An update, or a conditional create that found its resource.
    exists: bool,
}

impl Target {
    fn key(&self) -> (String, String) {
        (self.kind.clone(), self.id.clone())
    }

    fn reference(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }
}

const READS: u8 = 3;

/// The standard's order of a transaction's entries.
fn rank(interaction: &Interaction) -> u8 {
    match interaction {
        Interaction::Delete { .. } => 0,
        Interaction::Create { .. } => 1,
        Interaction::Update { .. } | Interaction::ConditionalUpdate { .. } => 2,
        _ => READS,
    }
}

/// What a server sees that parses the whole bundle before it looks at entries.
fn check_structure(entries: &[Result<Entry, Failure>]) -> Result<(), Failure> {
    for (index, entry) in entries.iter().enumerate() {
        let outcome = match entry {
            Ok(entry) => entry.resource.as_ref().map_or(Ok(()), |resource| resource.check(false)),
            Err(failure) if failure.code == "structure" || failure.code == "value" => Err(failure.clone()),
            Err(_) => Ok(()),
        };
        outcome.map_err(|failure| Failure {
            diagnostics: format!("Bundle.entry[{index}]: {}", failure.diagnostics),
            ..failure
        })?;
    }
    Ok(())
}

fn check_distinct(entries: &[Entry]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for entry in entries {
        if let Interaction::Update { kind, id } | Interaction::Delete { kind, id } = &entry.interaction
            && !seen.insert((kind, id))
        {
            return Err(Failure::invalid("the transaction writes one resource twice"));
        }
    }
    Ok(())
}

fn entry_json<'a>(
    personality: Personality,
    base: &str,
    answer: &'a Result<Reply, Failure>,
    with_bodies: bool,
) -> EntryJson<'a> {
    match answer {
        Ok(reply) => reply_json(personality, base, reply, with_bodies),
        Err(failure) => EntryJson {
            response: Some(json!({ "status": status_text(personality, failure.status), "outcome": failure.outcome() })),
            ..EntryJson::default()
        },
    }
}

fn reply_json<'a>(personality: Personality, base: &str, reply: &'a Reply, with_bodies: bool) -> EntryJson<'a> {
    let mut response = json!({ "status": status_text(personality, reply.status) });
    if let Some((version_id, last_updated)) = &reply.version {
        let etag = match personality.bare_entry_etags() {
            true => version_id.clone(),
            false => format!("W/\"{version_id}\""),
        };
        response["etag"] = Value::from(etag);
        response["lastModified"] = Value::from(last_updated.as_str());
    }
    if let Some(location) = &reply.location {
        // Microsoft's server gives the whole address here.
        let absolute = personality == Personality::Azure;
        response["location"] = Value::from(if absolute { format!("{base}/{location}") } else { location.clone() });
    }
    let is_write = reply.location.is_some();
    let resource = reply.body.as_ref().filter(|_| with_bodies || !is_write).map(Stored::raw);
    EntryJson { resource, response: Some(response), ..EntryJson::default() }
}

fn status_text(personality: Personality, status: u16) -> String {
    let phrase = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    match phrase {
        Some(phrase) if !personality.bare_entry_status() => format!("{status} {phrase}"),
        _ => status.to_string(),
    }
}
