//! What is said when a part of the process panics, which is a defect of ours.
//!
//! The standard hook prints the message, and that may quote what was worked on:
//! cutting a text at a wrong place says the text, `expect` on a `Result` says its
//! error. Only what stands in our source is said here, and where.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;

use tokio::task::JoinError;

/// From now on a panic is a line of the log. The trace of calls follows on
/// standard error where `RUST_BACKTRACE` asks for it; it holds no values.
pub(crate) fn report() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let message = said(info.payload()).unwrap_or("(not shown: it may quote an event)");
        tracing::error!(location, message, "A part of the process broke off, which is a defect");
        let calls = Backtrace::capture();
        if calls.status() == BacktraceStatus::Captured {
            eprintln!("{calls}");
        }
    }));
}

/// The message, when it is a literal: others are made of values. (That of an
/// `expect` counts among the others; where it stands says as much.)
fn said(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

/// How a task broke off. The text of the error has the message of the panic.
pub fn broke_off(error: &JoinError) -> &'static str {
    if error.is_panic() { "it panicked" } else { "it was cancelled" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn how_a_task_broke_off_says_nothing_of_its_values() {
        let panicked = tokio::spawn(async { panic!("name: {}", "Żółw") }).await.expect_err("it panics");
        assert_eq!(broke_off(&panicked), "it panicked");
        let pending = tokio::spawn(std::future::pending::<()>());
        pending.abort();
        assert_eq!(broke_off(&pending.await.expect_err("it is aborted")), "it was cancelled");
    }

    /// Cutting a text between two bytes of a letter says the whole text, as would
    /// have been the case for one of an event.
    #[test]
    fn says_no_message_that_is_made_of_values() {
        let text = std::hint::black_box("name: Żółw");
        let quoting = panic::catch_unwind(|| text[..7].len()).expect_err("in the middle of a letter");
        assert!(quoting.downcast_ref::<String>().is_some_and(|message| message.contains("Żółw")));
        assert_eq!(said(&*quoting), None);
        let plain = panic::catch_unwind(|| panic!("a defect")).expect_err("it panics");
        assert_eq!(said(&*plain), Some("a defect"));
    }
}
