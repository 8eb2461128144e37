//! Writes the Observations of a round and looks at what came back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use delivery::Reason;
use delivery::planted::Bug;
use futures::future::join_all;
use mapping::observation::Observation;
use reqwest::Method;
use serde_json::Value;

use super::job::{Job, Lost, Sent, State, Write};
use super::read::{VERSIONS_MAX, version_of};
use super::{Draft, Saver, Stored, Window};
use crate::client::{Answer, Condition, Request, ServerAway, is_server_error};
use crate::history::{Before, version_before};
use crate::version::Version;

/// Refusals of one and the same condition after which it is taken to be about
/// the content: some servers answer 412 to a profile that is not met. None
/// answers 409 to that: it says that another request was in the way, and there
/// are as many rounds as against another writer.
const SAME_REFUSALS_MAX: u32 = 3;

/// What the answer to a write says about the version that it replaced.
#[derive(Debug, PartialEq, Eq)]
enum Replaced {
    /// The one that was expected, or none.
    Expected,
    /// Perhaps another writer's, which the history tells.
    PerhapsOther,
}

impl Saver {
    /// Writes every job that is ready.
    pub(super) async fn write<D: Draft>(
        &self,
        jobs: &mut [&mut Job<'_, D>],
        window: &Window<'_>,
    ) -> Result<(), ServerAway> {
        let mut ready = Vec::new();
        for job in jobs.iter_mut() {
            if let State::Ready(_) = job.state
                && let State::Ready(write) = std::mem::replace(&mut job.state, State::Away)
            {
                ready.push((&mut **job, write));
            }
        }
        if ready.is_empty() {
            return Ok(());
        }
        // Whatever becomes of the write, what was seen before is old: its answer
        // may get lost, and it may have been done all the same.
        for (job, _) in &ready {
            self.forget(&job.id).await;
        }
        let requests: Vec<Request> = ready.iter().map(|(job, write)| self.put(&job.id, write)).collect();
        let batch = self.client.batch(&requests, window.limits()).await;
        let tries_max = self.client.options().retry.attempts_max;
        let (mut ends, mut is_away) = (Vec::with_capacity(ready.len()), false);
        let answers = batch.answers.into_iter().zip(batch.outdated);
        for (((job, write), request), (answer, outdated)) in ready.into_iter().zip(requests).zip(answers) {
            let body = request.body.unwrap_or_default();
            match answer {
                Some(answer) => ends.push(self.end(job, write, body, answer, window)),
                None if outdated && job.unanswered + 1 < tries_max => job.look_again(Sent { write, body }),
                // It is away already.
                None => is_away = true,
            }
        }
        let first = join_all(ends).await.into_iter().find_map(Result::err);
        batch.away.filter(|_| is_away).or(first).map_or(Ok(()), Err)
    }

    /// What is there after a create that was not answered says what became of it.
    /// When it is just what was sent, it is as if that had been the answer: the
    /// create may have replaced another writer's version. Nobody else writes the
    /// same: whatever is merged is `amended`. An update replaces nothing but what
    /// it expects, and is looked at like anything else.
    pub(super) async fn recognize<D: Draft>(
        &self,
        job: &mut Job<'_, D>,
        window: &Window<'_>,
    ) -> Result<(), ServerAway> {
        let Some(Sent { write, body }) = job.sent.take() else { return Ok(()) };
        let State::Present(stored) = &job.state else { return Ok(()) };
        if write.condition != Condition::Absent {
            return Ok(());
        }
        let stored = stored.clone();
        if is_same_content(&stored.observation.to_json(), &body) {
            job.state = State::Away;
            let asked = self.client.clock().now();
            let answer = Answer { status: 200, version: stored.version.clone(), body: Vec::new(), asked };
            return self.written(job, write, body, answer, window).await;
        }
        match self.replaced_by(job, &stored, &body, window).await {
            Ok(replaced) => {
                job.lost.extend(replaced.map(|observation| Lost { observation, whole: true }));
            }
            Err(away) => {
                job.state = State::Away;
                return Err(away);
            }
        }
        Ok(())
    }

    /// Somebody wrote since: another writer's version that a create of ours which
    /// lies further back replaced, if it did.
    async fn replaced_by<D: Draft>(
        &self,
        job: &Job<'_, D>,
        stored: &Stored,
        body: &[u8],
        window: &Window<'_>,
    ) -> Result<Option<Observation>, ServerAway> {
        let (mut version, mut is_ours) = (stored.version.clone(), false);
        for _ in 0..VERSIONS_MAX {
            let Some(at) = &version else { break };
            let before = version_before(&self.client, &job.path(), at, window.deadline).await?;
            let Before::Content(before) = before else { break };
            let Ok(observation) = Observation::read(&before) else { break };
            version = version_of(&observation);
            if is_ours {
                return Ok(Some(observation));
            }
            is_ours = is_same_content(&before, body);
        }
        Ok(None)
    }

    fn put(&self, id: &str, write: &Write) -> Request {
        let mut request = self.client.request(Method::PUT, &format!("Observation/{id}"), None);
        request.body = Some(write.observation.to_json());
        request.condition = write.condition.clone();
        // The version is all that we need to know.
        request.minimal = true;
        // In between somebody may have changed or deleted what was written.
        request.once = true;
        request.creates = write.condition == Condition::Absent;
        request
    }

    /// Decides how a job goes on after its write.
    async fn end<D: Draft>(
        &self,
        job: &mut Job<'_, D>,
        write: Write,
        sent: Vec<u8>,
        answer: Answer,
        window: &Window<'_>,
    ) -> Result<(), ServerAway> {
        match (answer.status, &write.condition) {
            (200 | 201, _) => self.written(job, write, sent, answer, window).await?,
            (409 | 412, _) if Bug::LostUpdate.is_planted() => {
                job.state = State::Ready(Write { condition: Condition::None, ..write });
                self.next_round(job)?;
            }
            (409 | 410 | 412, _) | (404, Condition::Version(_)) => {
                self.conflict(job, write.condition, answer.status)?;
            }
            (400 | 404 | 413 | 422, _) => {
                self.client.prove(answer.asked, window.deadline).await?;
                job.reject(&refused(answer.status));
            }
            (status, _) if is_server_error(status) => job.reject(&server_error(status)),
            // About us or the server's settings, not about this Observation.
            _ => return Err(answer.away()),
        }
        Ok(())
    }

    fn conflict<D: Draft>(&self, job: &mut Job<'_, D>, condition: Condition, status: u16) -> Result<(), ServerAway> {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
        job.refused_again = if job.refused.as_ref() == Some(&condition) { job.refused_again + 1 } else { 1 };
        job.refused = Some(condition);
        job.start_over();
        if job.refused_again >= SAME_REFUSALS_MAX && status != 409 {
            // The same refusal again would hold the partition up for good, so
            // what only an earlier delivery may have overwritten counts no more.
            if !job.repair {
                job.lost.clear();
            }
            return give_up(job, &refused(status));
        }
        self.next_round(job)
    }

    /// Counts a round, of which there may be only so many.
    fn next_round<D: Draft>(&self, job: &mut Job<'_, D>) -> Result<(), ServerAway> {
        job.rounds += 1;
        if job.rounds < self.options.rounds_max {
            return Ok(());
        }
        let text = format!("other writers were faster {} times", job.rounds);
        give_up(job, &Reason::new("WriteConflict", text))
    }

    /// The server took the write. Perhaps in place of another writer's.
    async fn written<D: Draft>(
        &self,
        job: &mut Job<'_, D>,
        write: Write,
        sent: Vec<u8>,
        answer: Answer,
        window: &Window<'_>,
    ) -> Result<(), ServerAway> {
        let version = answer.version.clone().or_else(|| {
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            Version::of_resource(&body)
        });
        if replaced(answer.status, &write.condition, version.as_ref()) == Replaced::PerhapsOther {
            let before = match &version {
                Some(version) => version_before(&self.client, &job.path(), version, window.deadline).await?,
                None => Before::Untold,
            };
            match (before, &version) {
                (Before::Content(other), _) if is_same_content(&other, &sent) => {}
                (Before::Content(other), Some(version)) => match Observation::read(&other) {
                    Ok(other) => return self.overwritten(job, other, version.clone()),
                    Err(_) => tracing::warn!("A version of another writer was overwritten and is no Observation"),
                },
                (Before::Nothing, _) => {}
                (Before::Untold | Before::Content(_), _) => {
                    tracing::warn!(
                        "A version of another writer may have been overwritten and the server does not show it"
                    );
                }
            }
        }
        job.state = State::Settled;
        if let Some(version) = version {
            let stored = Stored { version: Some(version), observation: write.observation, bytes: sent.len() };
            self.remember(&job.id, window.turn.term, Arc::new(stored)).await;
        }
        Ok(())
    }

    /// Another writer's version was overwritten by ours, which is now current:
    /// the drafts are merged into the other one, and the result takes our
    /// place. Should somebody write in between, the other version is among what
    /// is lost, and is filled into whatever is then there.
    fn overwritten<D: Draft>(&self, job: &mut Job<'_, D>, other: Observation, ours: Version) -> Result<(), ServerAway> {
        self.overwrites.fetch_add(1, Ordering::Relaxed);
        job.lost.push(Lost { observation: other.clone(), whole: true });
        (job.repair, job.written) = (true, true);
        job.state = State::Present(Arc::new(Stored { version: Some(ours), observation: other, bytes: 0 }));
        self.next_round(job)
    }
}

/// Rejects a job, unless another writer's version would be lost with it: then
/// the window is to be given again, and its versions are looked at once more.
fn give_up<D: Draft>(job: &mut Job<'_, D>, reason: &Reason) -> Result<(), ServerAway> {
    if job.lost.is_empty() {
        job.reject(reason);
        return Ok(());
    }
    job.state = State::Away;
    Err(ServerAway::Status { status: 409, retry_after: None })
}

/// The server fails on this Observation alone.
pub(super) fn server_error(status: u16) -> Reason {
    let text = format!("the FHIR server fails with status {status} on the Observation and works otherwise");
    Reason::new("FhirServerError", text)
}

fn refused(status: u16) -> Reason {
    match status {
        404 => Reason::new("ReferenceNotFound", "the FHIR server does not find what the Observation refers to"),
        413 => Reason::new("ObservationTooLarge", "the Observation is too large for the FHIR server"),
        _ => Reason::new("ObservationRefused", format!("the FHIR server refuses the Observation with status {status}")),
    }
}

/// Judges by status and version whether a write that was taken did what it was
/// meant to do.
fn replaced(status: u16, condition: &Condition, now: Option<&Version>) -> Replaced {
    let numbers = |before: &Version| Some((before.number()?, now?.number()?));
    match condition {
        // The first version replaces nothing; 200 then means that the same
        // content was there already.
        Condition::Absent if status == 201 || now.and_then(Version::number) == Some(1) => Replaced::Expected,
        Condition::Absent => Replaced::PerhapsOther,
        Condition::Version(before) => match numbers(before) {
            // The same version: the content was there already.
            Some((before, now)) if now == before || now == before + 1 => Replaced::Expected,
            Some(_) if status == 200 => Replaced::PerhapsOther,
            // Created over nothing, or versions that tell nothing: then the
            // server is believed to have looked at `If-Match`, as all do.
            _ => Replaced::Expected,
        },
        Condition::None => Replaced::Expected,
    }
}

/// Whether a stored version holds just what was sent, but for what servers add.
fn is_same_content(stored: &[u8], sent: &[u8]) -> bool {
    is_same_without(&["meta", "text"], stored, sent)
}

/// Whether a version was made of the same readings, whenever that was.
pub(super) fn is_same_reading(stored: &Observation, made: &Observation) -> bool {
    is_same_without(&["meta", "text", "issued"], &stored.to_json(), &made.to_json())
}

fn is_same_without(members: &[&str], one: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let mut resource: Value = serde_json::from_slice(bytes).ok()?;
        let object = resource.as_object_mut()?;
        members.iter().for_each(|name| _ = object.remove(*name));
        Some(resource)
    };
    matches!((read(one), read(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_a_write_by_status_and_version() {
        let version = |text: &str| Version::from_etag(text);
        let absent = || Condition::Absent;
        let on = |text| version(text).map_or(Condition::None, Condition::Version);
        let cases = [
            ("created", 201, absent(), "1", Replaced::Expected),
            ("created after a deletion", 201, absent(), "3", Replaced::Expected),
            ("the same content was there", 200, absent(), "1", Replaced::Expected),
            ("somebody was faster", 200, absent(), "2", Replaced::PerhapsOther),
            ("opaque, somebody was faster", 200, absent(), "b-7", Replaced::PerhapsOther),
            ("the next version", 200, on("4"), "5", Replaced::Expected),
            ("the same content", 200, on("4"), "4", Replaced::Expected),
            ("one in between", 200, on("4"), "6", Replaced::PerhapsOther),
            ("opaque", 200, on("a-1"), "b-7", Replaced::Expected),
            ("it had vanished", 201, on("4"), "1", Replaced::Expected),
            ("no version", 200, on("4"), "", Replaced::Expected),
        ];
        for (name, status, condition, now, expected) in cases {
            assert_eq!(replaced(status, &condition, version(now).as_ref()), expected, "{name}");
        }
    }

    #[test]
    fn compares_content_without_what_servers_add() {
        assert!(is_same_content(br#"{"id":"a","meta":{"versionId":"2"}}"#, br#"{"id":"a"}"#));
        assert!(!is_same_content(br#"{"id":"a","status":"final"}"#, br#"{"id":"a"}"#));
        assert!(!is_same_content(b"", b""));
    }
}
