//! What takes long to compute, aside from the threads that answer requests: a request
//! that gets no answer in time is let go, and the others go on.

use arm::{ArmError, ErrorCode};
use tokio::sync::Semaphore;

/// As many at once as leave the machine to the others. What nobody waits for any more
/// counts until it ends.
static PLACES: Semaphore = Semaphore::const_new(2);

/// Computes something.
///
/// # Errors
///
/// `InternalServerError` when that panics.
pub async fn aside<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> Result<T, ArmError> {
    let place = PLACES.acquire().await.map_err(|_| broke_off("there are no places"))?;
    let computing = tokio::task::spawn_blocking(move || {
        let computed = compute();
        drop(place);
        computed
    });
    computing.await.map_err(|error| broke_off(telemetry::broke_off(&error)))
}

fn broke_off(how: &'static str) -> ArmError {
    tracing::error!(how, "What a request asks for was not read");
    ArmError::new(ErrorCode::InternalServerError, "An unexpected error occurred. Try again later.")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The thread of this test is the only one that answers here: it would stand still.
    #[tokio::test]
    async fn others_are_answered_meanwhile_and_a_panic_is_an_error() {
        let ((first, begun), (go_on, may_go_on)) = (tokio::sync::oneshot::channel(), mpsc::channel::<u8>());
        let computing = tokio::spawn(aside(move || {
            let _ = first.send(());
            may_go_on.recv()
        }));
        begun.await.unwrap();
        for _ in 0..3 {
            let panicked = aside(|| panic!("a defect")).await.map(|(): ()| ());
            assert_eq!(panicked.map_err(|error| error.code), Err(ErrorCode::InternalServerError), "no place is lost");
        }
        go_on.send(7).unwrap();
        assert_eq!(computing.await.unwrap().map(|sent| sent.ok()), Ok(Some(7)));
    }
}
