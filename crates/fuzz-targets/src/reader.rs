//! The reader of events: its two passes against each other, what was written
//! against what was read, and all of it against serde_json.

use expressions::{Document, Kind, NodeId, ReadOptions, Scratch};
use serde_json::Value;

use crate::check_error;
use crate::document::node_json;

/// How deep a document may nest.
const DEPTH_MAX: usize = 64;

/// An input is a document.
pub fn reader(input: &[u8]) {
    for dates in [true, false] {
        let options = ReadOptions { dates, depth_max: DEPTH_MAX };
        let mut scratch = Scratch::default();
        let written = match scratch.read_value(input, options) {
            Ok(document) => {
                check_shape(document);
                Some(node_json(document, Document::ROOT))
            }
            Err(error) => {
                check_error(&error.to_string(), "");
                assert!(error.offset <= input.len() * 4, "an error beyond the end of the text");
                None
            }
        };
        check_lenient(input, options, written.as_deref());
        if let Some(written) = written {
            // A second time with the same memory, now from what was written.
            let again = scratch.read_value(written.as_bytes(), options).expect("what was written is read");
            assert_eq!(node_json(again, Document::ROOT), written, "what was written reads differently");
        }
    }
    check_serde(input);
}

/// A comment, which only the lenient pass takes, must not change what is read.
fn check_lenient(input: &[u8], options: ReadOptions, written: Option<&str>) {
    // The mark of an encoding would not stand first any more, and no text is null.
    if input.is_empty() || matches!(input[0], 0 | 0xef | 0xfe | 0xff) {
        return;
    }
    let text = [b"/**/", input].concat();
    let mut scratch = Scratch::default();
    let lenient = scratch.read_value(&text, options).ok().map(|document| node_json(document, Document::ROOT));
    assert_eq!(lenient.as_deref(), written, "the strict pass and the lenient one differ");
}

/// Walks a document by children and as a row, which must meet the same nodes.
fn check_shape(document: Document<'_>) {
    fn walk(document: Document<'_>, node: NodeId, depth: usize, met: &mut Vec<NodeId>) {
        assert!(depth <= DEPTH_MAX, "nests deeper than the limit");
        met.push(node);
        let is_array = document.kind(node) == Kind::Array;
        for (at, (name, child)) in document.children(node).enumerate() {
            if is_array && at < 4 {
                assert_eq!(document.element(node, at), Some(child));
            } else if !is_array {
                assert_eq!(document.member(node, name), Some(child), "a member that its name does not find");
                assert_ne!(document.name_set(node) & name.bit(), 0, "a name that its set does not have");
            }
            walk(document, child, depth + 1, met);
        }
    }
    let mut met = Vec::new();
    walk(document, Document::ROOT, 0, &mut met);
    let row: Vec<NodeId> = document.descendants(Document::ROOT).map(|(_, node)| node).collect();
    assert_eq!(&met[1..], row, "the row and the tree differ");
}

/// What serde_json reads, this has to read, and to the same values.
fn check_serde(input: &[u8]) {
    let Ok(theirs) = serde_json::from_slice::<Value>(input) else { return };
    if depth(&theirs) > DEPTH_MAX || longest_number(input) > 300 {
        return;
    }
    let mut scratch = Scratch::default();
    let options = ReadOptions { dates: false, depth_max: DEPTH_MAX };
    let document = scratch.read_value(input, options).expect("what serde_json reads is read");
    let written = node_json(document, Document::ROOT);
    let ours: Value = serde_json::from_str(&written).expect("what was written is JSON");
    assert!(is_same(&ours, &theirs), "not what serde_json reads: {ours} for {theirs}");
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Numbers have a length that the reference connector stops at.
fn longest_number(input: &[u8]) -> usize {
    input.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).max().unwrap_or_default()
}

/// Whether two doubles are the same but for what reading both of them with
/// serde_json can get wrong.
fn is_near(ours: Option<f64>, theirs: Option<f64>) -> bool {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return ours == theirs };
    ours == theirs || (ours - theirs).abs() <= ours.abs() * 1e-14
}

/// Equal, numbers by their value: `-0` is a float there and an integer here, and
/// without its feature `float_roundtrip` serde_json may read a double beside
/// the nearest one.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours == theirs || is_near(ours.as_f64(), theirs.as_f64()),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(name, ours)| theirs.get(name).is_some_and(|theirs| is_same(ours, theirs)))
        }
        (ours, theirs) => ours == theirs,
    }
}
