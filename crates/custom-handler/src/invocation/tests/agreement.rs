//! The one pass and the general way read the same.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use delivery::BatchEvent;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Invocation, compact};

/// Whether the one pass took the request; if so, both ways gave the same.
#[track_caller]
fn is_taken(request: &[u8]) -> bool {
    let mut one_pass = Invocation::default();
    if compact::read(request, &mut one_pass).is_none() {
        return false;
    }
    let mut general = Invocation::default();
    assert!(general.read_any(request).is_ok(), "the general way refuses {}", String::from_utf8_lossy(request));
    assert_eq!(contents(&one_pass), contents(&general), "for {}", String::from_utf8_lossy(request));
    true
}

/// All that delivery is given.
fn contents(invocation: &Invocation) -> String {
    let batch = invocation.batch();
    let event = |event: &BatchEvent<'_>| {
        let BatchEvent { body, properties, system_properties, sequence_number, enqueued_time } = event;
        format!("{body:?} {properties:?} {system_properties:?} {sequence_number:?} {enqueued_time:?}\n")
    };
    format!("{:?}\n{}", batch.source, batch.events.iter().map(event).collect::<String>())
}

/// An event as the host describes it.
#[derive(Clone, Debug)]
struct Event {
    body: Vec<u8>,
    sequence_number: i64,
    time: String,
    properties: Value,
    system_properties: Value,
}

/// The request in the host's form.
fn request(events: &[Event]) -> String {
    let list = |of: &dyn Fn(&Event) -> Value| Value::from(events.iter().map(of).collect::<Vec<_>>()).to_string();
    let context = json!({ "PartitionId": "0", "EventHubName": "devicedata" });
    let data = list(&|event| BASE64_STANDARD.encode(&event.body).into());
    let metadata = json!({
        "TriggerPartitionContext": context, "PartitionContext": context,
        "OffsetArray": list(&|event| event.sequence_number.to_string().into()),
        "SequenceNumberArray": list(&|event| event.sequence_number.into()),
        "EnqueuedTimeUtcArray": list(&|event| event.time.clone().into()),
        "PropertiesArray": list(&|event| event.properties.clone()),
        "SystemPropertiesArray": list(&|event| event.system_properties.clone()),
        "sys": { "MethodName": "normalize" }
    });
    format!("{{\"Data\":{},\"Metadata\":{metadata}}}", json!({ "events": data }))
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1000..1000_i64).prop_map(|number| json!(number as f64 / 8.0)),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("{\"scope\":\"device\",\"path\":\"a\\\\b\"}")),
        Just(json!("2026-11-20T12:00:00.5")),
        any::<String>().prop_map(Value::from),
    ]
}

fn any_properties() -> impl Strategy<Value = Value> {
    let names =
        ["SequenceNumber", "Offset", "OffsetString", "PartitionKey", "EnqueuedTimeUtc", "iothub-x", "größe", "a\"b"];
    proptest::collection::vec((proptest::sample::select(names.to_vec()), any_scalar()), 0..7).prop_map(|members| {
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let times = prop_oneof![Just("2026-11-20T12:00:00.123"), Just("2026-11-20T12:00:00Z"), Just("soon")];
    (any::<Vec<u8>>(), any::<i64>(), times, any_properties(), any_properties()).prop_map(
        |(body, sequence_number, time, properties, system_properties)| Event {
            body,
            sequence_number: sequence_number >> (sequence_number & 63),
            time: time.to_owned(),
            properties,
            system_properties,
        },
    )
}

fn plain(body: &[u8]) -> Event {
    Event {
        body: body.to_vec(),
        sequence_number: 41,
        time: "2026-11-20T12:00:00.123".to_owned(),
        properties: json!({ "source": "sim", "text": "{\"scope\":\"device\"}" }),
        system_properties: json!({
            "iothub-connection-device-id": "d", "SequenceNumber": 41, "Offset": "4200", "OffsetString": "4200",
            "PartitionKey": null, "EnqueuedTimeUtc": "2026-11-20T12:00:00.123"
        }),
    }
}

#[test]
fn the_host_s_form_is_read_in_one_pass() {
    assert!(is_taken(request(&[plain(b"{\"deviceId\":\"d1\",\"hr\":71}"), plain(b""), plain(b"hello")]).as_bytes()));
}

#[test]
fn other_forms_are_left_to_the_general_way() {
    let good = request(&[plain(b"hello"), plain(b"world")]);
    let changes = [
        ("\"Metadata\":", "\"Metadata\": "),
        ("\"events\":", "\"ev\\u0065nts\":"),
        ("aGVsbG8=", "aGVsbG9="),
        ("aGVsbG8=", "aGVsbG8"),
        ("aGVsbG8=", "aGVs!G8="),
        ("[41,41]", "[41]"),
        ("[41,41]", "[41,41,41]"),
        ("[41,41]", "[41,041]"),
        ("[41,41]", "[41,-0]"),
        ("[41,41]", "[41,4.0]"),
        ("[41,41]", "[41,9999999999999999999]"),
        ("\"SequenceNumberArray\":", "\"SequenceNumberArray\":\"[41,41]\",\"SequenceNumberArray\":"),
        ("\"SequenceNumberArray\":", "\"SequenceNumber\":\"41\",\"SequenceNumberArray\":"),
        ("\"PropertiesArray\":", "\"Properties\":"),
        ("\\\"sim\\\"", "[\\\"sim\\\"]"),
        ("\\\"sim\\\"", "\\\"s\\u0069m\\\""),
        ("\\\"sim\\\"", "\\\"s\tm\\\""),
        ("}}", "}} "),
        ("}}", "}}}"),
    ];
    for (from, to) in changes {
        assert!(good.contains(from), "{from}");
        assert!(!is_taken(good.replacen(from, to, 1).as_bytes()), "{from} to {to}");
    }
}

proptest! {
    #[test]
    fn both_ways_agree(events in proptest::collection::vec(any_event(), 1..4)) {
        is_taken(request(&events).as_bytes());
    }

    /// What the host sends, whatever the bodies.
    #[test]
    fn takes_all_bodies(bodies in proptest::collection::vec(any::<Vec<u8>>(), 1..4)) {
        let events: Vec<Event> = bodies.iter().map(|body| plain(body)).collect();
        prop_assert!(is_taken(request(&events).as_bytes()));
    }

    /// Bytes of a good request changed anywhere: what is still taken reads the same.
    #[test]
    fn both_ways_agree_on_what_is_nearly_right(
        at in any::<proptest::sample::Index>(),
        cut in 0..3_usize,
        by in proptest::sample::select(b"\"\\{}[],:0-.eZ =/n\xc3".to_vec()),
    ) {
        let mut request = request(&[plain(b"hello"), plain(b"{}")]).into_bytes();
        let at = at.index(request.len());
        let end = (at + cut).min(request.len());
        request.splice(at..end, [by]);
        is_taken(&request);
    }

    #[test]
    fn never_panics(request in any::<Vec<u8>>()) {
        let _ = Invocation::read(&request);
    }
}
