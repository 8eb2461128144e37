//! Requests to `$cbs` and `$management` and their answers.

use fe2o3_amqp::link::{RecvError, SendError};
use fe2o3_amqp::types::messaging::{AmqpValue, Body, MessageId, Properties};
use fe2o3_amqp::types::primitives::{SimpleValue, Value};
use fe2o3_amqp::{Receiver, Sender};

use crate::client::Client;
use crate::error::{ClientError, attach_failed, in_time, link_failed, sender_attach_failed};
use crate::message::AmqpMessage;

impl Client {
    /// Sends one request to a node and waits for its answer, over a pair of
    /// links made for it: the service allows one pair on `$cbs` at a time
    /// (functions-eventhubs-keda.md 7.2).
    pub(crate) async fn ask(
        &mut self,
        node: &str,
        doing: &'static str,
        mut request: AmqpMessage,
    ) -> Result<AmqpMessage, ClientError> {
        let (asking_name, answering_name) = (self.next_link_name(), self.next_link_name());
        request.properties = Some(Properties {
            message_id: Some(MessageId::from(1_u64)),
            reply_to: Some(answering_name.clone()),
            ..Properties::default()
        });
        let session = &mut self.session;
        let asking = async {
            let mut answers = Receiver::builder()
                .name(answering_name.clone())
                .source(node)
                .target(answering_name)
                .attach(session)
                .await
                .map_err(|error| attach_failed(doing, error))?;
            let mut requests =
                Sender::attach(session, asking_name, node).await.map_err(|error| sender_attach_failed(doing, error))?;
            requests.send(request).await.map_err(|error| match error {
                SendError::LinkStateError(error) => link_failed(doing, error),
                error => ClientError::away(doing, error),
            })?;
            let answer = answers.recv::<Body<Value>>().await.map_err(|error| match error {
                RecvError::LinkStateError(error) => link_failed(doing, error),
                error => ClientError::away(doing, error),
            })?;
            let message = answer.into_message();
            // Both links have done what they were for.
            requests.close().await.map_err(|error| ClientError::away(doing, error))?;
            answers.close().await.map_err(|error| ClientError::away(doing, error))?;
            Ok(message)
        };
        in_time(self.wait, doing, asking).await
    }
}

/// What an answer says when the request was carried out; `$cbs` says so with
/// 202, others with 200.
pub(crate) fn value(answer: AmqpMessage, doing: &'static str) -> Result<Value, ClientError> {
    let said = answer.application_properties.unwrap_or_default().0;
    let text = |name: &str| match said.get(name) {
        Some(SimpleValue::String(text)) => text.clone(),
        Some(SimpleValue::Symbol(text)) => text.0.clone(),
        _ => String::new(),
    };
    match (said.get("status-code"), answer.body) {
        (Some(SimpleValue::Int(200 | 202)), Body::Value(AmqpValue(value))) => Ok(value),
        (Some(SimpleValue::Int(200 | 202)), _) => Ok(Value::Null),
        (Some(SimpleValue::Int(status)), _) => Err(ClientError::Refused {
            doing,
            condition: match text("error-condition") {
                condition if condition.is_empty() => status.to_string(),
                condition => condition,
            },
            description: text("status-description"),
        }),
        _ => Err(ClientError::Unreadable { doing }),
    }
}
