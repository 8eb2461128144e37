//! How large a bundle may be, and what is done when the server or the way to it
//! fails within one, against FHIR servers over HTTP.

#![allow(clippy::unwrap_used)] // A test may fail by it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fhir_client::client::{Client, ClientOptions, base_url};
use fhir_client::save::{SaveOptions, Saver, Window};
use local::fhir_server::{FhirServer, FhirServerConfig, Personality};
use support::samples::{Samples, samples, words};
use support::{AZURE, HAPI, Habits, SEKMET, Seen, UUID, outcome, soon, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn save(saver: &Saver, drafts: &[Samples]) -> String {
    words(saver.save(drafts, Window::until(soon())).await)
}

fn window(count: usize) -> Vec<Samples> {
    (0..count).map(|n| samples(&format!("d{n}"), &[(0, "60")])).collect()
}

fn entries(seen: &Seen) -> usize {
    seen.body["entry"].as_array().map_or(0, Vec::len)
}

fn all(word: &str, count: usize) -> String {
    vec![word; count].join(";")
}

/// Our own server says how many it takes.
#[tokio::test]
async fn learns_the_limit_that_the_server_names_and_keeps_to_it() {
    let mut config = FhirServerConfig::new(Personality::Azure);
    config.bundle_entries_max = 30;
    let server = FhirServer::start(config).await.unwrap();
    let client = Arc::new(Client::new(ClientOptions::new(base_url(server.url()).unwrap()), None).unwrap());
    let saver = Saver::new(client.clone(), SaveOptions { cache_bytes: 0, ..SaveOptions::default() });
    assert!(save(&saver, &window(90)).await.split(';').all(|word| word == "ReferenceNotFound" || word == "created"));
    let first = client.round_trips();
    save(&saver, &window(90)).await;
    // Three reads of 30, and three writes where there is something to write.
    assert!(client.round_trips() - first <= 6, "{first} and {}", client.round_trips());
}

#[tokio::test]
async fn halves_what_is_refused_without_a_number_once() {
    for status in [400, 413, 422] {
        let server = start(SEKMET).await;
        let refused = Arc::new(AtomicUsize::new(0));
        let count = refused.clone();
        server.before(move |_, seen| {
            let too_many = entries(seen) > 30;
            count.fetch_add(usize::from(too_many), Ordering::Relaxed);
            too_many.then(|| (status, vec![], outcome()))
        });
        let saver = Saver::new(server.client(), SaveOptions::default());
        assert_eq!(save(&saver, &window(100)).await, all("created", 100), "{status}");
        let first = refused.load(Ordering::Relaxed);
        for step in 1..6 {
            let more: Vec<_> = (0..100).map(|n| samples(&format!("d{n}"), &[(step, "60")])).collect();
            assert_eq!(save(&saver, &more).await, all("merged", 100));
        }
        assert_eq!(refused.load(Ordering::Relaxed), first, "{status}: it is remembered");
    }
}

/// A way to a server that breaks in the middle of its first answers that are
/// longer than this.
async fn breaks_answers(server: &str, longer_than: usize, times: usize) -> String {
    let target = server.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let left = Arc::new(AtomicUsize::new(times));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (target, left) = (target.clone(), left.clone());
            tokio::spawn(async move { pass_on(client, &target, longer_than, &left).await });
        }
    });
    format!("http://{address}/fhir")
}

async fn pass_on(mut client: TcpStream, target: &str, longer_than: usize, left: &AtomicUsize) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let forth = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let breaks = |left: usize| left.checked_sub(1);
            if read > longer_than && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, breaks).is_ok() {
                to_client.write_all(&buffer[..read / 2]).await?;
                return to_client.shutdown().await;
            }
            if read == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    tokio::select! { done = forth => done, done = back => done }
}

/// The server has written them all, and nobody hears of it.
#[tokio::test]
async fn half_an_answer_to_a_bundle_loses_and_doubles_nothing() {
    for habits in [HAPI, SEKMET, AZURE, UUID, Habits { keeps_if_none_match: false, ..UUID }] {
        let server = start(habits).await;
        let mut options = server.options();
        options.base_url = base_url(&breaks_answers(&server.base, 1000, 2).await).unwrap();
        let saver = Saver::new(Arc::new(Client::new(options, None).unwrap()), SaveOptions::default());
        let drafts = window(20);
        let saved = save(&saver, &drafts).await;
        assert!(saved.split(';').all(|word| ["created", "unchanged"].contains(&word)), "{habits:?} {saved}");
        for draft in &drafts {
            assert_eq!(server.get(&draft.path()), Some(draft.alone()), "{habits:?}");
        }
        let asked = server.requests().len();
        assert!(asked >= 4, "both the read and the write were broken: {asked}");
        let more: Vec<_> = (0..20).map(|n| samples(&format!("d{n}"), &[(3, "63")])).collect();
        assert_eq!(save(&saver, &more).await, all("merged", 20), "{habits:?}");
        assert_eq!(server.get(&more[7].path()).unwrap()["valueSampledData"]["data"], "60 E E 63 E E");
    }
}

/// A server that does not answer in time gets less at once.
#[tokio::test]
async fn a_timeout_is_a_complaint_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/fhir", listener.local_addr().unwrap());
    let mut options = ClientOptions::new(base_url(&url).unwrap());
    options.request_timeout = Duration::from_millis(20);
    options.retry.attempts_max = 1;
    let client = Arc::new(Client::new(options, None).unwrap());
    let before = client.concurrency();
    let saver = Saver::new(client.clone(), SaveOptions::default());
    assert!(save(&saver, &window(2)).await.contains("no answer from the FHIR server: timeout"));
    assert_eq!(client.concurrency(), before / 2);
}
