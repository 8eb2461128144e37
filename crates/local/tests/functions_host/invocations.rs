//! Batches, tries and checkpoints (functions-eventhubs-keda.md 2.3, 2.4).

use std::sync::Arc;

use local::functions_host::{Answered, Audience, FunctionsHost, FunctionsHostConfig};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::app::{App, MemoryCheckpoints, function_json};

fn fixed_delay(max_retry_count: i32, delay: &str) -> Value {
    function_json(json!({ "strategy": "fixedDelay", "maxRetryCount": max_retry_count, "delayInterval": delay }))
}

#[tokio::test]
async fn an_invocation_is_a_chunked_post_to_the_functions_name() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.source.add(1, &["a", "b"]);
    let host = app.host().await;
    app.control.started().await;
    let call = app.control.call().await;
    assert_eq!(call.path, "/work");
    assert_eq!(call.header("x-original-transfer-encoding"), "chunked");
    assert_eq!(call.header("x-original-content-length"), "");
    assert_eq!(call.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(call.header("user-agent"), "Azure-Functions-Host/4.1037.0.0");
    assert_eq!(call.header("x-azure-functions-hostversion"), "4.1037.0.0");
    assert_eq!(call.header("x-azure-functions-invocationid").len(), 36);
    assert_eq!(call.events(), ["a", "b"]);
    assert_eq!(call.metadata("SequenceNumberArray"), json!([0, 1]));
    assert_eq!(call.json()["Metadata"]["PartitionContext"]["EventHubName"], "devicedata");
    assert!(call.json()["Metadata"].get("RetryContext").is_none());
    assert!(!app.has_checkpoint());
    call.succeed();
    assert_eq!(app.checkpoint().await, ("1".to_owned(), 1));
    host.stop().await;
}

#[tokio::test]
async fn without_a_retry_policy_a_failed_batch_is_passed_by() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.set("extensions__eventHubs__maxEventBatchSize", "1");
    app.source.add(0, &["a", "b", "c", "d"]);
    let host = app.host().await;
    app.control.started().await;
    // A status, a body that is no object, one that is not called JSON.
    app.control.call().await.answer(500, "{}");
    assert_eq!(app.checkpoint().await.1, 0);
    app.control.call().await.answer(200, "[]");
    assert_eq!(app.checkpoint().await.1, 1);
    app.control.call().await.answer_with(200, "{}", vec![("content-type", "text/plain".to_owned())]);
    assert_eq!(app.checkpoint().await.1, 2);
    let last = app.control.call().await;
    assert_eq!(last.events(), ["d"]);
    last.answer(202, "{}");
    assert_eq!(app.checkpoint().await.1, 3);
    host.stop().await;
}

#[tokio::test]
async fn retries_have_one_id_and_a_rising_count_and_the_last_moves_the_checkpoint() {
    let mut app = App::new(fixed_delay(2, "00:00:00.01")).await;
    app.source.add(0, &["a"]);
    let host = app.host().await;
    app.control.started().await;
    let mut ids = Vec::new();
    for retries in 0..3 {
        let call = app.control.call().await;
        let context = call.json()["Metadata"]["RetryContext"].clone();
        assert_eq!((&context["RetryCount"], &context["MaxRetryCount"]), (&json!(retries), &json!(2)));
        assert_eq!(context["Exception"].is_null(), retries == 0);
        ids.push(call.header("x-azure-functions-invocationid"));
        assert!(!app.has_checkpoint());
        call.answer(503, "");
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(app.checkpoint().await, ("0".to_owned(), 0));
    host.stop().await;
}

#[tokio::test]
async fn a_batch_that_waits_for_its_next_try_is_not_checkpointed_by_a_stop() {
    let mut app = App::new(fixed_delay(-1, "00:10:00")).await;
    app.source.add(0, &["a"]);
    let host = app.host().await;
    app.control.started().await;
    app.control.call().await.answer(500, "");
    host.stop().await;
    app.control.death().await;
    assert!(!app.has_checkpoint());

    let host = app.host().await;
    app.control.started().await;
    let again = app.control.call().await;
    assert_eq!(again.events(), ["a"]);
    assert_eq!(again.json()["Metadata"]["RetryContext"]["RetryCount"], 0);
    again.succeed();
    assert_eq!(app.checkpoint().await.1, 0);
    host.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_batch_in_work_and_does_not_checkpoint_it() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.source.add(0, &["a"]);
    let host = app.host().await;
    app.control.started().await;
    let call = app.control.call().await;
    let stop = tokio::spawn(host.stop());
    // Lets the stop begin; it cannot end before the answer.
    tokio::task::yield_now().await;
    assert!(!stop.is_finished());
    call.succeed();
    stop.await.unwrap();
    app.control.death().await;
    assert!(!app.has_checkpoint());
}

#[tokio::test]
async fn partitions_work_side_by_side_and_each_in_order() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.set("extensions__eventHubs__maxEventBatchSize", "1");
    app.source.add(0, &["a0", "a1", "a2"]);
    app.source.add(1, &["b0"]);
    let host = app.host().await;
    app.control.started().await;
    let (first, second) = (app.control.call().await, app.control.call().await);
    let (a, b) = if first.events() == ["a0"] { (first, second) } else { (second, first) };
    assert_eq!((a.events(), b.events()), (vec!["a0".to_owned()], vec!["b0".to_owned()]));
    b.succeed();
    assert_eq!(app.checkpoint().await, ("1".to_owned(), 0));
    assert!(!app.control.has_call());
    a.succeed();
    for expected in ["a1", "a2"] {
        let call = app.control.call().await;
        assert_eq!(call.events(), [expected]);
        call.succeed();
    }
    let numbers = [app.checkpoint().await.1, app.checkpoint().await.1, app.checkpoint().await.1];
    assert_eq!(numbers, [0, 1, 2]);
    host.stop().await;
}

#[tokio::test]
async fn a_restarted_host_goes_on_behind_its_checkpoint() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.source.add(0, &["a"]);
    let host = app.host().await;
    app.control.started().await;
    app.control.call().await.succeed();
    app.checkpoint().await;
    host.stop().await;
    app.source.add(0, &["b"]);
    let host = app.host().await;
    app.control.started().await;
    let call = app.control.call().await;
    assert_eq!(call.events(), ["b"]);
    call.succeed();
    assert_eq!(app.checkpoint().await.1, 1);
    host.stop().await;
}

#[tokio::test]
async fn a_batch_is_filled_up_to_its_minimum_or_until_its_time_is_over() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.set("extensions__eventHubs__minEventBatchSize", "3");
    app.set("extensions__eventHubs__maxWaitTime", "00:10:00");
    app.source.add(0, &["a"]);
    let host = app.host().await;
    app.control.started().await;
    app.source.add(0, &["b", "c"]);
    let call = app.control.call().await;
    assert_eq!(call.events(), ["a", "b", "c"]);
    call.succeed();
    app.checkpoint().await;
    host.stop().await;

    app.set("extensions__eventHubs__maxWaitTime", "00:00:00.01");
    app.source.add(0, &["d"]);
    let host = app.host().await;
    app.control.started().await;
    let call = app.control.call().await;
    assert_eq!(call.events(), ["d"]);
    call.succeed();
    app.checkpoint().await;
    host.stop().await;
}

#[tokio::test]
async fn checkpoints_come_as_often_as_asked_for() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.set("extensions__eventHubs__maxEventBatchSize", "1");
    app.set("extensions__eventHubs__batchCheckpointFrequency", "2");
    app.source.add(0, &["a", "b", "c", "d"]);
    let host = app.host().await;
    app.control.started().await;
    for _ in 0..4 {
        app.control.call().await.succeed();
    }
    assert_eq!([app.checkpoint().await.1, app.checkpoint().await.1], [1, 3]);
    host.stop().await;
}

#[tokio::test]
async fn cardinality_one_hands_events_over_one_by_one() {
    let mut function = function_json(Value::Null);
    function["bindings"][0]["cardinality"] = json!("one");
    let mut app = App::new(function).await;
    app.source.add(0, &["a", "b"]);
    let host = app.host().await;
    app.control.started().await;
    for expected in ["\"a\"", "\"b\""] {
        let call = app.control.call().await;
        assert_eq!(call.json()["Data"]["events"], expected);
        assert!(!app.has_checkpoint());
        call.succeed();
    }
    // One checkpoint for what was received together.
    assert_eq!(app.checkpoint().await, ("0".to_owned(), 1));
    host.stop().await;
}

#[tokio::test]
async fn a_batch_that_cannot_be_bound_never_reaches_the_handler() {
    let mut function = function_json(Value::Null);
    function["bindings"][0]["dataType"] = json!("");
    let mut app = App::new(function).await;
    app.source.add(0, &["{}", "no json"]);
    let host = app.host().await;
    app.control.started().await;
    assert_eq!(app.checkpoint().await, ("0".to_owned(), 1));
    assert!(!app.control.has_call());
    host.stop().await;
}

/// Notes what it is told, and whether a position was stored by then.
#[derive(Debug)]
struct Told(mpsc::UnboundedSender<(Answered, bool)>, Arc<MemoryCheckpoints>);

impl Audience for Told {
    fn hear(&self, answered: Answered) {
        self.0.send((answered, !self.1.is_empty())).expect("the test listens");
    }
}

#[tokio::test]
async fn what_a_function_returns_is_told_to_who_asked_before_its_position_is_stored() {
    let app = App::new(fixed_delay(1, "00:00:00.01")).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let audience = Arc::new(Told(tell, app.checkpoints.clone()));
    let config = FunctionsHostConfig { answered: Some(audience), ..app.config() };
    app.source.add(1, &["a", "b"]);
    let host = FunctionsHost::start_with_source(config, Arc::new(app.source.clone())).await.unwrap();
    let mut control = app.control;
    control.started().await;
    // A try that fails is not an answer.
    control.call().await.answer(500, "");
    control.call().await.answer(200, r#"{"returnvalue":{"fates":[1,2]}}"#);
    let (answered, is_stored) = told.recv().await.unwrap();
    assert!(!is_stored);
    assert_eq!((answered.function.as_str(), answered.partition.as_str()), ("work", "1"));
    assert_eq!((answered.sequence_numbers, answered.return_value), (vec![0, 1], json!({ "fates": [1, 2] })));
    host.stop().await;
    assert!(told.recv().await.is_none());
}
