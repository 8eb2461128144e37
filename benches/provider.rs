//! The resource provider over HTTP with 10 000 connectors stored, on SQLite and on
//! PostgreSQL, with their default promises to the disk.
//!
//! ```text
//! provider [--json] [--store sqlite|postgres] [--seconds N]
//! ```
//!
//! *Reads* are GETs of connectors, *writes* PUTs that change one: the resource and
//! its operation in one transaction. Eight clients ask, one request each at a time.
//! The yardstick of reads is a route of the same server framework that answers a
//! body of the same size from memory, to the same clients; that of writes are
//! transactions of the same store that change one resource. Nobody carries out what
//! is accepted: that is a matter of Azure's speed, not of ours.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arm::desired::{Against, Desired, Rules};
use arm::{ApiVersion, Body, ResourceId, Route};
use axum::Router;
use futures::future::join_all;
use jiff::Timestamp;
use reqwest::Client;
use resource_provider::api::{Api, ApiSettings, Limits};
use resource_provider::documents::{ResourceDocument, SubscriptionDocument};
use resource_provider::enqueue::{Request, new_id, operation};
use resource_provider::lifecycle;
use resource_provider::local::{LocalIdentities, LocalKeys, NamedFhirServices};
use resource_provider::store::{Enqueued, Store};
use tokio::runtime::Runtime;

#[path = "../crates/resource-provider/tests/store/places.rs"]
#[allow(dead_code, reason = "most of it is for tests")]
mod places;

const CONNECTORS: usize = 10_000;
/// As many as a workspace may have.
const CONNECTORS_OF_WORKSPACE: usize = 10;
/// As many as a subscription may have.
const WORKSPACES_OF_SUBSCRIPTION: usize = 10;
const CLIENTS: usize = 8;
const VERSION: &str = "2024-03-31";

fn main() -> ExitCode {
    benches::end_with(run())
}

fn run() -> Result<(), String> {
    let (mut json, mut stores, mut seconds) = (false, vec!["sqlite", "postgres"], 10);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            "--store" => {
                let named = words.next().unwrap_or_default();
                stores.retain(|store| *store == named);
                if stores.is_empty() {
                    return Err("--store needs sqlite or postgres".to_owned());
                }
            }
            "--seconds" => {
                let number = words.next().and_then(|word| word.parse().ok());
                seconds = number.ok_or("--seconds needs a whole number")?;
            }
            // Cargo's own.
            "--bench" => {}
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    let runtime = Runtime::new().map_err(|error| format!("the runtime: {error}"))?;
    if !json {
        println!("{CONNECTORS} connectors stored, {CLIENTS} clients; a second, and milliseconds for half and for 99 %");
    }
    for store in stores {
        let figures = runtime.block_on(measure(store, Duration::from_secs(seconds)))?;
        for (what, Figure { a_second, median, p99 }) in figures {
            if json {
                println!(
                    r#"{{"store":"{store}","what":"{what}","perSecond":{a_second:.0},"medianMs":{median:.2},"p99Ms":{p99:.2}}}"#
                );
            } else {
                println!("{store:9} {what:16} {a_second:7.0}/s   {median:7.2}   {p99:7.2}");
            }
        }
    }
    Ok(())
}

/// How fast something is.
struct Figure {
    a_second: f64,
    /// In milliseconds.
    median: f64,
    /// In milliseconds.
    p99: f64,
}

async fn measure(kind: &str, time: Duration) -> Result<[(&'static str, Figure); 4], String> {
    let folder = tempfile::tempdir().map_err(|error| format!("a folder: {error}"))?;
    let server = match kind {
        "postgres" => Some(places::Postgres::start_with("").ok_or("PostgreSQL is not there")?),
        _ => None,
    };
    let url = match &server {
        Some(server) => server.url.clone(),
        None => format!("sqlite://{}", folder.path().join("store.db").display()),
    };
    let failed = |error: resource_provider::store::StoreError| format!("the store: {}", delivery_chain(&error));
    let store = Store::open(&url).await.map_err(failed)?;
    let paths = Box::pin(fill(&store)).await.map_err(failed)?;
    let settings = ApiSettings { limits: Limits::default(), ..ApiSettings::default() };
    let api = Api {
        store: store.clone(),
        settings: Arc::new(settings),
        fhir_services: Arc::new(NamedFhirServices::default()),
        identities: Some(Arc::new(LocalIdentities)),
        keys: Arc::new(LocalKeys::of_host("devices.example")),
    };
    let base = serve(api.router()).await?;
    let client = Client::new();
    let at = |number: usize| format!("{base}{}?api-version={VERSION}", paths[number]);
    let sample = client.get(at(0)).send().await.map_err(|error| format!("a read: {error}"))?;
    let sample = sample.text().await.map_err(|error| format!("a read: {error}"))?;
    let plain = serve(Router::new().fallback(move || async move { sample })).await?;

    let read = async |number: usize| get(&client, &at(number * 7919 % CONNECTORS)).await;
    let read_plain = async |_: usize| get(&client, &plain).await;
    // Each once: afterwards it has an operation, and is refused.
    let half = CONNECTORS / 2;
    let write = async |number: usize| {
        let request = client.put(at(number % half)).header("content-type", "application/json");
        let answer = request.body(body("another")).send().await.map_err(|error| format!("a write: {error}"))?;
        if answer.status() == 200 && answer.headers().contains_key("azure-asyncoperation") {
            return Ok(());
        }
        Err(format!("a write: {}", answer.status()))
    };
    let ids: Vec<ResourceId> = paths.iter().map(|path| id(path)).collect();
    let commit = async |number: usize| {
        let mut transaction = store.begin().await.map_err(failed)?;
        let resource = &ids[half + number % half];
        let mut document = transaction.resource(resource).await.map_err(failed)?.ok_or("it is gone")?;
        transaction.update_resource(&mut document).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    };
    Ok([
        ("reads", clients(time, usize::MAX, read).await?),
        ("plain reads", clients(time, usize::MAX, read_plain).await?),
        ("writes", clients(time, half, write).await?),
        ("transactions", clients(time, usize::MAX, commit).await?),
    ])
}

fn delivery_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn get(client: &Client, url: &str) -> Result<(), String> {
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let answer = answer.map_err(|error| format!("a read: {error}"))?;
    answer.bytes().await.map(|_| ()).map_err(|error| format!("a read: {error}"))
}

/// Has clients act for a time, each once at a time and no more than `most` in all.
async fn clients(
    time: Duration,
    most: usize,
    act: impl AsyncFn(usize) -> Result<(), String>,
) -> Result<Figure, String> {
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let one = async || {
        let mut took = Vec::new();
        while start.elapsed() < time {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= most {
                break;
            }
            let since = Instant::now();
            act(number).await?;
            took.push(since.elapsed());
        }
        Ok::<_, String>(took)
    };
    let mut took = Vec::new();
    for client in join_all((0..CLIENTS).map(|_| one())).await {
        took.extend(client?);
    }
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0);
    Ok(Figure { a_second: took.len() as f64 / seconds, median: at(50), p99: at(99) })
}

async fn serve(router: Router) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("a port: {error}");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

fn body(hub: &str) -> String {
    let template = r#"{"templateType":"JsonPathContent","template":{"typeName":"heartrate",
        "typeMatchExpression":"$..[?(@heartrate)]","deviceIdExpression":"$.deviceid",
        "timestampExpression":"$.measurementdatetime",
        "values":[{"required":"true","valueExpression":"$.heartrate","valueName":"hr"}]}}"#;
    // Eight kinds of measurements are what a monitor sends.
    let templates = [template; 8].join(",");
    format!(
        r#"{{"location":"westus2","identity":{{"type":"SystemAssigned"}},"properties":{{
            "ingestionEndpointConfiguration":{{"eventHubName":"{hub}","fullyQualifiedEventHubNamespace":"a.b"}},
            "deviceMapping":{{"content":{{"templateType":"CollectionContent","template":[{templates}]}}}}}}}}"#
    )
}

fn id(path: &str) -> ResourceId {
    match Route::of_path(path) {
        Ok(Route::Resource(id)) => id,
        other => panic!("{path}: {other:?}"),
    }
}

/// Stores everything as it is when it has been made; the paths of the connectors.
async fn fill(store: &Store) -> Result<Vec<String>, resource_provider::store::StoreError> {
    let version = *ApiVersion::all().last().expect("there are versions");
    let body = Body::read(body("telemetry").as_bytes()).expect("a body");
    let rules = Rules::default();
    let against = Against { rules: &rules, version, parent_location: None, before: None };
    let (now, mut paths) = (Timestamp::now(), Vec::new());
    let workspaces = CONNECTORS / CONNECTORS_OF_WORKSPACE;
    let registered: SubscriptionDocument = serde_json::from_str(r#"{"state":"Registered"}"#).expect("a subscription");
    for number in 0..workspaces {
        let subscription = format!("00000000-0000-4000-8000-{:012}", number / WORKSPACES_OF_SUBSCRIPTION);
        let mut transaction = store.begin().await?;
        lifecycle::put(&mut transaction, &subscription, &registered, now).await?;
        let path = format!(
            "/subscriptions/{subscription}/resourceGroups/rg1/providers/Microsoft.HealthcareApis/workspaces/ws{number}"
        );
        let mut make = async |path: &str, parent: Option<&ResourceDocument>| {
            let id = id(path);
            let desired = Desired::read(&id, &body, against).expect("what is wanted");
            let mut document = ResourceDocument::new(new_id(), &id, parent, desired);
            let mut done = operation(&document, arm::operation::OperationKind::Provision, &Request::ours(now));
            done.provisioning_status = arm::operation::OperationStatus::Succeeded;
            document.current_operation_id = Some(done.id.clone());
            document.mark_good();
            transaction.insert_resource(&mut document).await?;
            transaction.insert_operation(&done, Enqueued { queue: document.id.as_str(), at: now }).await?;
            transaction.end_operation(&done, now + resource_provider::enqueue::REMEMBERED).await?;
            Ok::<_, resource_provider::store::StoreError>(document)
        };
        let workspace = make(&path, None).await?;
        for connector in 0..CONNECTORS_OF_WORKSPACE {
            let path = format!("{path}/iotconnectors/iot{connector}");
            make(&path, Some(&workspace)).await?;
            paths.push(path);
        }
        transaction.commit().await?;
    }
    Ok(paths)
}
