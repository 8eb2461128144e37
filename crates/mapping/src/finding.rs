//! What is wrong with a mapping, and where.

use std::fmt;

/// A place in a mapping's text. Lines and columns count from 1; the column is
/// that of the last character of the token meant, as the reference connector
/// counts (device-mapping.md 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line Number: {}, Position: {}", self.line, self.column)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The mapping cannot be used.
    Error,
    /// It can, but will perhaps not do what its author meant.
    Warning,
}

/// One thing found in a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in the reference connector's words where it has any.
    pub message: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
}

impl Finding {
    /// An error.
    pub fn error(message: impl Into<String>, place: Option<Place>) -> Finding {
        Finding { severity: Severity::Error, message: message.into(), place }
    }

    /// Whether it makes the mapping unusable.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// A warning.
    pub fn warning(message: impl Into<String>, place: Option<Place>) -> Finding {
        Finding { severity: Severity::Warning, message: message.into(), place }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}. ")?;
        }
        f.write_str(&self.message)
    }
}

/// How many errors are printed: they go into logs.
const SHOWN_MAX: usize = 100;

/// A mapping that cannot be used, with everything that was found in it; while
/// a mapping loads, what was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// The mapping that loaded without any error, or what was found. Warnings
    /// of a mapping that can be used are dropped.
    pub(crate) fn refuse_errors<T>((mapping, findings): (Option<T>, Vec<Finding>)) -> Result<T, Findings> {
        match mapping {
            Some(mapping) if !findings.iter().any(Finding::is_error) => Ok(mapping),
            _ => Err(Findings(findings)),
        }
    }

    pub(crate) fn error(&mut self, message: impl Into<String>, place: Place) {
        self.0.push(Finding::error(message, Some(place)));
    }

    pub(crate) fn warning(&mut self, message: impl Into<String>, place: Place) {
        self.0.push(Finding::warning(message, Some(place)));
    }

    /// What was read; none when that failed, and why is then added.
    pub(crate) fn keep<T>(&mut self, read: Result<T, Finding>) -> Option<T> {
        read.map_err(|finding| self.0.push(finding)).ok()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validation errors:")?;
        let errors = || self.0.iter().filter(|finding| finding.is_error());
        for finding in errors().take(SHOWN_MAX) {
            write!(f, "\n{finding}")?;
        }
        match errors().count().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Findings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_holds_some_errors_only() {
        let shown = |count: usize| {
            let warning = Finding::warning("unused", None);
            Findings([vec![Finding::error("wrong", None); count], vec![warning]].concat()).to_string()
        };
        for (errors, lines, last) in
            [(0, 1, "Validation errors:"), (1, 2, "wrong"), (100, 101, "wrong"), (350, 102, "and 250 more")]
        {
            let text = shown(errors);
            assert_eq!((text.lines().count(), text.lines().last()), (lines, Some(last)), "{errors}");
        }
    }
}
