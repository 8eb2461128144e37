//! Many requests in few round trips: FHIR batch bundles.
//!
//! ```text
//! requests --cut--> bundles --POST--> answers, one for each request, in their order
//! ```
//!
//! A strict server refuses a whole bundle because of one entry
//! (crates-and-components.md 6), so a refused bundle is halved until the bad
//! entry stands alone, and what stands alone is sent as the request it is: its
//! own answer counts. A server that knows no batches gets single requests.
//! Entries that are answered with 429 or 5xx are sent again like requests.

use std::borrow::Cow;
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt, join_all};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::bundle_size::named_limit;
use super::retry::Backoff;
use super::suspect::is_suspicious;
use super::{Answer, Client, Condition, Request, ServerAway, Until, is_about_data};
use crate::version::Version;

/// No server refuses so few bytes: a 413 is then about the entries.
const BYTES_ALL_TAKE: usize = 256 * 1024;

/// What came back for the requests of a batch.
pub(crate) struct BatchAnswers {
    /// For each request its answer; none where the server was away.
    pub(crate) answers: Vec<Option<Answer>>,
    /// For each request without an answer whether it may have been done, or what
    /// it was made from may be old: then that is to be looked at again.
    pub(crate) outdated: Vec<bool>,
    /// Why the first of the missing answers is missing.
    pub(crate) away: Option<ServerAway>,
}

impl BatchAnswers {
    fn none(requests: &[Request], away: Option<ServerAway>) -> BatchAnswers {
        // They were sent together.
        let outdated = away.as_ref().is_some_and(|away| requests.iter().any(|request| request.is_outdated_by(away)));
        BatchAnswers { answers: vec![None; requests.len()], outdated: vec![outdated; requests.len()], away }
    }

    fn one(request: &Request, result: Result<Answer, ServerAway>) -> BatchAnswers {
        match result {
            Ok(answer) => BatchAnswers::all(vec![answer]),
            Err(away) => BatchAnswers::none(std::slice::from_ref(request), Some(away)),
        }
    }

    fn all(answers: Vec<Answer>) -> BatchAnswers {
        let outdated = vec![false; answers.len()];
        BatchAnswers { answers: answers.into_iter().map(Some).collect(), outdated, away: None }
    }

    fn joined(parts: impl IntoIterator<Item = BatchAnswers>) -> BatchAnswers {
        let mut all = BatchAnswers::none(&[], None);
        for part in parts {
            all.answers.extend(part.answers);
            all.outdated.extend(part.outdated);
            all.away = all.away.or(part.away);
        }
        all
    }
}

/// What came of sending one bundle.
enum BundleOutcome {
    /// An answer for each entry, about the data or not.
    Answers(Vec<Answer>),
    /// The server takes no bundle, or not this one.
    Refused {
        status: u16,
        /// The most entries that it takes, if it says so.
        limit: Option<usize>,
    },
    Away(ServerAway),
}

impl Client {
    /// Sends `requests`, whatever their number, in as few round trips as the
    /// server bears. The order in which they take effect is not defined, so no
    /// two may be about the same resource.
    pub(crate) async fn batch<'f>(&self, requests: &[Request], until: impl Into<Until<'f>>) -> BatchAnswers {
        let until = until.into();
        let parts = cut(requests, self.bundle_size.now(), self.bundle_size.bytes());
        BatchAnswers::joined(join_all(parts.into_iter().map(|part| self.batch_part(part, until))).await)
    }

    /// Sends what fits into one bundle. Boxed, since halving calls it again.
    fn batch_part<'c>(&'c self, requests: &'c [Request], until: Until<'c>) -> BoxFuture<'c, BatchAnswers> {
        async move {
            if let [request] = requests {
                return BatchAnswers::one(request, self.send(request, until).await);
            }
            match self.send_bundle(requests, until).await {
                BundleOutcome::Answers(answers) => self.resend(requests, answers, until).await,
                BundleOutcome::Refused { status, limit } => {
                    if matches!(status, 404 | 405 | 501) {
                        if self.bundle_size.was_taken() {
                            // It knows batches; something else answers now.
                            let away = ServerAway::Status { status, retry_after: None };
                            return BatchAnswers::none(requests, Some(away));
                        }
                        self.bundle_size.single();
                        return self.batch(requests, until).await;
                    }
                    let size = limit.unwrap_or(requests.len().div_ceil(2));
                    let parts = cut(requests, size, usize::MAX);
                    let parts = parts.into_iter().map(|part| self.batch_part(part, until));
                    let joined = BatchAnswers::joined(join_all(parts).await);
                    if joined.away.is_none() && !joined.has_refused() {
                        // No entry was bad: the bundle as such was, or its size.
                        match requests.len() {
                            _ if status == 413 && limit.is_none() && bytes(requests) > BYTES_ALL_TAKE => {
                                self.bundle_size.limit_bytes(bytes(requests) / 2);
                            }
                            2 => self.bundle_size.single(),
                            _ => self.bundle_size.limit_entries(size),
                        }
                    }
                    joined
                }
                BundleOutcome::Away(away) => {
                    // Perhaps the bundle took too long; the next one is smaller.
                    self.bundle_size.shrink(requests.len());
                    BatchAnswers::none(requests, Some(away))
                }
            }
        }
        .boxed()
    }

    async fn send_bundle(&self, requests: &[Request], until: Until<'_>) -> BundleOutcome {
        let mut request = self.request(Method::POST, "", None);
        request.minimal = requests.iter().any(|request| request.minimal);
        request.writes = requests.iter().any(Request::is_write);
        request.once = requests.iter().any(|request| request.once);
        request.creates = requests.iter().any(|request| request.creates);
        request.body = Some(bundle(requests));
        let answer = match self.send(&request, until).await {
            Ok(answer) => answer,
            Err(away) => return BundleOutcome::Away(away),
        };
        if !answer.is_success() {
            let limit = named_limit(&answer.body, requests.len());
            return BundleOutcome::Refused { status: answer.status, limit };
        }
        match entries(&answer) {
            Some(answers) if answers.len() == requests.len() => {
                self.bundle_size.grow();
                for (request, answer) in requests.iter().zip(&answers) {
                    self.suspects.answered(request, answer.status, answer.asked);
                }
                BundleOutcome::Answers(answers)
            }
            // What it did of the writes nobody knows.
            Some(_) if request.once => BundleOutcome::Away(ServerAway::NotFhir),
            Some(_) => BundleOutcome::Refused { status: answer.status, limit: None },
            None => BundleOutcome::Away(ServerAway::NotFhir),
        }
    }

    /// Settles what is still `open` after all tries: each is an answer about the
    /// data, or the server is away for it.
    async fn judge_all(
        &self,
        requests: &[Request],
        mut all: BatchAnswers,
        open: Vec<(usize, Answer)>,
        until: Until<'_>,
    ) -> BatchAnswers {
        let judged = open.into_iter().map(|(index, answer)| async move {
            match is_suspicious(answer.status) {
                true => (index, self.judge(&requests[index], answer.status, until).await),
                false => (index, Err(answer.away())),
            }
        });
        for (index, result) in join_all(judged).await {
            match result {
                Ok(answer) => all.answers[index] = Some(answer),
                Err(away) => {
                    all.outdated[index] = requests[index].is_outdated_by(&away);
                    all.away = all.away.or(Some(away));
                }
            }
        }
        all
    }

    /// Sends again what was answered with 429, 5xx and the like inside of a
    /// bundle, as long as there is time.
    async fn resend(&self, requests: &[Request], answers: Vec<Answer>, until: Until<'_>) -> BatchAnswers {
        let mut backoff = Backoff::new(self.options().retry, self.clock());
        let mut all = BatchAnswers::all(answers);
        loop {
            let open = all.take_open(requests);
            let Some((_, answer)) = open.first() else { return all };
            if open.iter().any(|(_, answer)| matches!(answer.status, 429 | 503)) {
                self.limiter.complaint(self.clock.now());
            }
            let away = answer.away();
            let wait = if away.is_worth_retrying() { backoff.next(None) } else { None };
            let Some(wait) = wait.filter(|wait| self.clock.now() + *wait < until.deadline) else {
                return self.judge_all(requests, all, open, until).await;
            };
            self.sleep(wait).await;
            let again: Vec<Request> = open.iter().map(|(index, _)| requests[*index].clone()).collect();
            let outcome = match again.as_slice() {
                [request] => self.send(request, until).await.map(|answer| vec![answer]),
                _ => match self.send_bundle(&again, until).await {
                    BundleOutcome::Answers(answers) => Ok(answers),
                    BundleOutcome::Refused { status, .. } => Err(ServerAway::Status { status, retry_after: None }),
                    BundleOutcome::Away(away) => Err(away),
                },
            };
            match outcome {
                Ok(answers) => {
                    for ((index, _), answer) in open.iter().zip(answers) {
                        all.answers[*index] = Some(answer);
                    }
                }
                Err(away) => {
                    open.iter().for_each(|(index, _)| all.outdated[*index] = requests[*index].is_outdated_by(&away));
                    all.away = Some(away);
                    return all;
                }
            }
        }
    }
}

impl BatchAnswers {
    /// Whether a request was refused for what it holds.
    fn has_refused(&self) -> bool {
        let is_bad = |status| matches!(status, 400 | 413 | 415 | 422) || is_suspicious(status);
        self.answers.iter().flatten().any(|answer| is_bad(answer.status))
    }

    /// Takes out the answers that are not about the data, and gives those whose
    /// requests are to be sent again, with their places.
    fn take_open(&mut self, requests: &[Request]) -> Vec<(usize, Answer)> {
        let mut open = Vec::new();
        for (index, slot) in self.answers.iter_mut().enumerate() {
            let Some(answer) = slot.take_if(|answer| !is_about_data(answer.status)) else { continue };
            let away = answer.away();
            if requests[index].is_outdated_by(&away) {
                self.outdated[index] = true;
                self.away.get_or_insert(away);
            } else {
                open.push((index, answer));
            }
        }
        open
    }
}

/// The bytes of the resources.
fn bytes(requests: &[Request]) -> usize {
    requests.iter().filter_map(|request| request.body.as_ref()).map(Vec::len).sum()
}

/// Cuts `requests` into parts of at most `entries_max`, and of at most
/// `bytes_max` unless one alone is larger.
fn cut(requests: &[Request], entries_max: usize, bytes_max: usize) -> Vec<&[Request]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, request) in requests.iter().enumerate() {
        let size = request.body.as_ref().map_or(0, Vec::len);
        if index > start && (index - start >= entries_max || bytes + size > bytes_max) {
            parts.push(&requests[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < requests.len() {
        parts.push(&requests[start..]);
    }
    parts
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryRequest<'r> {
    method: &'r str,
    url: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_match: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_none_match: Option<&'static str>,
}

/// The bundle, with the resources copied as they are.
fn bundle(requests: &[Request]) -> Vec<u8> {
    let bytes = requests.iter().map(|request| request.body.as_ref().map_or(0, Vec::len) + 256).sum();
    let mut bundle = Vec::with_capacity(bytes);
    bundle.extend_from_slice(br#"{"resourceType":"Bundle","type":"batch","entry":["#);
    for (index, request) in requests.iter().enumerate() {
        bundle.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        if let Some(body) = &request.body {
            bundle.extend_from_slice(br#""resource":"#);
            bundle.extend_from_slice(body);
            bundle.push(b',');
        }
        let entry = EntryRequest {
            method: request.method.as_str(),
            url: &request.relative,
            if_match: match &request.condition {
                Condition::Version(version) => Some(version.if_match()),
                _ => None,
            },
            if_none_match: (request.condition == Condition::Absent).then_some("*"),
        };
        bundle.extend_from_slice(br#""request":"#);
        bundle.extend_from_slice(serde_json::to_string(&entry).unwrap_or_default().as_bytes());
        bundle.push(b'}');
    }
    bundle.extend_from_slice(b"]}");
    bundle
}

#[derive(Deserialize)]
struct ResponseBundle<'b> {
    #[serde(borrow, default)]
    entry: Vec<ResponseEntry<'b>>,
}

#[derive(Deserialize)]
struct ResponseEntry<'b> {
    #[serde(borrow)]
    resource: Option<&'b RawValue>,
    #[serde(borrow)]
    response: Response<'b>,
}

#[derive(Deserialize)]
struct Response<'b> {
    #[serde(borrow)]
    status: Cow<'b, str>,
    #[serde(borrow)]
    etag: Option<Cow<'b, str>>,
    #[serde(borrow)]
    location: Option<Cow<'b, str>>,
}

/// The answers in a batch-response bundle; none when it is not one.
fn entries(answer: &Answer) -> Option<Vec<Answer>> {
    let bundle: ResponseBundle<'_> = serde_json::from_slice(&answer.body).ok()?;
    bundle.entry.into_iter().map(|entry| entry.into_answer(answer.asked)).collect()
}

impl ResponseEntry<'_> {
    fn into_answer(self, asked: Instant) -> Option<Answer> {
        // "201 Created", or the number alone.
        let status = self.response.status.trim().get(..3)?.parse().ok()?;
        let from_etag = self.response.etag.as_deref().and_then(Version::from_etag);
        let version = from_etag.or_else(|| self.response.location.as_deref().and_then(Version::from_location));
        let body = self.resource.map(|resource| resource.get().as_bytes().to_vec()).unwrap_or_default();
        Some(Answer { status, version, body, asked })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientOptions, base_url};
    use super::*;

    fn client() -> Client {
        Client::new(ClientOptions::new(base_url("http://h/fhir").unwrap()), None).unwrap()
    }

    #[test]
    fn writes_entries_with_their_conditions() {
        let client = client();
        let mut put = client.request(Method::PUT, "Observation/a", None);
        put.body = Some(br#"{"id":"a"}"#.to_vec());
        put.condition = Condition::Version(Version::from_etag("2").unwrap());
        let mut create = client.request(Method::PUT, "Observation/b", None);
        create.body = Some(br#"{"id":"b"}"#.to_vec());
        create.condition = Condition::Absent;
        let get = client.request(Method::GET, "Patient", Some("identifier=a%7Cb"));
        let text = String::from_utf8(bundle(&[put, create, get])).unwrap();
        let expected = concat!(
            r#"{"resourceType":"Bundle","type":"batch","entry":["#,
            r#"{"resource":{"id":"a"},"request":{"method":"PUT","url":"Observation/a","ifMatch":"W/\"2\""}},"#,
            r#"{"resource":{"id":"b"},"request":{"method":"PUT","url":"Observation/b","ifNoneMatch":"*"}},"#,
            r#"{"request":{"method":"GET","url":"Patient?identifier=a%7Cb"}}]}"#,
        );
        assert_eq!(text, expected);
    }

    fn answer(body: &[u8]) -> Answer {
        Answer { status: 200, version: None, body: body.to_vec(), asked: Instant::now() }
    }

    #[test]
    fn reads_entries_of_all_servers() {
        let body = br#"{"resourceType":"Bundle","type":"batch-response","entry":[
            {"resource":{"a":1},"response":{"status":"200 OK","etag":"W/\"2\""}},
            {"response":{"status":"201","location":"Observation/a/_history/1"}},
            {"response":{"status":"404 Not Found","outcome":{"resourceType":"OperationOutcome"}}}
        ]}"#;
        let answers = entries(&answer(body)).unwrap();
        let summary: Vec<_> = answers
            .iter()
            .map(|a| format!("{} {} {}", a.status, a.version.as_ref().map_or("-", Version::as_str), a.body.len()))
            .collect();
        assert_eq!(summary, ["200 2 7", "201 1 0", "404 - 0"]);
        assert!(entries(&answer(b"<html>")).is_none());
    }

    #[test]
    fn cuts_by_entries_and_by_bytes() {
        let client = client();
        let with = |bytes: usize| {
            let mut request = client.request(Method::PUT, "Observation/a", None);
            request.body = Some(vec![b' '; bytes]);
            request
        };
        let lengths = |requests: &[Request], entries, bytes| -> Vec<usize> {
            cut(requests, entries, bytes).into_iter().map(<[Request]>::len).collect()
        };
        let five: Vec<_> = (0..5).map(|_| with(10)).collect();
        assert_eq!(lengths(&five, 2, 1000), [2, 2, 1]);
        assert_eq!(lengths(&five, 1, 1000), [1, 1, 1, 1, 1]);
        assert_eq!(lengths(&five, 100, 35), [3, 2]);
        assert_eq!(lengths(&[with(99), with(1)], 100, 35), [1, 1]);
        assert!(lengths(&[], 100, 35).is_empty());
    }
}
