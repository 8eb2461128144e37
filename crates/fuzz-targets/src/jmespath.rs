//! JMESPath as the reference connector has it: any text over any document.

use expressions::Language;

use crate::document::{compile, read, run};
use crate::parts;

/// An input is an expression, a separator and a document.
pub fn jmespath(input: &[u8]) {
    let (text, body) = parts(input);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Some((expression, names)) = compile(text, Language::JmesPath) else { return };
    let mut scratch = expressions::Scratch::new(&names);
    if let Some(document) = read(&mut scratch, body) {
        run(&expression, text, document);
    }
}
