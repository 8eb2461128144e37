//! GET of all resources within something (resource-provider.md 2.12).

use arm::route::Scope;
use arm::state::SubscriptionState;
use arm::{ArmError, ErrorCode, ResourceId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Api;
use super::answer::Answer;
use super::call::Call;
use super::read::{json, readable};
use super::write::gen1_parent;
use crate::store::Listed;

/// How many are answered at once.
const PAGE: usize = 100;
/// How much of what is stored, in bytes, but for the last: no answer shows more of a
/// document than it has. ARM takes 8 MB (resource-provider.md 2.2).
const PAGE_BYTES: usize = 6 << 20;

/// Answers with a part of a list.
pub async fn list(api: &Api, call: &Call, scope: &Scope) -> Result<Answer, ArmError> {
    let subscription = readable(api, &scope.subscription).await?;
    if subscription == SubscriptionState::Unregistered {
        // Its customer has deleted everything before (resource-provider.md 2.14).
        return Ok(Answer::ok(r#"{"value":[]}"#.to_owned()));
    }
    check_parent(api, scope).await?;
    let count = match call.parameter("$top") {
        None => PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(count) if count > 0 => count.min(PAGE),
            _ => return Err(wrong_parameter("$top", "a whole number above 0")),
        },
    };
    let after = match call.parameter("$skipToken") {
        None => String::new(),
        Some(token) => {
            let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            // No position of ours has such, and PostgreSQL takes no text with NUL.
            let decoded = decoded.filter(|text| !text.contains(char::is_control));
            decoded.ok_or_else(|| wrong_parameter("$skipToken", "that of a `nextLink`"))?
        }
    };
    let prefix = collection(scope);
    let listed = match &prefix {
        Some(prefix) => Listed::Collection(prefix),
        None => Listed::Subscription(&scope.subscription, scope.kind),
    };
    let page = api.store.list(listed, &after, (count, PAGE_BYTES)).await?;
    let items: Vec<String> = page.documents.iter().map(|document| json(document, call.version, subscription)).collect();
    let mut body = format!(r#"{{"value":[{}]"#, items.join(","));
    if let Some(last) = page.documents.last().filter(|_| page.has_more) {
        let link = next_link(call, &URL_SAFE_NO_PAD.encode(listed.position(last)));
        body.push_str(&format!(r#","nextLink":{}"#, serde_json::Value::from(link)));
    }
    body.push('}');
    Ok(Answer::ok(body))
}

/// What the keys of the list begin with; none for a whole subscription.
fn collection(scope: &Scope) -> Option<String> {
    let group = scope.group.clone()?;
    let names = scope.names.iter().cloned().chain([String::new()]).collect();
    let id = ResourceId { subscription: scope.subscription.clone(), group, kind: scope.kind, names };
    Some(id.key())
}

/// A list below something that is not there is no empty list.
async fn check_parent(api: &Api, scope: &Scope) -> Result<(), ArmError> {
    if let Some(parent) = scope.parent() {
        return match api.store.resource(&parent).await? {
            Some(_) => Ok(()),
            None => Err(ArmError::new(ErrorCode::ParentResourceNotFound, "The resource above the list was not found.")),
        };
    }
    match (scope.fhir_service(), &scope.group) {
        (Some(service), Some(group)) => gen1_parent(api, &scope.subscription, group, service).await.map(|_| ()),
        _ => Ok(()),
    }
}

/// Where the list goes on: the request's own URL, and after what.
fn next_link(call: &Call, token: &str) -> String {
    let rest = call.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("$skipToken"));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(rest).append_pair("$skipToken", token);
    format!("{}{}?{}", call.base, call.path, query.finish())
}

fn wrong_parameter(name: &str, expected: &str) -> ArmError {
    ArmError::at(ErrorCode::InvalidRequestContent, name, format!("The parameter `{name}` has to be {expected}."))
}
