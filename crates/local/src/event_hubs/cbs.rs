//! `$cbs`: takes the tokens by which clients say who they are
//! (functions-eventhubs-keda.md 7.2).

use fe2o3_amqp::types::messaging::{AmqpValue, Body};
use fe2o3_amqp::types::primitives::Value;

use super::message::AmqpMessage;
use super::requests::{Answer, text};
use super::store::Store;
use super::tokens::{SharedAccessKeys, Tokens, hub_of};

/// Answers one `put-token`; a good one is kept in `tokens`.
pub fn answer(request: &AmqpMessage, (keys, store): (&SharedAccessKeys, &Store), tokens: &Tokens) -> Answer {
    if text(request, "operation") != Some("put-token") {
        return Answer::failed(400, "amqp:not-implemented", "expected the operation `put-token`");
    }
    let Body::Value(AmqpValue(Value::String(token))) = &request.body else {
        return Answer::failed(400, "com.microsoft:argument-error", "the body is not a token");
    };
    let audience = text(request, "name").unwrap_or_default();
    let hub = hub_of(audience).and_then(|name| store.hub(&name));
    let wanted = keys.wanted(hub.as_ref().map(|hub| hub.access()).as_deref());
    match tokens.show(wanted.as_ref(), token, audience) {
        Ok(()) => Answer::done(202, Value::Null),
        Err(error) => Answer::failed(401, "amqp:unauthorized-access", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::ApplicationProperties;
    use fe2o3_amqp::types::primitives::SimpleValue;

    use super::*;

    #[tokio::test]
    async fn takes_tokens_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let opens = (&SharedAccessKeys::default(), &Store::open(folder.path(), &[], 1).unwrap());
        let token = |text: &str| Value::String(text.to_owned());
        let cases = [
            ("put-token", token("SharedAccessSignature sr=x"), 202),
            ("put-token", token(""), 401),
            ("put-token", Value::Null, 400),
            ("delete-token", token("x"), 400),
        ];
        for (operation, body, status) in cases {
            let mut request = AmqpMessage::from(Body::Value(AmqpValue(body)));
            let mut properties = ApplicationProperties::default();
            properties.0.insert("operation".to_owned(), SimpleValue::String(operation.to_owned()));
            request.application_properties = Some(properties);
            let answer = answer(&request, opens, &Tokens::default());
            assert_eq!(answer.status, status, "{operation}");
        }
    }
}
