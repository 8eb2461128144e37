//! Reads what a resource was before a given version.

use std::time::Instant;

use reqwest::Method;
use serde_json::Value;

use crate::client::{Client, ServerAway};
use crate::version::Version;

/// The content that version `version` of a resource replaced; none when it
/// replaced nothing, or a deletion, or when the server does not tell.
///
/// Where versions are numbers the one before is read directly. Opaque ones are
/// found in the list of all versions, of which the newest come first.
pub(crate) async fn version_before(
    client: &Client,
    kind: &str,
    id: &str,
    version: &Version,
    deadline: Instant,
) -> Result<Option<Vec<u8>>, ServerAway> {
    let path = match version.number() {
        Some(0 | 1) => return Ok(None),
        Some(number) => format!("{kind}/{id}/_history/{}", number - 1),
        None => format!("{kind}/{id}/_history"),
    };
    let answer = client.send(&client.request(Method::GET, &path, None), deadline).await?;
    if !answer.is_success() {
        return Ok(None);
    }
    Ok(match version.number() {
        Some(_) => Some(answer.body),
        None => before_in_list(&answer.json()?, version).map(|resource| resource.to_string().into_bytes()),
    })
}

/// The resource in the entry behind that of `version`. A deletion has none.
fn before_in_list<'b>(bundle: &'b Value, version: &Version) -> Option<&'b Value> {
    let entries = bundle.get("entry")?.as_array()?;
    let is_it = |entry: &&Value| {
        let of_resource = entry.get("resource").and_then(Version::of_resource);
        let of_response = || Version::from_etag(entry.get("response")?.get("etag")?.as_str()?);
        of_resource.or_else(of_response).as_ref() == Some(version)
    };
    let mut entries = entries.iter().skip_while(|entry| !is_it(entry));
    entries.next()?;
    entries.next()?.get("resource").filter(|resource| resource.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_the_version_before_in_a_list() {
        let entry = |version: &str| json!({ "resource": { "meta": { "versionId": version } } });
        let list = json!({ "entry": [entry("c"), { "request": { "method": "DELETE" } }, entry("b"), entry("a")] });
        let before = |version: &str| {
            let found = before_in_list(&list, &Version::from_etag(version).unwrap());
            found.map(|resource| resource["meta"]["versionId"].as_str().unwrap().to_owned())
        };
        assert_eq!(before("b"), Some("a".to_owned()));
        assert_eq!(before("c"), None, "a deletion lies between");
        assert_eq!(before("a"), None);
        assert_eq!(before("x"), None);
    }
}
