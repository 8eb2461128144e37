use std::time::Instant;

use custom_resources::{Fhir, FhirSpec};
use kube::runtime::events::{Recorder, Reporter};
use tokio::net::TcpListener;

use super::*;
use crate::chart::Charts;
use crate::heartbeat::{Heartbeats, STALLED_AFTER};
use crate::retry::Retries;

#[tokio::test]
async fn a_panic_of_one_task_ends_all() {
    let mut tasks = JoinSet::new();
    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    tasks.spawn(async move {
        let _held = held;
        std::future::pending().await
    });
    tasks.spawn(async { panic!("of the test") });
    let error = first_end(tasks, "Fhir").await;
    // The message of a panic may be made of values.
    assert_eq!(format!("{error:#}"), "a task for Fhir broke off: it panicked");
    assert!(dropped.await.is_err(), "the other task is gone");
}

fn scaler(metadata: &Value, status: &Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "w", "namespace": "ns1", "uid": "1", "generation": 1, "resourceVersion": "7"},
        "status": status,
    });
    let metadata = metadata.as_object().unwrap().clone();
    object["metadata"].as_object_mut().unwrap().extend(metadata);
    serde_json::from_value(object).unwrap()
}

#[test]
fn looks_at_a_scaler_when_there_is_something_to_see() {
    let ready = |status: &str, message: &str, active: &str| {
        let condition =
            |kind: &str, status: &str, message: &str| json!({"type": kind, "status": status, "message": message});
        json!({
            "lastActiveTime": active,
            "conditions": [condition("Ready", status, message), condition("Active", active, active)],
        })
    };
    let first = ready("True", "", "1");
    let mut seen = HashMap::new();
    let mut is_news_of = |metadata: Value, status: &Value| {
        let object = scaler(&metadata, status);
        is_news(&mut seen, &object, scaler_seen(&object))
    };
    let cases = [
        ("seen first", json!({}), first.clone(), true),
        ("the same", json!({"resourceVersion": "8"}), first.clone(), false),
        ("active at another time", json!({"resourceVersion": "9"}), ready("True", "", "2"), false),
        ("not ready", json!({}), ready("False", "no hub", "2"), true),
        ("for another reason", json!({}), ready("False", "no storage", "2"), true),
        ("another spec", json!({"generation": 2}), ready("False", "no storage", "2"), true),
        ("another label", json!({"generation": 2, "labels": {"a": "b"}}), ready("False", "no storage", "2"), true),
        ("another of that name", json!({"uid": "2"}), first.clone(), true),
        ("another namespace", json!({"uid": "2", "namespace": "ns2"}), first, true),
    ];
    for (name, metadata, status, expected) in cases {
        assert_eq!(is_news_of(metadata, &status), expected, "{name}");
    }
}

#[tokio::test]
async fn a_quiet_stream_comes_round() {
    let parts = Heartbeats::default();
    let heartbeat = parts.part("watch");
    let mut nothing = futures::stream::pending::<()>();
    let waiting = tokio::spawn(async move { next(&mut nothing, &heartbeat, Duration::from_millis(1)).await });
    // So late that only a beat from now on counts.
    let late = Instant::now() + STALLED_AFTER;
    let came_round = async {
        while !parts.look(late).1.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(RECONCILE_LIMIT, came_round).await.is_ok());
    waiting.abort();
}

#[tokio::test]
async fn an_api_server_that_never_answers_holds_no_place() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let context = Arc::new(Context {
        charts: Charts { helm: "/nonexistent".into(), folder: "/nonexistent".into(), kube_version: None },
        defaults: json!({}),
        lag: None,
        recorder: Recorder::new(client.clone(), Reporter { controller: OPERATOR.to_owned(), instance: None }),
        retries: Retries::default(),
        heartbeats: Heartbeats::default(),
        client,
    });
    let mut resource = Fhir::new("f1", FhirSpec::default());
    resource.metadata.namespace = Some("ns1".to_owned());
    let waiting = tokio::spawn(within(Duration::from_millis(500), Arc::new(resource), context));
    // It was asked, and so it is its answer that is waited for.
    let _asked = silent.accept().await.unwrap();
    let done = waiting.await.unwrap();
    assert!(matches!(done, Err(ReconcileError::TimedOut(_))), "{done:?}");
}
