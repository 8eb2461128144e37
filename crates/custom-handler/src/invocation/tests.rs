use serde_json::{Value, json};

use super::*;

/// An invocation as the host sends it, by the example of
/// functions-eventhubs-keda.md 1.10: arrays are JSON text within strings.
fn request(data: Value) -> Value {
    let context = json!({
        "IsCheckpointingAfterInvocation": true, "FullyQualifiedNamespace": "ns1.servicebus.windows.net",
        "EventHubName": "devicedata", "ConsumerGroup": "$Default", "PartitionId": "0"
    });
    json!({
        "Data": data,
        "Metadata": {
            "TriggerPartitionContext": context, "PartitionContext": context,
            "PartitionKeyArray": "[\"d1\",null]",
            "OffsetArray": "[\"4200\",\"4296\"]",
            "SequenceNumberArray": "[41,42]",
            "EnqueuedTimeUtcArray": "[\"2026-11-20T12:00:00.123\",\"2026-11-20T12:00:00.456\"]",
            "PropertiesArray": "[{\"source\":\"sim\"},{}]",
            "SystemPropertiesArray": "[{\"EnqueuedTimeUtc\":\"2026-11-20T12:00:00.123\",\"Offset\":\"4200\",\"OffsetString\":\"4200\",\"PartitionKey\":\"d1\",\"SequenceNumber\":41,\"iothub-connection-device-id\":\"d\"},{\"EnqueuedTimeUtc\":\"2026-11-20T12:00:00.456\",\"Offset\":\"4296\",\"OffsetString\":\"4296\",\"PartitionKey\":null,\"SequenceNumber\":42}]",
            "sys": { "MethodName": "normalize" }
        }
    })
}

fn summary(request: &Value) -> String {
    let invocation = match Invocation::read(request.to_string().as_bytes()) {
        Ok(invocation) => invocation,
        Err(error) => return format!("error: {error}"),
    };
    let batch = invocation.batch();
    let text = |properties| match properties {
        Properties::Json { text, .. } => text,
        Properties::Typed(_) => "typed",
    };
    let events = batch.events.iter().map(|event| {
        let mut time = String::new();
        event.enqueued_time.write_iso(&mut time);
        let sequence = event.sequence_number.unwrap_or(-1);
        format!(
            "{sequence} {time} {} {} {}",
            String::from_utf8_lossy(event.body),
            text(event.properties),
            text(event.system_properties)
        )
    });
    events.collect::<Vec<_>>().join("\n")
}

const FIRST: &str = "41 2026-11-20T12:00:00.123Z {\"deviceId\":\"d1\",\"hr\":71} {\"source\":\"sim\"} {\"x-opt-enqueued-time\":\"2026-11-20T12:00:00.123Z\",\"x-opt-offset\":\"4200\",\"x-opt-partition-key\":\"d1\",\"x-opt-sequence-number\":41,\"iothub-connection-device-id\":\"d\"}\n";
const SECOND: &str = "42 2026-11-20T12:00:00.456Z hello {} {\"x-opt-enqueued-time\":\"2026-11-20T12:00:00.456Z\",\"x-opt-offset\":\"4296\",\"x-opt-sequence-number\":42}";

#[test]
fn reads_many_events_as_bytes() {
    let encoded = "[\"eyJkZXZpY2VJZCI6ImQxIiwiaHIiOjcxfQ==\",\"aGVsbG8=\"]";
    assert_eq!(summary(&request(json!({ "events": encoded }))), format!("{FIRST}{SECOND}"));
}

#[test]
fn reads_many_events_as_text() {
    let encoded = "[\"{\\\"deviceId\\\":\\\"d1\\\",\\\"hr\\\":71}\",\"hello\"]";
    assert_eq!(summary(&request(json!({ "events": encoded }))), format!("{FIRST}{SECOND}"));
}

#[test]
fn reads_many_events_that_the_host_has_parsed() {
    let encoded = "[{\"deviceId\":\"d1\",\"hr\":71},\"hello\"]";
    assert_eq!(summary(&request(json!({ "events": encoded }))), format!("{FIRST}{SECOND}"));
}

#[test]
fn reads_arrays_that_are_not_encoded_twice() {
    let encoded = json!(["eyJkZXZpY2VJZCI6ImQxIiwiaHIiOjcxfQ==", "aGVsbG8="]);
    let mut request = request(json!({ "events": encoded }));
    for (name, value) in request["Metadata"].as_object_mut().expect("an object") {
        if name.ends_with("Array") {
            *value = serde_json::from_str(value.as_str().expect("text")).expect("JSON");
        }
    }
    assert_eq!(summary(&request), format!("{FIRST}{SECOND}"));
}

fn single(event: &str) -> Value {
    json!({
        "Data": { "event": event },
        "Metadata": {
            "PartitionContext": { "PartitionId": "3" },
            "Offset": "\"4200\"", "SequenceNumber": "41", "EnqueuedTimeUtc": "2026-11-20T12:00:00",
            "Properties": { "source": "sim" },
            "SystemProperties": { "SequenceNumber": 41, "EnqueuedTimeUtc": "2026-11-20T12:00:00.123" },
            "deviceId": "\"d1\"", "hr": "\"71\""
        }
    })
}

#[test]
fn reads_one_event() {
    let tail =
        "{\"source\":\"sim\"} {\"x-opt-enqueued-time\":\"2026-11-20T12:00:00.123Z\",\"x-opt-sequence-number\":41}";
    let cases = [
        ("text", "\"{\\\"deviceId\\\":\\\"d1\\\",\\\"hr\\\":71}\"", "{\"deviceId\":\"d1\",\"hr\":71}"),
        ("text that is not JSON", "\"hello\"", "hello"),
        ("bytes", "eyJkZXZpY2VJZCI6ImQxIiwiaHIiOjcxfQ==", "{\"deviceId\":\"d1\",\"hr\":71}"),
    ];
    for (name, event, body) in cases {
        assert_eq!(summary(&single(event)), format!("41 2026-11-20T12:00:00.123Z {body} {tail}"), "{name}");
    }
}

#[test]
fn refuses_metadata_that_does_not_fit_the_events() {
    let good = request(json!({ "events": "[\"aGVsbG8=\",\"aGVsbG8=\"]" }));
    for array in ["SequenceNumberArray", "EnqueuedTimeUtcArray", "PropertiesArray", "SystemPropertiesArray"] {
        let mut short = good.clone();
        let entries: Vec<Value> =
            serde_json::from_str(short["Metadata"][array].as_str().expect("text")).expect("an array");
        short["Metadata"][array] = json!(json!([entries[0]]).to_string());
        assert_eq!(summary(&short), format!("error: `{array}` has 1 entries for 2 events"));
    }
    for array in ["PropertiesArray", "SystemPropertiesArray"] {
        let mut missing = good.clone();
        missing["Metadata"].as_object_mut().expect("an object").remove(array);
        assert_eq!(summary(&missing), format!("error: `{array}` has 0 entries for 2 events"));
    }
}

#[test]
fn says_where_a_request_is_not_as_documented_and_quotes_nothing() {
    let not_json = Invocation::read(b"{\"Data\":{\"events\":\"[secret\"},\"Metadata\":{}}").map(|_| ());
    let error = not_json.map_err(|error| error.to_string());
    assert_eq!(error, Err("the invocation is not as documented: `Metadata` has no `PartitionContext`".to_owned()));
    let broken = summary(&request(json!({ "events": "[secret" })));
    assert_eq!(broken, "error: `Data` of the invocation is not JSON, line 1, column 2");
}

#[test]
fn reads_base64_with_the_escapes_of_other_writers() {
    let bodies = |elements: &str| {
        let request = request(json!({ "events": elements })).to_string();
        let invocation = Invocation::read(request.as_bytes()).expect("an invocation");
        invocation.batch().events.iter().map(|event| event.body.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(bodies(r#"["\/\/\/\u002B","+/+/"]"#), [vec![0xff, 0xff, 0xfe], vec![0xfb, 0xff, 0xbf]]);
    // One that is not base64 makes all of them text, and nothing of the ones before it stays.
    assert_eq!(bodies(r#"["aGVsbG8=","aGVs!"]"#), [b"aGVsbG8=".to_vec(), b"aGVs!".to_vec()]);
}

#[test]
fn shows_nothing_of_the_events_to_a_debugger() {
    const MARK: &str = "mark4711";
    let mut request = request(json!({ "events": json!([MARK, "{}"]).to_string() }));
    request["Metadata"]["PropertiesArray"] = json!(json!([{ "id": MARK }, {}]).to_string());
    let invocation = Invocation::read(request.to_string().as_bytes()).expect("an invocation");
    let shown = format!("{invocation:?} {:?}", invocation.batch());
    let bytes = format!("{:?}", MARK.as_bytes());
    assert!(!shown.contains(MARK) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    assert!(shown.contains("devicedata"), "{shown}");
}

mod agreement;
