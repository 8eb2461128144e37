//! Errors as a user gets to read them.

use std::error::Error;

/// An error and everything that caused it, on one line.
pub fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = own_text(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = own_text(error);
        // Some repeat their cause in their own text.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        // What the API server says is the end of it.
        cause = if is_answer(error) { None } else { error.source() };
    }
    text
}

fn is_answer(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(_)))
}

/// The API server's own words, without how kube holds them.
fn own_text(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("storing the status")]
    struct Outer(#[source] kube::Error);

    #[test]
    fn gives_the_words_of_the_api_server() {
        let status = Status::failure("the object has been modified", "Conflict").with_code(409).boxed();
        assert_eq!(error_text(&Outer(kube::Error::Api(status))), "storing the status: the object has been modified");
    }

    #[test]
    fn gives_the_causes_of_others() {
        let broken = std::io::Error::other("connection refused");
        assert_eq!(
            error_text(&Outer(kube::Error::ReadEvents(broken))),
            "storing the status: Error reading events stream: connection refused"
        );
    }
}
