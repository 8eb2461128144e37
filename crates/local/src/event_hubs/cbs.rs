//! `$cbs`: takes the tokens by which clients say who they are
//! (functions-eventhubs-keda.md 7.2).

use fe2o3_amqp::types::messaging::{AmqpValue, Body};
use fe2o3_amqp::types::primitives::Value;

use super::message::AmqpMessage;
use super::requests::{Answer, text};

/// Answers one `put-token`.
pub fn answer(request: &AmqpMessage) -> Answer {
    if text(request, "operation") != Some("put-token") {
        return Answer::failed(400, "amqp:not-implemented", "expected the operation `put-token`");
    }
    let Body::Value(AmqpValue(Value::String(token))) = &request.body else {
        return Answer::failed(400, "com.microsoft:argument-error", "the body is not a token");
    };
    match authorize(token, text(request, "name").unwrap_or_default()) {
        Ok(()) => Answer::done(202, Value::Null),
        Err(NotAuthorized) => {
            Answer::failed(401, "amqp:unauthorized-access", "the token is not valid for the audience")
        }
    }
}

/// A token does not allow what it is given for.
struct NotAuthorized;

/// Decides whether `token` (a JWT or a shared access signature) allows to use
/// `audience`.
///
/// This stand-in has no identities: it listens on loopback only and takes any
/// token that is not empty. Whoever wants signatures checked does it here, and
/// lets `connection` refuse links whose audience has no token.
fn authorize(token: &str, _audience: &str) -> Result<(), NotAuthorized> {
    if token.is_empty() { Err(NotAuthorized) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::ApplicationProperties;
    use fe2o3_amqp::types::primitives::SimpleValue;

    use super::*;

    #[test]
    fn takes_tokens_and_nothing_else() {
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
            assert_eq!(answer(&request).status, status, "{operation}");
        }
    }
}
