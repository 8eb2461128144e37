//! The handler's process (functions-eventhubs-keda.md 1.2 to 1.5).

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use local::functions_host::{FunctionsHost, HostError, HostStopped};
use serde_json::{Value, json};

use crate::app::{App, function_json, host_json};

fn endless_retry() -> Value {
    function_json(json!({ "strategy": "fixedDelay", "maxRetryCount": -1, "delayInterval": "00:00:00.01" }))
}

#[tokio::test]
async fn the_handler_gets_the_hosts_environment_and_variables() {
    let mut app = App::new(endless_retry()).await;
    app.environment.insert("AzureWebJobs.other.Disabled".to_owned(), "1".to_owned());
    app.set("customHandler__description__arguments", r#"["--hub","%HUB%"]"#);
    let host = app.host().await;
    let about = app.control.started().await;
    let environment = &about["environment"];
    let root = app.root.path().canonicalize().unwrap();
    assert_eq!(environment["FUNCTIONS_APP_ROOT_PATH"], root.to_str().unwrap());
    assert_eq!(about["folder"], root.to_str().unwrap());
    assert_eq!(about["arguments"], json!(["--hub", "devicedata"]));
    assert_eq!(environment["FUNCTIONS_CUSTOMHANDLER_PORT"], environment["FUNCTIONS_HTTPWORKER_PORT"]);
    assert_eq!(environment["FUNCTIONS_CUSTOMHANDLER_WORKER_ID"].as_str().unwrap().len(), 36);
    assert_eq!(environment["AzureWebJobs.other.Disabled"], "1");
    // What the test's own process has and the host was not given.
    assert!(environment.get("CARGO_MANIFEST_DIR").is_none());
    host.stop().await;
    app.control.death().await;
}

#[tokio::test]
async fn invocations_wait_for_a_handler_that_starts_slowly() {
    let mut app = App::new(endless_retry()).await;
    app.source.add(0, &["a"]);
    let host = app.host().await;
    let start = app.control.start().await;
    assert!(!app.control.has_call());
    start.succeed();
    app.control.call().await.succeed();
    app.checkpoint().await;
    host.stop().await;
}

#[tokio::test]
async fn a_handler_that_is_not_ready_in_time_is_started_again_three_times_at_most() {
    let mut app = App::new(endless_retry()).await;
    app.set("customHandler__initializationTimeout", "00:00:03");
    let mut host = app.host().await;
    for _ in 0..3 {
        // Not answered, so that it never listens.
        let _start = app.control.start().await;
        app.control.death().await;
    }
    let reason = host.stopped().await;
    let expected = "the handler did not answer within `initializationTimeout`".to_owned();
    assert_eq!(reason, HostStopped::HandlerFails { last_error: expected });
    assert!(!app.control.has_start());
    host.stop().await;
}

#[tokio::test]
async fn a_crash_fails_the_try_and_the_third_stops_the_host() {
    let mut app = App::new(endless_retry()).await;
    app.source.add(0, &["a"]);
    let mut host = app.host().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        app.control.started().await;
        let call = app.control.call().await;
        ids.push(call.header("x-azure-functions-invocationid"));
        call.exit(7);
        app.control.death().await;
    }
    assert!(matches!(host.stopped().await, HostStopped::HandlerFails { last_error } if last_error.contains('7')));
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert!(!app.has_checkpoint() && !app.control.has_start());
    host.stop().await;
}

#[tokio::test]
async fn code_200_is_a_restart_that_does_not_count() {
    let mut app = App::new(endless_retry()).await;
    app.source.add(0, &["a"]);
    let host = app.host().await;
    for _ in 0..4 {
        app.control.started().await;
        app.control.call().await.exit(200);
        app.control.death().await;
    }
    app.control.started().await;
    app.control.call().await.succeed();
    app.checkpoint().await;
    host.stop().await;
}

#[tokio::test]
async fn code_0_is_the_end_and_later_invocations_fail() {
    let mut app = App::new(function_json(Value::Null)).await;
    app.set("extensions__eventHubs__maxEventBatchSize", "1");
    app.source.add(0, &["a", "b"]);
    let host = app.host().await;
    app.control.started().await;
    app.control.call().await.exit(0);
    app.control.death().await;
    assert_eq!([app.checkpoint().await.1, app.checkpoint().await.1], [0, 1]);
    assert!(!app.control.has_start() && !app.control.has_call());
    host.stop().await;
}

#[tokio::test]
async fn a_null_body_hangs_until_the_timeout_which_kills_the_handler() {
    let mut app = App::new(endless_retry()).await;
    app.set("functionTimeout", "00:00:03");
    app.source.add(0, &["a"]);
    let host = app.host().await;
    // More often than a handler may fail: a timeout is no error of it.
    for body in ["null", "", "null", " "] {
        app.control.started().await;
        app.control.call().await.answer(200, body);
        app.control.death().await;
        assert!(!app.has_checkpoint());
    }
    app.control.started().await;
    app.control.call().await.succeed();
    app.checkpoint().await;
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_is_killed_takes_its_handler_along() {
    let mut app = App::new(endless_retry()).await;
    let http = json!({ "bindings": [{ "type": "httpTrigger", "name": "req" }, { "type": "http", "name": "res" }] });
    app.write("work/function.json", &http);
    let mut host = Command::new(env!("CARGO_BIN_EXE_functions-host"))
        .arg(app.root.path())
        .arg(app.root.path().join("checkpoints"))
        .envs(&app.environment)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    app.control.started().await;
    let mut url = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("http://127.0.0.1:"));
    // SIGKILL on Unix.
    host.kill().unwrap();
    host.wait().unwrap();
    app.control.death().await;
}

#[tokio::test]
async fn an_app_that_cannot_run_says_why() {
    let mut app = App::new(endless_retry()).await;
    let error = |result: Result<FunctionsHost, HostError>| result.err().map(|error| error.to_string());
    app.environment.remove("HUB");
    let expected = "`%HUB%` in work/function.json does not resolve: there is no such app setting";
    assert_eq!(error(FunctionsHost::start(app.config()).await).as_deref(), Some(expected));

    let mut without_program = host_json();
    without_program["customHandler"]["description"] = json!({});
    app.write("host.json", &without_program);
    let expected =
        "`customHandler:description:defaultExecutablePath` of host.json is missing; expected the handler's program";
    assert_eq!(error(FunctionsHost::start(app.config()).await).as_deref(), Some(expected));

    std::fs::remove_file(app.root.path().join("host.json")).unwrap();
    assert!(error(FunctionsHost::start(app.config()).await).unwrap().starts_with("cannot read"));
}
