//! Requests and answers over AMQP: what `$cbs` and `$management` have in common.
//!
//! A client attaches two links on one session, one to send requests and one
//! from which the answers come. They arrive one by one and in either order.
//! Clients differ in the `reply-to` of a request: it is the answering link's
//! target address (Rust, .NET, Java, Go), its name (JavaScript on `$cbs`), or
//! missing (Python on `$cbs`). The same names are used again on other sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, Body, Properties};
use fe2o3_amqp::types::primitives::{SimpleValue, Symbol, Value};
use fe2o3_amqp::{Receiver, Sendable, Sender};
use tokio::sync::{mpsc, watch};

use super::message::AmqpMessage;

/// How long a request waits for the link of its answer. Clients attach both
/// links before they ask, so this is only for the frames on their way.
const ANSWERING_LINK_WAIT: Duration = Duration::from_secs(5);
/// Answers that wait for their link's credit.
const ANSWERS_MAX: usize = 64;

/// What a node says to a request.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// As in HTTP. The Rust client wants exactly 202 from `$cbs` and 200 from
    /// `$management`.
    pub status: i32,
    /// In words.
    pub description: String,
    /// An AMQP error condition, when the request failed.
    pub condition: Option<&'static str>,
    /// The body's value.
    pub value: Value,
}

impl Answer {
    /// A request was carried out.
    pub fn done(status: i32, value: Value) -> Self {
        Self { status, description: "OK".to_owned(), condition: None, value }
    }

    /// A request failed.
    pub fn failed(status: i32, condition: &'static str, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), condition: Some(condition), value: Value::Null }
    }

    fn into_message(self, request: &AmqpMessage) -> AmqpMessage {
        let asked = request.properties.as_ref();
        let mut message = AmqpMessage::from(Body::Value(AmqpValue(self.value)));
        message.properties = Some(Properties {
            // The very same value: clients also compare its type.
            correlation_id: asked.and_then(|asked| asked.message_id.clone()),
            to: asked.and_then(|asked| asked.reply_to.clone()),
            ..Properties::default()
        });
        let mut properties = ApplicationProperties::default();
        properties.0.insert("status-code".to_owned(), SimpleValue::Int(self.status));
        properties.0.insert("status-description".to_owned(), SimpleValue::String(self.description));
        if let Some(condition) = self.condition {
            properties.0.insert("error-condition".to_owned(), SimpleValue::Symbol(Symbol::from(condition)));
        }
        message.application_properties = Some(properties);
        message
    }
}

/// The text of one application property of a request.
pub fn text<'m>(request: &'m AmqpMessage, name: &str) -> Option<&'m str> {
    match request.application_properties.as_ref()?.0.get(name)? {
        SimpleValue::String(text) => Some(text),
        SimpleValue::Symbol(text) => Some(text.as_str()),
        _ => None,
    }
}

/// The answering links of one session, by everything a request may call them.
#[derive(Debug)]
pub struct AnsweringLinks {
    links: Mutex<HashMap<String, mpsc::Sender<AmqpMessage>>>,
    attached: watch::Sender<()>,
}

impl Default for AnsweringLinks {
    fn default() -> Self {
        Self { links: Mutex::default(), attached: watch::channel(()).0 }
    }
}

impl AnsweringLinks {
    /// Announces an answering link; what comes out is to be sent on it.
    pub fn attach(&self, node: &str, names: [&str; 2]) -> mpsc::Receiver<AmqpMessage> {
        let (link, answers) = mpsc::channel(ANSWERS_MAX);
        let mut links = self.links();
        for name in names.into_iter().chain([node]) {
            links.insert(name.to_owned(), link.clone());
        }
        drop(links);
        self.attached.send_replace(());
        answers
    }

    /// The link that is called so, else the latest of the node, waiting for it
    /// a while.
    async fn link(&self, node: &str, reply_to: Option<&str>) -> Option<mpsc::Sender<AmqpMessage>> {
        let mut attached = self.attached.subscribe();
        let found = async {
            loop {
                if let Some(link) = self.named(node, reply_to) {
                    return Some(link);
                }
                attached.changed().await.ok()?;
            }
        };
        tokio::time::timeout(ANSWERING_LINK_WAIT, found).await.ok()?
    }

    fn named(&self, node: &str, reply_to: Option<&str>) -> Option<mpsc::Sender<AmqpMessage>> {
        let links = self.links();
        reply_to.and_then(|name| links.get(name)).or_else(|| links.get(node)).cloned()
    }

    fn links(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<AmqpMessage>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers the requests for a node on one link until the client ends it.
pub async fn serve(
    node: &str,
    mut requests: Receiver,
    links: &AnsweringLinks,
    answer: impl Fn(&AmqpMessage) -> Answer,
) {
    loop {
        let delivery = match requests.recv::<Body<Value>>().await {
            Ok(delivery) => delivery,
            Err(RecvError::MessageDecode(error)) => {
                tracing::warn!("A request could not be read");
                if requests.reject(error.info, None).await.is_err() {
                    return;
                }
                continue;
            }
            // The client closes the link, often with its session, once it has its answer.
            Err(_) => return,
        };
        if requests.accept(&delivery).await.is_err() {
            return;
        }
        let request = delivery.into_message();
        let reply_to = request.properties.as_ref().and_then(|properties| properties.reply_to.as_deref());
        let Some(link) = links.link(node, reply_to).await else {
            tracing::warn!("A request names no link for its answer");
            continue;
        };
        // A link that closed meanwhile wants no answer.
        let _ = link.send(answer(&request).into_message(&request)).await;
    }
}

/// Sends answers on their link until the client ends it.
pub async fn send_answers(mut link: Sender, mut answers: mpsc::Receiver<AmqpMessage>) {
    loop {
        let answer = tokio::select! {
            _ = link.on_detach() => return,
            answer = answers.recv() => answer,
        };
        let Some(answer) = answer else { return };
        // Settled: some clients never settle an answer.
        let sendable = Sendable::builder().message(answer).settled(true).build();
        if link.send_batchable(sendable).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request with this `reply-to` finds a link, one of the two of a session.
    async fn found(reply_to: Option<&str>) -> Option<&'static str> {
        let links = AnsweringLinks::default();
        let mut tokens = links.attach("$cbs", ["target", "name"]);
        let mut properties = links.attach("$management", ["other", "another"]);
        let link = links.link("$cbs", reply_to).await?;
        link.send(AmqpMessage::from(Body::Empty)).await.ok()?;
        drop(links);
        drop(link);
        match (tokens.recv().await, properties.recv().await) {
            (Some(_), None) => Some("$cbs"),
            (None, Some(_)) => Some("$management"),
            _ => None,
        }
    }

    #[tokio::test]
    async fn finds_the_answering_link_by_whatever_clients_call_it() {
        for reply_to in [Some("target"), Some("name"), Some("unknown"), None] {
            assert_eq!(found(reply_to).await, Some("$cbs"), "{reply_to:?}");
        }
    }

    #[tokio::test]
    async fn waits_for_an_answering_link_that_comes_later() {
        let links = AnsweringLinks::default();
        let (link, _answers) = tokio::join!(links.link("$cbs", Some("target")), async {
            tokio::task::yield_now().await;
            links.attach("$cbs", ["target", "name"])
        });
        assert!(link.is_some());
    }

    #[test]
    fn an_answer_carries_the_same_message_id_back() {
        let mut request = AmqpMessage::from(Body::Empty);
        for id in [1_u64.into(), "1".to_owned().into()] {
            let properties = Properties { message_id: Some(id), ..Properties::default() };
            request.properties = Some(properties);
            let answer = Answer::failed(404, "amqp:not-found", "none").into_message(&request);
            let asked = request.properties.as_ref().and_then(|properties| properties.message_id.clone());
            assert_eq!(answer.properties.and_then(|properties| properties.correlation_id), asked);
        }
    }
}
