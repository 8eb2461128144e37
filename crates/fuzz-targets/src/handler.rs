//! The decoder of the Functions host's invocations.

use custom_handler::Invocation;
use expressions::{Document, Event, Properties, ReadOptions, Scratch};

use crate::check_error;
use crate::document::node_json;

/// An input is the body of a request.
pub fn handler(input: &[u8]) {
    let invocation = match Invocation::read(input) {
        Ok(invocation) => invocation,
        Err(error) => {
            check_error(&error.to_string(), "");
            return;
        }
    };
    let batch = invocation.batch();
    let mut scratch = Scratch::default();
    for (index, event) in batch.events.iter().enumerate() {
        assert_eq!(batch.position(index).sequence_number, event.sequence_number);
        for properties in [event.properties, event.system_properties] {
            let Properties::Json { text, .. } = properties else { panic!("properties that are not JSON") };
            let read: Result<serde_json::Value, _> = serde_json::from_str(text);
            // Nesting and range are limits of that reader, not faults of the text.
            let is_limit = |error: &serde_json::Error| {
                let error = error.to_string();
                error.contains("recursion limit") || error.contains("out of range") || error.contains("surrogate")
            };
            assert!(read.is_ok() || read.is_err_and(|error| is_limit(&error)), "not JSON: {text}");
        }
        let content =
            Event { body: event.body, properties: event.properties, system_properties: event.system_properties };
        match scratch.read_event(&content, ReadOptions::default()) {
            Ok(document) => drop(node_json(document, Document::ROOT)),
            Err(error) => check_error(&error.to_string(), ""),
        }
    }
}
