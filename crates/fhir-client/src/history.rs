//! Reads what resources were before a given version.

use std::time::Instant;

use futures::future::join_all;
use reqwest::Method;
use serde_json::Value;

use crate::client::{Answer, Client, Request, ServerAway};
use crate::version::Version;

/// What a version of a resource replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// This content.
    Content(Vec<u8>),
    /// Nothing, or a deletion.
    Nothing,
    /// The server does not tell: it keeps no versions, or not this one.
    Untold,
}

/// What version `version` of the resource at `path`, such as `Observation/a`,
/// replaced.
pub(crate) async fn version_before(
    client: &Client,
    path: &str,
    version: &Version,
    deadline: Instant,
) -> Result<Before, ServerAway> {
    match request(client, path, version) {
        Some(request) => read(&client.send(&request, deadline).await?, version),
        None => Ok(Before::Nothing),
    }
}

/// The same for several resources, in few round trips and in their order.
pub(crate) async fn versions_before(
    client: &Client,
    of: &[(String, Version)],
    deadline: Instant,
) -> Vec<Result<Before, ServerAway>> {
    let requests: Vec<Request> = of.iter().filter_map(|(path, version)| request(client, path, version)).collect();
    let mut answers = client.batch(&requests, deadline).await.answers.into_iter();
    let befores = of.iter().map(|(path, version)| {
        let answer = request(client, path, version).and_then(|_| answers.next());
        async move {
            match answer {
                None => Ok(Before::Nothing),
                Some(Some(answer)) if answer.is_success() => read(&answer, version),
                // Away, or a server that does not serve its history in a batch.
                Some(_) => version_before(client, path, version, deadline).await,
            }
        }
    });
    join_all(befores).await
}

/// Where versions are numbered the one before is read directly. Opaque ones are
/// found in the list of all versions, of which the newest come first. None for
/// a first version.
fn request(client: &Client, path: &str, version: &Version) -> Option<Request> {
    let path = match version.number() {
        Some(0 | 1) => return None,
        Some(number) => format!("{path}/_history/{}", number - 1),
        None => format!("{path}/_history"),
    };
    Some(client.request(Method::GET, &path, None))
}

fn read(answer: &Answer, version: &Version) -> Result<Before, ServerAway> {
    Ok(match (answer.status, version.number()) {
        (410, _) => Before::Nothing,
        _ if !answer.is_success() => Before::Untold,
        (_, Some(_)) => Before::Content(answer.body.clone()),
        (_, None) => before_in_list(&answer.json()?, version),
    })
}

/// The resource in the entry behind that of `version`. A deletion has none.
fn before_in_list(bundle: &Value, version: &Version) -> Before {
    let entries = bundle.get("entry").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_it = |entry: &Value| {
        let of_resource = entry.get("resource").and_then(Version::of_resource);
        let of_response = || Version::from_etag(entry.get("response")?.get("etag")?.as_str()?);
        of_resource.or_else(of_response).as_ref() == Some(version)
    };
    let Some(at) = entries.iter().position(is_it) else { return Before::Untold };
    match entries.get(at + 1).and_then(|entry| entry.get("resource")).filter(|resource| resource.is_object()) {
        Some(resource) => Before::Content(resource.to_string().into_bytes()),
        None => Before::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_the_version_before_in_a_list() {
        let entry = |version: &str| json!({ "resource": { "meta": { "versionId": version } } });
        let list = json!({ "entry": [entry("c"), { "request": { "method": "DELETE" } }, entry("b"), entry("a")] });
        let before = |version: &str| match before_in_list(&list, &Version::from_etag(version).unwrap()) {
            Before::Content(resource) => String::from_utf8(resource).unwrap(),
            other => format!("{other:?}"),
        };
        assert_eq!(before("b"), r#"{"meta":{"versionId":"a"}}"#);
        assert_eq!(before("c"), "Nothing", "a deletion lies between");
        assert_eq!(before("a"), "Nothing");
        assert_eq!(before("x"), "Untold");
    }
}
