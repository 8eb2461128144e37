//! The same exercise on whole FHIR servers: our own in its three
//! personalities, and every server that `FHIR_TEST_URL` names, separated by
//! commas. `FHIR_TEST_AUTHORITY`, `FHIR_TEST_CLIENT_ID` and
//! `FHIR_TEST_CLIENT_SECRET` get a token for them where one is needed.

#![allow(clippy::unwrap_used)] // A test may fail by it.

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use delivery::{Reason, SaveOutcome, Unfenced};
use fhir_client::auth::{CachedTokens, ClientCredentials, TokenEndpoint};
use fhir_client::client::{Client, ClientOptions, base_url};
use fhir_client::identity::{IdentityOptions, Mode, Resolver, Subject};
use fhir_client::save::{Draft, SaveOptions, Saver, Window};
use futures::future::join_all;
use local::fhir_server::{FhirServer, FhirServerConfig, Personality, TokenClient};
use mapping::ResourceIds;
use mapping::observation::Observation;
use support::samples::{Samples, samples_of, words};

type Tokens = Option<Arc<CachedTokens>>;

/// A server, and names that nobody else uses on it.
struct Site {
    base: String,
    tokens: Tokens,
    run: u128,
}

impl Site {
    fn new(base: &str, tokens: Tokens) -> Site {
        let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        Site { base: base.to_owned(), tokens, run }
    }

    fn client(&self) -> Arc<Client> {
        let options = ClientOptions::new(base_url(&self.base).unwrap());
        Arc::new(Client::new(options, self.tokens.clone()).unwrap())
    }

    fn saver(&self) -> Saver {
        Saver::new(self.client(), SaveOptions { rounds_max: 50, ..SaveOptions::default() })
    }

    /// Creates devices `0..count` of one patient, all at once, twice over.
    async fn identities(&self, count: usize) -> Vec<ResourceIds> {
        // Not `\ , | $`: sekmet does not read FHIR's escapes.
        let patient = format!("patient #{} +1", self.run);
        let devices: Vec<String> = (0..count).map(|n| format!("device&{n}%{}", self.run)).collect();
        let subject = |device| Subject { device_id: device, patient_id: Some(&patient), encounter_id: None };
        let subjects: Vec<Subject<'_>> = devices.iter().map(|device| subject(device)).collect();
        let resolve = || async {
            let resolver = Resolver::new(self.client(), IdentityOptions::new(Mode::Create));
            let answers = resolver.resolve_all(&subjects, until(), &Unfenced).await.unwrap();
            answers.into_iter().map(|answer| answer.unwrap().ids).collect::<Vec<_>>()
        };
        let (created, at_once) = tokio::join!(resolve(), resolve());
        assert_eq!(created, at_once);
        // A lookup finds them a moment later, whatever the server caches.
        let lookup = Resolver::new(self.client(), IdentityOptions::new(Mode::Lookup));
        let found = lookup.resolve_all(&subjects, until(), &Unfenced).await.unwrap();
        assert_eq!(found.into_iter().map(|found| found.unwrap().ids).collect::<Vec<_>>(), created);
        created
    }

    async fn request(&self, method: reqwest::Method, path: &str) -> serde_json::Value {
        let mut request = reqwest::Client::new().request(method, format!("{}/{path}", self.base));
        if let Some(tokens) = &self.tokens {
            use secrecy::ExposeSecret;
            request = request.bearer_auth(tokens.token().await.unwrap().expose_secret());
        }
        request.send().await.unwrap().json().await.unwrap_or_default()
    }

    async fn data(&self, samples: &Samples) -> String {
        let stored = self.request(reqwest::Method::GET, &samples.path()).await;
        stored["valueSampledData"]["data"].as_str().unwrap_or_default().to_owned()
    }
}

fn until() -> std::time::Instant {
    std::time::Instant::now() + Duration::from_secs(120)
}

async fn save(saver: &Saver, drafts: &[Samples]) -> String {
    words(saver.save(drafts, Window::until(until())).await)
}

/// All that a connector does on a server.
async fn exercise(site: &Site) {
    let ids = site.identities(25).await;
    saves_a_window(site, &ids).await;
    meets_other_writers(site, &ids[0]).await;
    races(site, &ids).await;
    passes_bad_observations(site, &ids).await;
    respects_deletions(site, &ids[1]).await;
}

async fn saves_a_window(site: &Site, ids: &[ResourceIds]) {
    let client = site.client();
    let saver = Saver::new(client.clone(), SaveOptions::default());
    let window =
        |steps: &[(i64, &str)]| -> Vec<Samples> { ids.iter().map(|ids| samples_of(ids.clone(), steps)).collect() };
    for (steps, expected) in [
        (&[(0, "60"), (1, "61.50")][..], "created"),
        (&[(5, "65")], "merged"),
        (&[(1, "61.50"), (5, "65")], "unchanged"),
    ] {
        let saved = save(&saver, &window(steps)).await;
        assert!(saved.split(';').all(|word| word == expected), "{expected}: {saved}");
    }
    assert_eq!(client.round_trips(), 3, "one read, two writes");
    // What the server made of it, dates and numbers, is no change either.
    saver.clear_cache();
    let saved = save(&saver, &window(&[(5, "65")])).await;
    assert!(saved.split(';').all(|word| word == "unchanged"), "{saved}");
    assert_eq!(site.data(&window(&[])[3]).await, "60 61.50 E E E 65");
}

async fn meets_other_writers(site: &Site, ids: &ResourceIds) {
    let (ours, other) = (site.saver(), site.saver());
    let one = |step: i64, value: &str| [samples_of(ids.clone(), &[(step, value)])];
    assert_eq!(save(&ours, &one(2, "62")).await, "merged");
    assert_eq!(save(&other, &one(3, "63")).await, "merged");
    assert_eq!(save(&ours, &one(4, "64")).await, "merged", "what we remembered was old");
    assert_eq!(ours.counts().conflicts, 1);
    assert_eq!(site.data(&one(0, "")[0]).await, "60 61.50 62 63 64 65");
}

/// Six writers create one Observation at the same time, again and again; half
/// of them in a bundle with another.
async fn races(site: &Site, ids: &[ResourceIds]) {
    let mut met = 0;
    for (round, of_round) in ids.iter().enumerate().skip(2).take(8) {
        let hour = format!("race{round}");
        let writers: Vec<Saver> = (0..6).map(|_| site.saver()).collect();
        let writes = writers.iter().enumerate().map(|(step, saver)| {
            let (ids, hour) = (of_round.clone(), hour.clone());
            async move {
                let value = format!("6{step}");
                let ours = samples_of(ids.clone(), &[(step as i64, &value)]).named(&hour);
                let own = samples_of(ids, &[(0, "1")]).named(&format!("{hour}-{step}"));
                let drafts = [ours, own];
                save(saver, &drafts[..1 + step % 2]).await
            }
        });
        let outcomes = join_all(writes).await;
        assert!(outcomes.iter().all(|outcome| !outcome.contains("away")), "{outcomes:?}");
        let path = samples_of(of_round.clone(), &[]).named(&hour);
        assert_eq!(site.data(&path).await, "60 61 62 63 64 65", "round {round}, {outcomes:?}");
        met +=
            writers.iter().map(|saver| saver.counts()).map(|counts| counts.conflicts + counts.overwrites).sum::<u64>();
    }
    assert!(met > 0, "the writers never met");
}

/// Has an element that FHIR does not know.
struct Bogus(Samples);

impl Draft for Bogus {
    fn id(&self) -> &str {
        self.0.id()
    }
    fn identifier(&self) -> &str {
        self.0.identifier()
    }
    fn create(&self) -> Result<Observation, Reason> {
        let mut json = self.0.alone();
        if self.0.identifier.ends_with("bad") {
            json["bogus"] = serde_json::json!(1);
        }
        Ok(Observation::read(json.to_string().as_bytes()).unwrap())
    }
    fn merge(&self, existing: &Observation) -> Result<Option<Observation>, Reason> {
        self.0.merge(existing)
    }
    fn absorb(&self, existing: &Observation, lost: &Observation) -> Result<Option<Observation>, Reason> {
        self.0.absorb(existing, lost)
    }
}

async fn passes_bad_observations(site: &Site, ids: &[ResourceIds]) {
    let name = |n: usize| if n == 13 { "bad".to_owned() } else { format!("good{n}") };
    let drafts: Vec<Bogus> =
        ids.iter().enumerate().map(|(n, ids)| Bogus(samples_of(ids.clone(), &[(0, "60")]).named(&name(n)))).collect();
    let outcomes = site.saver().save(&drafts, Window::until(until())).await.unwrap();
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            SaveOutcome::Created => assert_ne!(n, 13),
            SaveOutcome::Rejected(reason) => assert_eq!((n, &*reason.code), (13, "ObservationRefused")),
            other => panic!("{n}: {other:?}"),
        }
    }
}

async fn respects_deletions(site: &Site, ids: &ResourceIds) {
    let ours = [samples_of(ids.clone(), &[(0, "70")]).named("deleted")];
    let saver = site.saver();
    assert_eq!(save(&saver, &ours).await, "created");
    site.request(reqwest::Method::DELETE, &ours[0].path()).await;
    let again = [samples_of(ids.clone(), &[(1, "71")]).named("deleted")];
    assert_eq!(save(&saver, &again).await, "ObservationDeleted", "what we remember is deleted");
    let options = SaveOptions { recreate_deleted: true, ..SaveOptions::default() };
    assert_eq!(save(&Saver::new(site.client(), options), &again).await, "created");
    assert_eq!(site.data(&ours[0]).await, "E 71 E E E E");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_server_in_every_personality() {
    for personality in [Personality::Hapi, Personality::Azure, Personality::Uuid] {
        let mut config = FhirServerConfig::new(personality);
        config.commit_time = Duration::from_millis(2);
        let token_client = TokenClient { id: "iot".into(), secret: "s3cret".into(), lifetime: Duration::from_secs(60) };
        config.token_client = Some(token_client);
        let server = FhirServer::start(config).await.unwrap();
        let endpoint = TokenEndpoint::from_authority(&server.token_url()).unwrap();
        let credentials = ClientCredentials::new(endpoint, "iot", "s3cret".to_owned().into()).unwrap();
        let tokens = Arc::new(CachedTokens::new(Arc::new(credentials), ""));
        exercise(&Site::new(server.url(), Some(tokens))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_named_by_fhir_test_url() {
    let Ok(urls) = std::env::var("FHIR_TEST_URL") else {
        println!("FHIR_TEST_URL is not set: no other FHIR server was tried");
        return;
    };
    let given = |name: &str| std::env::var(name).unwrap_or_default();
    let tokens = std::env::var("FHIR_TEST_AUTHORITY").ok().map(|authority| {
        let endpoint = TokenEndpoint::from_authority(&authority).unwrap();
        let secret = given("FHIR_TEST_CLIENT_SECRET").into();
        let credentials = ClientCredentials::new(endpoint, given("FHIR_TEST_CLIENT_ID"), secret).unwrap();
        Arc::new(CachedTokens::new(Arc::new(credentials), given("FHIR_TEST_SCOPE")))
    });
    for url in urls.split(',') {
        println!("exercising a FHIR server named by FHIR_TEST_URL");
        exercise(&Site::new(url.trim(), tokens.clone())).await;
    }
}
