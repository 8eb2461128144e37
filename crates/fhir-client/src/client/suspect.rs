//! Tells a request that makes the server fail from a server that fails.
//!
//! ```text
//! 500 to one request, after all its tries
//!   --> for the first time: the server counts as away, and the window is given again
//!   --> still, some time later: ask, send it once more, ask again
//!         the server works before and after, and fails on it in between  --> it is about the data
//!         anything else                                                  --> the server is away
//! ```
//!
//! A database that does not take what a text holds makes a server answer 500 to
//! one Observation for ever, and its partition would wait for ever with it
//! (design.md promise 4). A passing outage must reject nothing, though. So only
//! a request that stands alone is judged; the time between its first failure
//! and its rejection is longer than what restarts and failovers take; what
//! counts as working is the same kind of work, a write for a write; and when
//! many requests fail while no write of an Observation succeeds at all, the
//! time is twenty times as long. 502, 503 and 504 come from gateways and busy
//! servers and are never about the data.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use super::{Answer, Client, Request, ServerAway, Until, is_about_data};

/// The `Basic` resource that is written to see whether the server takes writes;
/// there is one on a server, and it is only there where this was needed.
const PROBE: &str = "iot-connector-probe";

/// So many requests may fail while nothing else is written, and each still be
/// taken for the culprit: a device that sends the same twice.
const FEW: usize = 3;

/// How many times the patience holds when it may as well be an outage.
const IN_DOUBT: u32 = 20;

/// A suspect that is not seen for so long is none any more.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Suspects that are remembered; the number only bounds memory.
const SUSPECTS_MAX: usize = 10_000;

/// What kind of work a request is for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Write,
    Read,
    Search,
}

/// What is known of requests that failed, and of work that succeeded.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    hasher: RandomState,
    state: Mutex<State>,
    /// Held while the server is asked whether it works: one of many asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By a hash of what was asked: that holds identifiers.
    suspects: HashMap<u64, Suspect>,
    /// When what last succeeded was sent, by the kind of work.
    worked: [Option<Instant>; 3],
    /// The same of our own questions.
    probed: [Option<Instant>; 3],
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    first: Instant,
    last: Instant,
    convicted: bool,
}

impl Work {
    /// The work that `request` is; of a bundle, that of its entries.
    pub(super) fn of(request: &Request) -> Work {
        match request.method {
            Method::GET if request.relative.contains('?') => Work::Search,
            Method::GET => Work::Read,
            _ if request.is_write() => Work::Write,
            _ => Work::Read,
        }
    }

    /// Whether a status says that the server did such work.
    fn is_done(self, status: u16) -> bool {
        // A read that finds nothing has looked.
        (200..300).contains(&status) || (self == Work::Read && matches!(status, 404 | 410))
    }
}

/// Whether a status may be the answer to what a request holds.
pub(super) fn is_suspicious(status: u16) -> bool {
    status == 500 || status > 504
}

impl Suspects {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, request: &Request) -> u64 {
        self.hasher.hash_one((request.method.as_str(), &request.relative))
    }

    /// Notes how `request`, sent at `asked`, was answered.
    pub(super) fn answered(&self, request: &Request, status: u16, asked: Instant) {
        let work = Work::of(request);
        let is_own = request.relative.contains(PROBE) || request.relative.starts_with("metadata");
        if is_own || !work.is_done(status) {
            return;
        }
        let key = self.key(request);
        let mut state = self.state();
        let worked = &mut state.worked[work as usize];
        *worked = (*worked).max(Some(asked));
        state.suspects.remove(&key);
    }

    /// Notes a failure of `request` and gives when it may be judged, with the
    /// `patience` that there is.
    fn failed(&self, request: &Request, now: Instant, patience: Duration) -> Instant {
        let key = self.key(request);
        let mut state = self.state();
        state.suspects.retain(|_, suspect| now.saturating_duration_since(suspect.last) < FORGET_AFTER);
        if state.suspects.len() >= SUSPECTS_MAX && !state.suspects.contains_key(&key) {
            return now + patience;
        }
        let suspect = state.suspects.entry(key).or_insert(Suspect { first: now, last: now, convicted: false });
        suspect.last = now;
        let suspect = *suspect;
        let others = state.suspects.values().filter(|suspect| !suspect.convicted).count();
        let worked = state.worked[Work::of(request) as usize].is_some_and(|at| at >= suspect.first);
        let in_doubt = others > FEW && !worked;
        suspect.first + if in_doubt { patience * IN_DOUBT } else { patience }
    }

    fn convict(&self, request: &Request) {
        let key = self.key(request);
        if let Some(suspect) = self.state().suspects.get_mut(&key) {
            suspect.convicted = true;
        }
    }

    /// Whether such work, sent at `since` or later, was done.
    fn works(&self, work: Work, since: Instant) -> bool {
        let state = self.state();
        let at = state.worked[work as usize].max(state.probed[work as usize]);
        at.is_some_and(|at| at >= since)
    }
}

impl Client {
    /// What `status`, the last answer to `request`, means: an answer about the
    /// data, or a server that is away.
    pub(super) async fn judge(&self, request: &Request, status: u16, until: Until<'_>) -> Result<Answer, ServerAway> {
        let now = self.clock.now();
        let work = Work::of(request);
        if request.is_bundle() {
            // It will be split, which rejects nothing by itself.
            self.prove_work(work, request, now, until).await?;
            return Ok(Answer { status, version: None, body: Vec::new(), asked: now });
        }
        let away = ServerAway::Status { status, retry_after: None };
        if now < self.suspects.failed(request, now, self.options.server_error_patience) {
            return Err(away);
        }
        self.prove_work(work, request, now, until).await?;
        let answer = self.exchange(request, until).await?.answer;
        if is_suspicious(answer.status) {
            self.prove_work(work, request, self.clock.now(), until).await?;
            self.suspects.convict(request);
            tracing::warn!(status, "The FHIR server fails on one request and works otherwise; the request is given up");
            return Ok(answer);
        }
        if is_about_data(answer.status) { Ok(answer) } else { Err(answer.away()) }
    }

    /// Succeeds when the server has done such work as `request` is, sent at
    /// `since` or later, or does it now.
    async fn prove_work(
        &self,
        work: Work,
        request: &Request,
        since: Instant,
        until: Until<'_>,
    ) -> Result<(), ServerAway> {
        if self.suspects.works(work, since) {
            return Ok(());
        }
        let _one = self.suspects.asking.lock().await;
        if self.suspects.works(work, since) {
            return Ok(());
        }
        let answer = self.exchange(&self.probe_of(work, request), until).await?.answer;
        if !work.is_done(answer.status) {
            return Err(answer.away());
        }
        let probed = &mut self.suspects.state().probed[work as usize];
        *probed = (*probed).max(Some(answer.asked));
        Ok(())
    }

    /// Such work as `request` is, with nothing in it that a server could mind.
    fn probe_of(&self, work: Work, request: &Request) -> Request {
        let kind = request.relative.split(['/', '?']).next().filter(|kind| !kind.is_empty()).unwrap_or("Observation");
        match work {
            Work::Search => self.request(Method::GET, kind, Some(&format!("identifier={PROBE}"))),
            Work::Read => self.request(Method::GET, &format!("{kind}/{PROBE}"), None),
            Work::Write => {
                let mut probe = self.request(Method::PUT, &format!("Basic/{PROBE}"), None);
                // Always other content: the same would not have to be written.
                let text = format!("Write probe of the IoT connector, {}", Timestamp::now());
                let body = json!({ "resourceType": "Basic", "id": PROBE, "code": { "text": text } });
                probe.body = Some(body.to_string().into_bytes());
                probe.minimal = true;
                probe
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientOptions, base_url};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn put(id: usize) -> Request {
        let client = Client::new(ClientOptions::new(base_url("http://h/fhir").unwrap()), None).unwrap();
        client.request(Method::PUT, &format!("Observation/{id}"), None)
    }

    /// After how many seconds request 0 may be judged, when so many others
    /// failed with it.
    fn judged_after(suspects: &Suspects, others: usize, start: Instant, now: u64) -> u64 {
        let now = start + Duration::from_secs(now);
        (1..=others).for_each(|id| _ = suspects.failed(&put(id), now, PATIENCE));
        suspects.failed(&put(0), now, PATIENCE).duration_since(start).as_secs()
    }

    #[test]
    fn the_patience_begins_with_the_first_failure() {
        let (suspects, start) = (Suspects::default(), Instant::now());
        assert_eq!(judged_after(&suspects, 2, start, 0), 30);
        assert_eq!(judged_after(&suspects, 2, start, 20), 30);
        // It was well in between: then it begins anew.
        suspects.answered(&put(0), 200, start);
        assert_eq!(judged_after(&suspects, 2, start, 40), 70);
        // It is long since anybody asked for it.
        assert_eq!(judged_after(&suspects, 0, start, 700), 730);
    }

    #[test]
    fn many_failures_without_any_success_are_waited_for_longer() {
        let (suspects, start) = (Suspects::default(), Instant::now());
        assert_eq!(judged_after(&suspects, 3, start, 0), 600);
        suspects.answered(&put(9), 404, start + Duration::from_secs(1));
        assert_eq!(judged_after(&suspects, 3, start, 2), 600, "nothing was written");
        suspects.answered(&put(9), 201, start + Duration::from_secs(1));
        assert_eq!(judged_after(&suspects, 3, start, 2), 30, "writes work");
        // Those that were given up say nothing about the others.
        let (suspects, start) = (Suspects::default(), Instant::now());
        judged_after(&suspects, 3, start, 0);
        (1..=3).for_each(|id| suspects.convict(&put(id)));
        assert_eq!(judged_after(&suspects, 0, start, 1), 30);
    }
}
