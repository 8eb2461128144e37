//! What the fuzz targets do with an input: one function a target, which
//! panics when something does not hold.
//!
//! ```text
//! bytes --libfuzzer, or tests/replay.rs--> TARGETS[name] --> a panic, or nothing
//! ```
//!
//! The functions know no fuzzer, so that the ordinary tests replay the corpora
//! of `fuzz/corpus` through them. Most inputs have several parts, which
//! [`parts`] tells apart: an expression and the document that it runs over.
//!
//! Where a document holds [`MARK`], it stands for what is a patient's: no
//! error may quote it.

mod device_mapping;
mod document;
mod expression;
mod fhir_mapping;
mod handler;
mod reader;

pub use device_mapping::device_mapping;
pub use expression::{jmespath, jsonpath, rfc9535};
pub use fhir_mapping::fhir_mapping;
pub use handler::handler;
pub use reader::reader;

/// Does what it does with an input.
pub type Target = fn(&[u8]);

/// The targets by name, as `fuzz/fuzz_targets` and `fuzz/corpus` have them.
pub const TARGETS: [(&str, Target); 7] = [
    ("device_mapping", device_mapping),
    ("fhir_mapping", fhir_mapping),
    ("handler", handler),
    ("jmespath", jmespath),
    ("jsonpath", jsonpath),
    ("reader", reader),
    ("rfc9535", rfc9535),
];

/// Stands for a patient's data in a document.
pub const MARK: &str = "pat1ent";

/// Between the parts of an input.
const SEPARATOR: &[u8] = b"\n---\n";

/// The two parts of an input; without a separator the second is empty.
pub fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    match input.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        Some(at) => (&input[..at], &input[at + SEPARATOR.len()..]),
        None => (input, &[]),
    }
}

/// Panics when `error` quotes the mark; `program` is what may hold it and be
/// quoted.
#[track_caller]
fn check_error(error: &str, program: &str) {
    assert!(!error.is_empty(), "an error without a text");
    assert!(!error.contains(MARK) || program.contains(MARK), "an error quotes the document: {error}");
}
