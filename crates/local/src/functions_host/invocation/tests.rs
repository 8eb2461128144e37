//! The examples of functions-eventhubs-keda.md 1.9 and 1.10, byte for byte.

use super::*;

const PARTITION: &str = "{\"IsCheckpointingAfterInvocation\":true,\"FullyQualifiedNamespace\":\"ns1.servicebus.windows.net\",\
    \"EventHubName\":\"devicedata\",\"ConsumerGroup\":\"$Default\",\"PartitionId\":\"0\"}";

fn event(body: &str) -> HostEvent {
    HostEvent {
        sequence_number: 41,
        offset: "4200".to_owned(),
        // 2026-11-20T12:00:00.123Z
        enqueued_ms: 1_795_176_000_123,
        partition_key: Some("d1".to_owned()),
        body: body.as_bytes().to_vec(),
        properties: vec![("source".to_owned(), "sim".into())],
        system_properties: Vec::new(),
    }
}

fn second() -> HostEvent {
    HostEvent {
        sequence_number: 42,
        offset: "4296".to_owned(),
        enqueued_ms: 1_795_176_000_456,
        partition_key: None,
        properties: Vec::new(),
        ..event("hello")
    }
}

fn body(
    cardinality: Cardinality,
    data_type: DataType,
    events: &[HostEvent],
    retry: Option<RetryPolicy>,
) -> Result<String, NotBindable> {
    let binding = if cardinality == Cardinality::One { "event" } else { "events" };
    let trigger = EventHubTrigger {
        binding: binding.to_owned(),
        hub: "devicedata".to_owned(),
        consumer_group: "$Default".to_owned(),
        connection: "InputEventHub".to_owned(),
        cardinality,
        data_type,
    };
    let partition = PartitionKey {
        namespace: "ns1.servicebus.windows.net".to_owned(),
        hub: "devicedata".to_owned(),
        consumer_group: "$Default".to_owned(),
        partition: "0".to_owned(),
    };
    let invocation = Invocation {
        function: "normalize",
        trigger: &trigger,
        partition: &partition,
        is_checkpointing: true,
        events,
        retry,
    };
    invocation.body(0, false)
}

/// `Data` of a body.
fn data(body: &str) -> &str {
    let rest = body.strip_prefix("{\"Data\":").unwrap();
    rest.split_once(",\"Metadata\":").unwrap().0
}

/// `Metadata` of a body without `sys`, whose time and id change.
fn metadata_without_sys(body: &str) -> String {
    let (_, metadata) = body.split_once(",\"Metadata\":").unwrap();
    let (before, sys) = metadata.split_once(",\"sys\":{").unwrap();
    let (_, after) = sys.split_once('}').unwrap();
    format!("{before}{}", after.strip_suffix('}').unwrap())
}

const A: &str = r#"{"deviceId":"d1","hr":71}"#;
const C: &str = r#"{"deviceId":"d2","hr":64}"#;

#[test]
fn data_has_the_four_encodings() {
    let (one, many) = (Cardinality::One, Cardinality::Many);
    let both = [event(A), second()];
    let cases: [(&str, String); 5] = [
        (
            r#"{"event":"\"{\\\"deviceId\\\":\\\"d1\\\",\\\"hr\\\":71}\""}"#,
            body(one, DataType::Text, &both[..1], None).unwrap(),
        ),
        (r#"{"event":"eyJkZXZpY2VJZCI6ImQxIiwiaHIiOjcxfQ=="}"#, body(one, DataType::Binary, &both[..1], None).unwrap()),
        (
            r#"{"events":"[\"{\\\"deviceId\\\":\\\"d1\\\",\\\"hr\\\":71}\",\"hello\"]"}"#,
            body(many, DataType::Text, &both, None).unwrap(),
        ),
        (
            r#"{"events":"[\"eyJkZXZpY2VJZCI6ImQxIiwiaHIiOjcxfQ==\",\"aGVsbG8=\"]"}"#,
            body(many, DataType::Binary, &both, None).unwrap(),
        ),
        (
            r#"{"events":"[{\"deviceId\":\"d1\",\"hr\":71},{\"deviceId\":\"d2\",\"hr\":64}]"}"#,
            body(many, DataType::Unset, &[event(A), event(C)], None).unwrap(),
        ),
    ];
    for (expected, body) in cases {
        assert_eq!(data(&body), expected);
    }
}

#[test]
fn a_body_that_is_no_json_cannot_be_bound_to_objects() {
    let outcome = body(Cardinality::Many, DataType::Unset, &[event(A), second()], None);
    assert_eq!(outcome, Err(NotBindable { index: 1 }));
}

#[test]
fn metadata_of_many_holds_arrays_as_text() {
    let policy = [("strategy", "fixedDelay"), ("maxRetryCount", "5"), ("delayInterval", "00:00:01")];
    let policy = RetryPolicy::read("", |name| policy.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
    let body = body(Cardinality::Many, DataType::Binary, &[event(A), second()], policy.unwrap()).unwrap();
    let expected = format!(
        "{{\"TriggerPartitionContext\":{PARTITION},\"PartitionContext\":{PARTITION},{}",
        r#""PartitionKeyArray":"[\"d1\",null]","OffsetArray":"[\"4200\",\"4296\"]","OffsetStringArray":"[\"4200\",\"4296\"]","SequenceNumberArray":"[41,42]","EnqueuedTimeUtcArray":"[\"2026-11-20T12:00:00.123\",\"2026-11-20T12:00:00.456\"]","PropertiesArray":"[{\"source\":\"sim\"},{}]","SystemPropertiesArray":"[{\"SequenceNumber\":41,\"Offset\":\"4200\",\"OffsetString\":\"4200\",\"PartitionKey\":\"d1\",\"EnqueuedTimeUtc\":\"2026-11-20T12:00:00.123\"},{\"SequenceNumber\":42,\"Offset\":\"4296\",\"OffsetString\":\"4296\",\"PartitionKey\":null,\"EnqueuedTimeUtc\":\"2026-11-20T12:00:00.456\"}]","RetryContext":{"RetryCount":0,"MaxRetryCount":5,"Instance":null,"State":null,"Exception":null}}"#
    );
    assert_eq!(metadata_without_sys(&body), expected);
}

#[test]
fn metadata_of_one_has_the_bodys_members_too() {
    let body = body(Cardinality::One, DataType::Text, &[event(A)], None).unwrap();
    let expected = format!(
        "{{\"TriggerPartitionContext\":{PARTITION},\"PartitionContext\":{PARTITION},{}",
        r#""PartitionKey":"\"d1\"","Offset":"\"4200\"","OffsetString":"\"4200\"","SequenceNumber":"41","EnqueuedTimeUtc":"2026-11-20T12:00:00","Properties":{"source":"sim"},"SystemProperties":{"SequenceNumber":41,"Offset":"4200","OffsetString":"4200","PartitionKey":"d1","EnqueuedTimeUtc":"2026-11-20T12:00:00.123"},"deviceId":"\"d1\"","hr":"\"71\""}"#
    );
    assert_eq!(metadata_without_sys(&body), expected);
}

#[test]
fn a_body_hides_metadata_of_its_names() {
    let text = r#"{"properties":{"a":1},"offset":true,"list":[1],"gone":null}"#;
    let body = body(Cardinality::One, DataType::Text, &[event(text)], None).unwrap();
    let metadata: Value = serde_json::from_str::<Value>(&body).unwrap()["Metadata"].clone();
    assert_eq!(metadata["Properties"], serde_json::json!({ "a": 1 }));
    assert_eq!(metadata["Offset"], "\"True\"");
    assert!(metadata.get("list").is_none() && metadata.get("gone").is_none());
}

#[test]
fn sys_names_the_function_and_the_time() {
    let sys: Value = serde_json::from_str(&sys("normalize")).unwrap();
    assert_eq!(sys["MethodName"], "normalize");
    assert!(sys["UtcNow"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn strings_are_escaped_as_newtonsoft_does() {
    assert_eq!(quote("a\"\\/\u{1}\n\u{2028}é<"), r#""a\"\\/\u0001\n\u2028é<""#);
}
