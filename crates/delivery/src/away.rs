//! A dependency that cannot be reached for now.

use std::error::Error;

/// Something that a batch needs is away, after bounded retries: the batch is to
/// be given again, whole. The only thing that ever fails a batch.
#[derive(Debug, thiserror::Error)]
#[error("{dependency} is away")]
pub struct Away {
    /// What is away, for a person: "the FHIR server", "the internal hub".
    pub dependency: &'static str,
    /// Why, without payload values.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl Away {
    /// Says that `dependency` is away because of `source`.
    pub fn new(dependency: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Away {
        Away { dependency, source: source.into() }
    }
}

/// An error and everything that caused it, on one line, for a log or a
/// terminal.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    one_line(&text)
}

/// Text of several lines, such as the findings of a mapping, on one: a record
/// of a log is a line.
pub fn one_line(text: &str) -> String {
    text.replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_line_whatever_its_texts_are() {
        let away = Away::new("the mapping", "two errors:\nline 1\nline 2");
        assert_eq!(error_chain(&away), "the mapping is away: two errors:; line 1; line 2");
    }
}
