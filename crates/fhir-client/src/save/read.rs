//! Reads the Observations of a round: from memory, by id, and where wanted by
//! identifier.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use delivery::Reason;
use jiff::Timestamp;
use mapping::identifier::SERVICE_SYSTEM;
use mapping::observation::Observation;
use reqwest::Method;
use serde_json::Value;

use super::job::{Job, Lost, State};
use super::write::{is_same_reading, server_error};
use super::{Draft, Saver, Stored, Window};
use crate::client::{Answer, Request, SearchError, ServerAway, is_server_error};
use crate::history::{Before, versions_before};
use crate::search::{Identifier, next_link, resources_of};
use crate::version::Version;

/// The clocks of the server and of whoever noted when a window began differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Versions looked at per Observation when a window may be delivered again. A
/// window writes an Observation once, and a few more times after conflicts.
pub(super) const VERSIONS_MAX: usize = 20;

/// A job whose history goes further back.
struct Back<'j, 'd, D> {
    job: &'j mut Job<'d, D>,
    /// The version before which to look.
    version: Version,
    /// What that holds.
    later: Observation,
    /// What we would have written if there had been nothing.
    created: Option<Observation>,
}

impl Saver {
    /// Finds out what is on the server for each job that has not been read.
    pub(super) async fn read<D: Draft>(
        &self,
        jobs: &mut [&mut Job<'_, D>],
        window: &Window<'_>,
    ) -> Result<(), ServerAway> {
        let mut unread = Vec::new();
        for job in jobs.iter_mut().filter(|job| matches!(job.state, State::Unread)) {
            let trusted = job.tries() == 0 && window.turn.begun_before.is_none();
            match if trusted { self.remembered(&job.id, window.turn.term).await } else { None } {
                Some(stored) => job.state = State::Present(stored),
                None => unread.push(&mut **job),
            }
        }
        if unread.is_empty() {
            return Ok(());
        }
        let get = |job: &&mut Job<'_, D>| self.client.request(Method::GET, &job.path(), None);
        let requests: Vec<Request> = unread.iter().map(get).collect();
        let batch = self.client.batch(&requests, window.deadline).await;
        let mut away = batch.away;
        for (job, answer) in unread.iter_mut().zip(batch.answers) {
            match answer.map(|answer| self.take(job, &answer)) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    job.state = State::Away;
                    away = away.or(Some(error));
                }
                None => job.state = State::Away,
            }
        }
        if self.options.legacy_ids {
            away = away.or(self.read_legacy(&mut unread, window).await.err());
        }
        if let Some(begun) = window.turn.begun_before {
            away = away.or(self.read_lost(&mut unread, begun, window).await.err());
        }
        away.map_or(Ok(()), Err)
    }

    /// Takes the answer to a read by id.
    fn take<D: Draft>(&self, job: &mut Job<'_, D>, answer: &Answer) -> Result<(), ServerAway> {
        match answer.status {
            404 => job.state = State::Absent,
            410 if self.options.recreate_deleted => job.state = State::Absent,
            410 => job.reject(&Reason::new("ObservationDeleted", "the Observation was deleted on the FHIR server")),
            _ if answer.is_success() => job.state = State::Present(Arc::new(Stored::read(answer)?)),
            status if is_server_error(status) => job.reject(&server_error(status)),
            // We computed the id, so no refusal is about the data.
            _ => return Err(answer.away()),
        }
        Ok(())
    }

    /// Searches for Observations that an old connector wrote under ids which
    /// the server chose.
    async fn read_legacy<D: Draft>(&self, jobs: &mut [&mut Job<'_, D>], window: &Window<'_>) -> Result<(), ServerAway> {
        let mut absent: Vec<_> = jobs.iter_mut().filter(|job| matches!(job.state, State::Absent)).collect();
        let requests: Vec<Request> = absent
            .iter()
            .map(|job| {
                let query = of_service(job.identifier()).query();
                self.client.request(Method::GET, "Observation", Some(&query))
            })
            .collect();
        let batch = self.client.batch(&requests, window.deadline).await;
        let mut away = batch.away;
        for (job, answer) in absent.iter_mut().zip(batch.answers) {
            let found = match &answer {
                Some(answer) => self.found(answer, job.identifier(), window).await,
                None => {
                    job.state = State::Away;
                    continue;
                }
            };
            match found {
                Ok(found) => job.take_legacy(&found),
                Err(error) => {
                    job.state = State::Away;
                    away = away.or(Some(error));
                }
            }
        }
        away.map_or(Ok(()), Err)
    }

    /// The Observations with just this identifier in the answer to a search. A
    /// server that compares only the beginning of an identifier finds more.
    async fn found(&self, answer: &Answer, identifier: &str, window: &Window<'_>) -> Result<Vec<Value>, ServerAway> {
        if !answer.is_success() {
            return Err(answer.away());
        }
        let page = answer.json()?;
        let mut found = match next_link(&page) {
            None => resources_of(page, "Observation"),
            Some(_) => match self.client.search("Observation", of_service(identifier), window.deadline).await {
                Ok(found) => found,
                Err(SearchError::Away(away)) => return Err(away),
                Err(SearchError::Refused { status }) => return Err(ServerAway::Status { status, retry_after: None }),
                Err(SearchError::TooManyPages) => return Err(ServerAway::NotFhir),
            },
        };
        found.retain(|resource| of_service(identifier).is_of(resource));
        Ok(found)
    }

    /// Reads the versions that came and went since the window may have been
    /// begun: one of them may have been overwritten by us, and we stopped before
    /// it was merged back.
    async fn read_lost<D: Draft>(
        &self,
        jobs: &mut [&mut Job<'_, D>],
        begun: SystemTime,
        window: &Window<'_>,
    ) -> Result<(), ServerAway> {
        let since = begun.checked_sub(CLOCKS_DIFFER).and_then(|since| Timestamp::try_from(since).ok());
        let since = since.unwrap_or(Timestamp::MIN);
        let mut away = None;
        let mut open: Vec<Back<'_, '_, D>> = Vec::new();
        for job in jobs.iter_mut() {
            if !std::mem::replace(&mut job.history_read, true)
                && let State::Present(stored) = &job.state
                && let Some(version) = newer_than(since, stored.version.clone(), &stored.observation)
            {
                let (later, created) = (stored.observation.clone(), job.created());
                open.push(Back { job, version, later, created });
            }
        }
        for _ in 0..VERSIONS_MAX {
            if open.is_empty() {
                break;
            }
            let of: Vec<_> = open.iter().map(|back| (back.job.path(), back.version.clone())).collect();
            let befores = versions_before(&self.client, &of, window.deadline).await;
            let mut further = Vec::with_capacity(open.len());
            for (Back { job, later, created, .. }, before) in open.into_iter().zip(befores) {
                match before {
                    Ok(Before::Content(before)) => {
                        if let Ok(before) = Observation::read(&before) {
                            let version = newer_than(since, version_of(&before), &before);
                            // A create of ours had nothing to do with what was there.
                            let whole = created.as_ref().is_some_and(|created| is_same_reading(&later, created));
                            job.lost.push(Lost { observation: before.clone(), whole });
                            further.extend(version.map(|version| Back { job, version, later: before, created }));
                        }
                    }
                    Ok(Before::Nothing | Before::Untold) => {}
                    Err(error) => {
                        job.state = State::Away;
                        away = away.or(Some(error));
                    }
                }
            }
            open = further;
        }
        away.map_or(Ok(()), Err)
    }
}

/// `version`, that of `observation`, unless it is older than `since`. Without a
/// time nothing says that it is.
fn newer_than(since: Timestamp, version: Option<Version>, observation: &Observation) -> Option<Version> {
    let updated: Option<Timestamp> = observation.last_updated().and_then(|text| text.parse().ok());
    version.filter(|_| updated.is_none_or(|updated| updated >= since))
}

impl<D: Draft> Job<'_, D> {
    fn take_legacy(&mut self, found: &[Value]) {
        match found {
            [] => {}
            [one] => {
                let id = one.get("id").and_then(Value::as_str).filter(|id| is_id(id));
                let observation = Observation::read(one.to_string().as_bytes());
                if let (Some(id), Ok(observation)) = (id, observation) {
                    self.id = id.to_owned();
                    let version = version_of(&observation);
                    self.state = State::Present(Arc::new(Stored { version, observation, bytes: 0 }));
                }
            }
            several => self.reject(&Reason::new(
                "MultipleObservationFound",
                format!("{} Observations have the same identifier", several.len()),
            )),
        }
    }
}

impl Stored {
    fn read(answer: &Answer) -> Result<Stored, ServerAway> {
        let observation = Observation::read(&answer.body).map_err(|_| ServerAway::NotFhir)?;
        let version = answer.version.clone().or_else(|| version_of(&observation));
        Ok(Stored { version, observation, bytes: answer.body.len() })
    }
}

pub(super) fn version_of(observation: &Observation) -> Option<Version> {
    Version::from_etag(&observation.version_id()?)
}

fn of_service(value: &str) -> Identifier<'_> {
    Identifier { system: Some(SERVICE_SYSTEM), value }
}

/// What a FHIR id may hold, and therefore an address.
fn is_id(id: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !id.is_empty() && !id.chars().all(|c| c == '.') && id.chars().all(valid)
}
