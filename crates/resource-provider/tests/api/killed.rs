//! An API that is killed while it writes.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower_service::Service;

use super::bodies::{CONNECTOR, connector};
use super::provider::{GROUP, NEWEST, Provider};

/// A future that is dropped at a poll; none, when it was.
struct Killed<F> {
    inner: Option<Pin<Box<F>>>,
    polls_left: usize,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls_left == 0 {
            self.inner = None;
        }
        self.polls_left = self.polls_left.saturating_sub(1);
        match &mut self.inner {
            Some(inner) => inner.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// Wherever the API was killed: the resource and its operation are both there, or
/// neither is; and the client that heard nothing sends the same again.
#[tokio::test]
async fn a_put_that_was_not_answered_is_sent_again() {
    let mut polls = 0;
    let mut was_written = [false; 2];
    loop {
        let provider = Provider::start().await;
        provider.put("workspaces/ws1", NEWEST, &super::bodies::workspace()).await.is(201);
        provider.work().await;
        let request = Request::put(format!("{GROUP}/{CONNECTOR}?api-version={NEWEST}"));
        let request = request.header("content-type", "application/json").body(Body::from(connector().to_string()));
        let answering = provider.api().router().call(request.unwrap());
        let answer = Killed { inner: Some(Box::pin(answering)), polls_left: polls }.await;
        let before = provider.get(CONNECTOR, NEWEST).await;
        let is_there = before.status == StatusCode::OK;
        was_written[usize::from(is_there)] = true;
        let pending = provider.store.pending_count().await.unwrap();
        assert_eq!(pending.requested, i64::from(is_there), "poll {polls}");
        let again = provider.put(CONNECTOR, NEWEST, &connector()).await;
        assert_eq!(again.status.as_u16(), if is_there { 200 } else { 201 }, "poll {polls}: {again:?}");
        assert_eq!(provider.store.pending_count().await.unwrap().requested, 1, "poll {polls}: it joins");
        provider.work().await;
        let status = provider.follow(again.header("azure-asyncoperation").unwrap()).await.is(200);
        assert_eq!(status.body["status"], "Succeeded", "poll {polls}");
        // That one was killed with its answer in the hand.
        if answer.is_some() {
            break;
        }
        polls += 1;
    }
    assert_eq!(was_written, [true; 2], "killed before and after it was written, in {polls} polls");
}
