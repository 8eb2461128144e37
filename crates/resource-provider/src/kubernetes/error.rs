//! What an API server answers, as errors of ports (resource-provider.md 6.3).

use arm::ErrorCode;
use custom_resources::error_text::error_text;

use crate::ports::{ErrorClass, PortError};

/// How long a message may be. What the API server says may be about every field.
const TEXT_MAX: usize = 500;

/// The error of doing something. Specs hold names of secrets and never secrets,
/// so what the API server says of them may be told.
pub fn doing(what: &'static str) -> impl Fn(kube::Error) -> PortError {
    move |error| {
        let text = match &error {
            kube::Error::Api(status) => status.message.clone(),
            other => error_text(other),
        };
        let text: String = text.chars().take(TEXT_MAX).collect();
        let message = format!("could not {what}: {text}");
        match class(&error) {
            class @ (ErrorClass::Transient { .. } | ErrorClass::UnderWay { .. }) => {
                PortError { code: ErrorCode::ClusterUnavailable, class, message }
            }
            class @ ErrorClass::Permanent => PortError { code: ErrorCode::WorkloadNotReady, class, message },
        }
    }
}

/// Something is not so yet.
pub fn transient(message: &str) -> PortError {
    PortError::transient(ErrorCode::ClusterUnavailable, message)
}

fn class(error: &kube::Error) -> ErrorClass {
    let kube::Error::Api(status) = error else {
        // No connection, no answer, no token.
        return ErrorClass::Transient { retry_after_seconds: None };
    };
    let details = status.details.as_ref();
    match status.code {
        400 | 403 | 404 | 405 | 413 | 415 | 422 => ErrorClass::Permanent,
        _ => {
            let seconds = details.map(|details| u64::from(details.retry_after_seconds)).filter(|seconds| *seconds > 0);
            ErrorClass::Transient { retry_after_seconds: seconds }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::{Value, json};

    use super::*;

    fn answer(code: u16, details: Value) -> PortError {
        let mut status = Status::failure("what it says", "Reason").with_code(code);
        status.details = Some(serde_json::from_value(details).expect("details"));
        doing("apply a connector")(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn tells_what_passes_from_what_does_not() {
        for code in [400, 403, 404, 422] {
            let error = answer(code, json!({}));
            assert_eq!((error.code, error.class), (ErrorCode::WorkloadNotReady, ErrorClass::Permanent), "{code}");
            assert_eq!(error.message, "could not apply a connector: what it says");
        }
        for (code, seconds) in [(401, None), (409, None), (429, Some(7)), (500, None), (503, Some(1)), (504, None)] {
            let error = answer(code, json!({ "retryAfterSeconds": seconds.unwrap_or_default() }));
            let class = ErrorClass::Transient { retry_after_seconds: seconds };
            assert_eq!((error.code, error.class), (ErrorCode::ClusterUnavailable, class), "{code}");
        }
    }

    #[test]
    fn who_does_not_answer_is_asked_again() {
        let error = doing("look")(kube::Error::ReadEvents(std::io::Error::other("connection refused")));
        assert_eq!(error.class, ErrorClass::Transient { retry_after_seconds: None });
        assert!(error.message.ends_with("connection refused"), "{error}");
    }
}
