//! Why an event gave no more measurements.

use std::fmt;

use expressions::jmespath::several_tokens_text;
use expressions::{EvaluateError, Language, ReadError};

use crate::convert::Reason;
use crate::device_mapping::{Template, TemplateExpression};
use crate::finding::Place;

/// What sort of failure it was; the kinds of the conformance corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The body is not JSON.
    InvalidDataFormat,
    /// A required part is missing, blank or not convertible, or an expression
    /// is not set.
    IncompatibleData,
    /// An expression failed, or gave several values where one is wanted.
    TemplateExpression,
    /// A JMESPath function was given what it does not take.
    Function,
    /// An integer was divided by zero.
    DivideByZero,
    /// A number left its range.
    Overflow,
    /// An argument was outside what a function takes.
    ArgumentOutOfRange,
    /// What was given cannot be normalized at all.
    Argument,
    /// The event, or what was to be made of it, is beyond a limit
    /// (docs/limits.md).
    Limit,
}

impl ErrorKind {
    /// A stable name for metrics, dead letters and the documentation.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::InvalidDataFormat => "InvalidDataFormat",
            ErrorKind::IncompatibleData => "IncompatibleData",
            ErrorKind::TemplateExpression => "TemplateExpression",
            ErrorKind::Function => "FunctionError",
            ErrorKind::DivideByZero => "DivideByZero",
            ErrorKind::Overflow => "Overflow",
            ErrorKind::ArgumentOutOfRange => "ArgumentOutOfRange",
            ErrorKind::Argument => "Argument",
            ErrorKind::Limit => "LimitExceeded",
        }
    }

    /// The name that the conformance corpus gives it.
    pub fn corpus_name(self) -> &'static str {
        match self {
            ErrorKind::InvalidDataFormat => "invalid-data-format",
            ErrorKind::IncompatibleData => "incompatible-data",
            ErrorKind::TemplateExpression => "template-expression",
            ErrorKind::Function => "function-error",
            ErrorKind::DivideByZero => "divide-by-zero",
            ErrorKind::Overflow => "overflow",
            ErrorKind::ArgumentOutOfRange => "argument-out-of-range",
            ErrorKind::Argument => "argument",
            ErrorKind::Limit => "limit-exceeded",
        }
    }
}

/// Why an event failed. Holds nothing of the event's content: only words of
/// the mapping and positions.
///
/// It prints as the reference connector's message: the place in the mapping,
/// what happened, and a numbered line for each cause (device-mapping.md 4.3
/// and 9.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalizeError {
    /// What sort of failure it was.
    pub kind: ErrorKind,
    /// Which template failed, counted from 0. None when the event could not be
    /// read.
    pub template: Option<usize>,
    /// What was looked for: the name of an expression, or a `valueName`. Empty
    /// when it was nothing of the kind.
    pub name: String,
    /// Where in the mapping.
    pub place: Option<Place>,
    /// What happened, in the reference connector's words.
    pub message: String,
    /// What led to it, one cause leading to the one before.
    pub causes: Vec<String>,
    /// How many measurements of the event were sent before.
    pub sent: usize,
}

impl NormalizeError {
    /// See [`ErrorKind::code`].
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    fn new(kind: ErrorKind, name: &str, message: impl Into<String>) -> NormalizeError {
        let (name, message) = (name.to_owned(), message.into());
        NormalizeError { kind, template: None, name, place: None, message, causes: Vec::new(), sent: 0 }
    }

    #[cold]
    pub(super) fn invalid_data_format(error: ReadError) -> NormalizeError {
        let message = "Invalid event message. Cannot be parsed into a JSON object.";
        NormalizeError {
            causes: vec![error.to_string()],
            ..NormalizeError::new(ErrorKind::InvalidDataFormat, "", message)
        }
    }

    #[cold]
    pub(super) fn not_an_object() -> NormalizeError {
        NormalizeError::new(ErrorKind::Argument, "", "The document is not a JSON object.")
    }

    /// `name` is what was looked for when the limit was met.
    #[cold]
    pub(super) fn limit(name: &str, message: impl Into<String>) -> NormalizeError {
        NormalizeError::new(ErrorKind::Limit, name, message)
    }

    #[cold]
    pub(super) fn value_without_name(place: Place) -> NormalizeError {
        let message = "The string can't be left empty, null or consist of only whitespaces. (Parameter 'name')";
        NormalizeError { place: Some(place), ..NormalizeError::new(ErrorKind::Argument, "", message) }
    }

    #[cold]
    pub(super) fn not_set(name: &str) -> NormalizeError {
        NormalizeError::new(ErrorKind::IncompatibleData, name, format!("An expression must be set for [{name}]"))
    }

    /// A required part that no candidate gave.
    #[cold]
    pub(super) fn missing(name: &str, candidates: &[TemplateExpression], failures: &Failures<'_>) -> NormalizeError {
        if candidates.is_empty() {
            return NormalizeError::not_set(name);
        }
        let mut message = format!("Unable to extract required value for [{name}]");
        if failures.0.is_empty() {
            let texts: Vec<&str> = candidates.iter().map(|candidate| candidate.text.as_str()).collect();
            message.push_str(" using ");
            message.push_str(&texts.join(","));
        }
        NormalizeError {
            place: candidates[0].place,
            causes: failures.causes(name),
            ..NormalizeError::new(ErrorKind::IncompatibleData, name, message)
        }
    }

    /// An expression that failed. `tokens` is how the reference connector
    /// names what was wanted of a JSONPath.
    #[cold]
    pub(super) fn expression(
        name: &str,
        expression: &TemplateExpression,
        tokens: &str,
        error: EvaluateError,
    ) -> NormalizeError {
        let text = &expression.text;
        let several = matches!(error, EvaluateError::SeveralTokens);
        let (message, causes) = match expression.language {
            Language::JmesPath if several => (several_tokens_text(text), vec![]),
            Language::JsonPath | Language::JsonPathRfc9535
                if matches!(error, EvaluateError::SeveralTokens | EvaluateError::JsonPath(_)) =>
            {
                (format!("Unable to retrieve {tokens} using expression {text}"), vec![error.to_string()])
            }
            _ => (error.to_string(), vec![]),
        };
        let kind = match error {
            EvaluateError::SeveralTokens | EvaluateError::JsonPath(_) => ErrorKind::TemplateExpression,
            EvaluateError::Limit(_) => ErrorKind::Limit,
            EvaluateError::Function(_) => ErrorKind::Function,
            EvaluateError::DivideByZero => ErrorKind::DivideByZero,
            EvaluateError::Overflow(_) => ErrorKind::Overflow,
            EvaluateError::OutOfRange(_) => ErrorKind::ArgumentOutOfRange,
        };
        NormalizeError { place: expression.place, causes, ..NormalizeError::new(kind, name, message) }
    }

    /// Says where the error came up.
    pub(super) fn at(mut self, template: &Template, sent: usize) -> NormalizeError {
        self.template = Some(template.index);
        self.place = self.place.or(Some(template.place));
        self.sent = sent;
        self
    }
}

impl fmt::Display for NormalizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}. ")?;
        }
        f.write_str(&self.message)?;
        for (at, cause) in self.causes.iter().enumerate() {
            write!(f, "\n{}:{cause}", at + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for NormalizeError {}

/// Why candidates that gave something were not usable: the expression and the
/// reason, or nothing for null and blank.
#[derive(Default)]
pub(super) struct Failures<'t>(Vec<Option<(&'t str, Reason)>>);

impl<'t> Failures<'t> {
    pub(super) fn add(&mut self, expression: &'t TemplateExpression, reason: Reason) {
        self.0.push(Some((&expression.text, reason)));
    }

    pub(super) fn add_empty(&mut self) {
        self.0.push(None);
    }

    /// The chain of causes, as the reference connector nests them: all of
    /// them in one line, then the first one and what led to it.
    fn causes(&self, name: &str) -> Vec<String> {
        let describe = |failure: &Option<(&str, Reason)>| match failure {
            Some((text, _)) => {
                format!("Encountered an error while extracting value for [{name}] using expression {text}")
            }
            None => format!("A null or empty value was supplied for the required field [{name}]"),
        };
        let Some(first) = self.0.first() else { return Vec::new() };
        let all: Vec<String> = self.0.iter().map(|failure| format!("({})", describe(failure))).collect();
        let mut causes = vec![format!("One or more errors occurred. {}", all.join(" ")), describe(first)];
        causes.extend(first.iter().map(|(_, reason)| (*reason).to_owned()));
        causes
    }
}
