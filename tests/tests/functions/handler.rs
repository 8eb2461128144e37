//! The handler binaries, with a test in the place of the Functions host.

use std::process::Command;
use std::time::{Duration, Instant};

use end_to_end::process::{Running, free_port};
use reqwest::blocking::Client;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);
/// The host asks again and again from the start (functions-eventhubs-keda.md 1.4).
const FIRST_ANSWER_LIMIT: Duration = Duration::from_millis(100);

/// The settings of a function. Nothing that they name is there.
fn settings(function: &str) -> Vec<(&'static str, String)> {
    let nowhere = free_port();
    let mut settings = vec![("DeadLetters__Folder", "/nonexistent/dead-letters".to_owned())];
    settings.extend(match function {
        "normalize" => vec![
            ("Template__DeviceContent", "/nonexistent/devicecontent.json".to_owned()),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
            ("NormalizationEventHub__EventHubName", "normalizeddata".to_owned()),
            ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
            ("NormalizationEventHub__CustomEndpoint", format!("amqp://127.0.0.1:{nowhere}")),
            ("Ingest__Token", "s3cret".to_owned()),
        ],
        _ => vec![
            ("Template__FhirMapping", "/nonexistent/fhirmapping.json".to_owned()),
            ("FhirService__Url", format!("http://127.0.0.1:{nowhere}/fhir")),
            ("ResourceIdentity__ResourceIdentityServiceType", "Create".to_owned()),
        ],
    });
    settings
}

fn handler(function: &str, settings: &[(&str, String)]) -> Running {
    let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "stack").join(function));
    Running::start(function, command.env_clear().envs(settings.iter().map(|(name, value)| (name, value))))
}

/// A handler that answers, its address, and how long that took.
fn ready(function: &str) -> (Running, String, Duration) {
    ready_with(function, settings(function))
}

pub(super) fn ready_with(function: &str, mut settings: Vec<(&str, String)>) -> (Running, String, Duration) {
    let port = free_port();
    settings.push(("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()));
    let address = format!("http://127.0.0.1:{port}");
    let client = Client::builder().no_proxy().build().unwrap();
    let start = Instant::now();
    let mut handler = handler(function, &settings);
    while client.get(&address).send().is_err() {
        handler.check_running();
        assert!(start.elapsed() < LIMIT, "{function} does not answer:\n{}", handler.printed());
    }
    (handler, address, start.elapsed())
}

#[test]
fn answers_before_anything_else_is_there() {
    for function in ["normalize", "group-convert"] {
        // One of many is enough: others are at work on this machine.
        let took: Vec<_> = (0..30).map(|_| ready(function).2).take_while(|took| *took >= FIRST_ANSWER_LIMIT).collect();
        assert!(took.len() < 30, "{function} answered after {took:?}");
    }
}

/// An invocation of two events, as the host makes it.
fn invocation() -> Value {
    let context = json!({
        "IsCheckpointingAfterInvocation": true, "FullyQualifiedNamespace": "localhost", "EventHubName": "devicedata",
        "ConsumerGroup": "$Default", "PartitionId": "0",
    });
    json!({
        "Data": { "events": "[\"e30=\",\"e30=\"]" },
        "Metadata": {
            "TriggerPartitionContext": context,
            "PartitionContext": context,
            "PartitionKeyArray": "[null,null]",
            "OffsetArray": "[\"0\",\"1\"]",
            "SequenceNumberArray": "[0,1]",
            "EnqueuedTimeUtcArray": "[\"2026-11-20T12:00:00.123\",\"2026-11-20T12:00:00.456\"]",
            "PropertiesArray": "[{},{}]",
            "SystemPropertiesArray": "[{},{}]",
        },
    })
}

#[test]
fn a_batch_that_cannot_be_read_whole_is_given_back() {
    for function in ["normalize", "group-convert"] {
        let (handler, address, _) = ready(function);
        let client = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        let post = |body: &Value| {
            let answer = client.post(format!("{address}/{function}")).body(body.to_string()).send().unwrap();
            (answer.status().as_u16(), answer.text().unwrap())
        };
        for array in ["PropertiesArray", "SystemPropertiesArray", "SequenceNumberArray", "EnqueuedTimeUtcArray"] {
            let mut misaligned = invocation();
            misaligned["Metadata"][array] = json!("[{}]");
            let (status, text) = post(&misaligned);
            assert_eq!(status, 500, "{function} {array}");
            assert!(text.contains(array) || handler.printed().contains(array), "{function} {array}: {text}");
        }
        // Read, but nothing can be done with it: the mapping is away.
        let (status, text) = post(&invocation());
        assert_eq!(status, 500, "{function}: {text}");
    }
}

#[test]
fn bad_settings_are_named_all_at_once_and_no_secret() {
    let cases = [
        (
            "normalize",
            vec![("Compatibility__Profile", "old"), ("NormalizationEventHub__CustomEndpoint", "amqp://10.0.0.1:5672")],
            vec![
                "FUNCTIONS_CUSTOMHANDLER_PORT",
                "CheckpointStorage__BlobStorageContainerUri",
                "Template__DeviceContent",
                "DeadLetters__Folder",
                "Compatibility__Profile",
                "NormalizationEventHub__",
            ],
        ),
        (
            "group-convert",
            vec![
                ("Compatibility__Profile", "old"),
                ("FhirService__Url", "fhir"),
                ("FhirService__ClientSecret", "s3cret"),
                ("ResourceIdentity__ResourceIdentityServiceType", "Guess"),
            ],
            vec![
                "FUNCTIONS_CUSTOMHANDLER_PORT",
                "CheckpointStorage__BlobStorageContainerUri",
                "Template__FhirMapping",
                "DeadLetters__Folder",
                "Compatibility__Profile",
                "FhirService__Url",
                "ResourceIdentity__ResourceIdentityServiceType",
            ],
        ),
    ];
    for (function, bad, named) in cases {
        let mut settings = settings(function);
        settings.retain(|(name, _)| !name.starts_with("Template__") && *name != "DeadLetters__Folder");
        settings.retain(|(name, _)| bad.iter().all(|(changed, _)| changed != name));
        settings.extend(bad.into_iter().map(|(name, value)| (name, value.to_owned())));
        let mut handler = handler(function, &settings);
        let status = handler.wait(LIMIT);
        assert!(!status.success(), "{function}: {status}");
        let printed = handler.wait_for("says why", LIMIT, |out, error| {
            let printed = [out, error].concat().join("\n");
            printed.contains("not usable").then_some(printed)
        });
        let missing: Vec<_> = named.iter().filter(|name| !printed.contains(**name)).collect();
        assert!(missing.is_empty(), "{function} does not name {missing:?}:\n{printed}");
        assert!(!printed.contains("s3cret"), "{function}: {printed}");
    }
}
