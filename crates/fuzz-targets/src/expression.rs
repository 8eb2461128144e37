//! Expressions: any text over any document, in each of the three languages.

use expressions::{Language, Scratch};

use crate::document::{compile, read, run};
use crate::parts;

/// JMESPath as the reference connector has it. An input is an expression, a
/// separator and a document.
pub fn jmespath(input: &[u8]) {
    over_document(input, Language::JmesPath);
}

/// JSONPath as Newtonsoft has it; inputs as for [`jmespath`].
pub fn jsonpath(input: &[u8]) {
    over_document(input, Language::JsonPath);
}

/// Standard JSONPath; inputs as for [`jmespath`].
pub fn rfc9535(input: &[u8]) {
    over_document(input, Language::JsonPathRfc9535);
}

fn over_document(input: &[u8], language: Language) {
    let (text, body) = parts(input);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Some((expression, names)) = compile(text, language) else { return };
    let mut scratch = Scratch::new(&names);
    if let Some(document) = read(&mut scratch, body) {
        run(&expression, text, document);
    }
}
