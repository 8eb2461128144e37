//! Each fault, seen from both sides.

use local::fhir_server::{FhirServer, FhirServerConfig, Personality};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use super::*;
use crate::fhir::Fhir;
use crate::poll::until;

const LIMIT: Duration = Duration::from_secs(30);

/// A server, a proxy in front of it, and a client of both.
struct Setup {
    proxy: Proxy,
    behind: Fhir,
    http: Client,
    _server: FhirServer,
    _runtime: Runtime,
}

fn setup() -> Setup {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(FhirServer::start(FhirServerConfig::new(Personality::Uuid))).unwrap();
    let http = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    Setup {
        proxy: Proxy::start(server.url()),
        behind: Fhir::new(server.url()),
        http,
        _server: server,
        _runtime: runtime,
    }
}

fn observation(id: &str) -> Value {
    let code = json!({ "coding": [{ "system": "s", "code": "c" }] });
    json!({ "resourceType": "Observation", "id": id, "status": "final", "issued": "2020-11-01T12:00:00Z", "code": code })
}

impl Setup {
    /// Writes two Observations in one bundle; gives the status, or none when
    /// there is no answer.
    fn write(&self) -> Option<u16> {
        let entry = |id: &str| {
            let request = json!({ "method": "PUT", "url": format!("Observation/{id}"), "ifNoneMatch": "*" });
            json!({ "resource": observation(id), "request": request })
        };
        let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": [entry("a"), entry("b")] });
        let post = self.http.post(&self.proxy.url).header("content-type", "application/fhir+json");
        post.body(bundle.to_string()).send().ok().map(|answer| answer.status().as_u16())
    }

    fn stored(&self) -> Vec<String> {
        self.behind.observations().into_keys().collect()
    }
}

#[test]
fn says_what_a_client_sees_and_what_the_server_does() {
    let half = Some(504);
    let cases: [(&str, Fault, Option<u16>, &[&str]); 6] = [
        ("cut", Fault::Cut, None, &[]),
        ("busy", Fault::Answer { status: 429, retry_after: Some(0) }, Some(429), &[]),
        ("refused entries", Fault::AnswerEntries(412), Some(200), &[]),
        ("a lost answer", Fault::LoseAnswer, None, &["a", "b"]),
        ("half", Fault::Half(half), half, &["a"]),
        ("half and cut", Fault::Half(None), None, &["a"]),
    ];
    for (name, fault, answer, stored) in cases {
        let setup = setup();
        let injected = setup.proxy.inject(Rule::new(fault, Of::Bundles).times(1));
        assert_eq!(setup.write(), answer, "{name}");
        assert_eq!(setup.stored(), stored, "{name}");
        assert_eq!(injected.count(), 1, "{name}");
        assert_eq!(setup.write(), Some(200), "{name}: once only");
        assert_eq!(setup.stored(), ["a", "b"], "{name}: once only");
        assert_eq!(setup.proxy.counts(), Counts { requests: 2, entries: 4, observation_writes: 4 }, "{name}");
    }
}

#[test]
fn holds_a_request_before_or_behind_the_server() {
    for (fault, stored) in [(Fault::HoldRequest, &[][..]), (Fault::HoldAnswer, &["a", "b"][..])] {
        let setup = setup();
        let held = setup.proxy.inject(Rule::new(fault, Of::Creates));
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| setup.write());
            held.wait(1, LIMIT);
            assert_eq!(setup.stored(), stored);
            assert!(!writing.is_finished());
            held.release();
            assert_eq!(writing.join().unwrap(), Some(200));
        });
        assert_eq!(setup.stored(), ["a", "b"]);
    }
}

#[test]
fn lets_something_happen_meanwhile_and_tells_when_that_fails() {
    let setup = setup();
    let other = setup.behind.clone();
    setup.proxy.inject(Rule::new(Fault::Forward, Of::Writes).after(move |_| {
        other.put_all(&[observation("c")]);
        panic!("afterwards");
    }));
    assert_eq!(setup.write(), Some(200));
    assert_eq!(setup.stored(), ["a", "b", "c"]);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| setup.proxy.check())).is_err());
}

#[test]
fn counts_who_does_not_wait() {
    let setup = setup();
    setup.proxy.inject(Rule::new(Fault::Answer { status: 429, retry_after: Some(7) }, Of::Writes).times(1));
    let asked = Instant::now();
    assert_eq!((setup.write(), setup.proxy.impatient()), (Some(429), 0));
    until("what was on its way has come", LIMIT, || (asked.elapsed() > ON_THE_WAY * 3 / 2).then_some(()));
    assert_eq!((setup.write(), setup.proxy.impatient()), (Some(200), 1));
    until("the time is over", LIMIT, || (asked.elapsed() > Duration::from_secs(8)).then_some(()));
    assert_eq!((setup.write(), setup.proxy.impatient()), (Some(200), 1));
}

#[test]
fn refuses_the_tokens_of_before() {
    let setup = setup();
    let get = |token: &str| {
        let request = setup.http.get(format!("{}/metadata", setup.proxy.url)).bearer_auth(token);
        request.send().unwrap().status().as_u16()
    };
    assert_eq!(get("one"), 200);
    setup.proxy.expire_tokens();
    assert_eq!((get("one"), get("two"), setup.write(), setup.proxy.refused_tokens()), (401, 200, Some(401), 2));
}
