//! Resource Manager: resources by their ids, and its asynchronous operations.
//!
//! Whoever wants something to be as it should be calls [`ResourceManager::ensure`].
//! It keeps nothing between two calls: what Azure has begun is seen in the
//! resource's `provisioningState` by whoever comes next.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::Url;

use super::failure::Failure;
use super::rest::{Answer, Request, Rest};
use super::settings::AzureSettings;

/// Between two looks at an operation that does not say when to come again.
const POLL: Duration = Duration::from_secs(5);

/// Between two looks at the least, whatever is said.
const POLL_MIN: Duration = Duration::from_millis(20);

/// More pages than any list has that is asked for here.
const PAGES_MAX: usize = 50;

/// States in which nothing is going on. Event Hubs says `Active` and `Created`.
const AT_REST: [&str; 6] = ["Succeeded", "Failed", "Canceled", "Active", "Created", "Unknown"];

/// A resource of Azure, and the version of its type that is spoken.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// Its id.
    pub id: &'t str,
    /// The api-version.
    pub version: &'static str,
}

/// What became of looking at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    /// There was none.
    Nothing,
    /// It ended well.
    ToItsEnd,
    /// It is not there any more, or not yet: how it ended the resource says.
    Lost,
}

/// Speaks with Resource Manager.
#[derive(Clone, Debug)]
pub struct ResourceManager {
    rest: Rest,
    base: Url,
    scope: String,
    wait: Duration,
}

impl ResourceManager {
    /// At an address.
    pub fn new(base: Url, settings: &AzureSettings, rest: Rest) -> ResourceManager {
        ResourceManager { rest, base, scope: settings.resource_manager_scope.clone(), wait: settings.operation_wait }
    }

    /// A resource; none when it is not there.
    pub async fn get(&self, target: Target<'_>) -> Result<Option<Value>, Failure> {
        match self.send(Method::GET, self.url(target, ""), None).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(failure) if failure.status == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Makes a resource what is wanted, unless it is that; gives what is there
    /// then. Members that are not named are not ours, and left.
    pub async fn ensure(&self, target: Target<'_>, wanted: &Value) -> Result<Value, Failure> {
        if let Some(found) = self.get(target).await? {
            self.check_at_rest(target, &found)?;
            if state(&found) != "Failed" && holds(&found, wanted) {
                return Ok(found);
            }
        }
        self.put(target, wanted).await
    }

    /// Writes a resource and waits for it.
    pub async fn put(&self, target: Target<'_>, body: &Value) -> Result<Value, Failure> {
        self.write(Method::PUT, target, body).await
    }

    /// Changes members of a resource and waits for it.
    pub async fn patch(&self, target: Target<'_>, body: &Value) -> Result<Value, Failure> {
        self.write(Method::PATCH, target, body).await
    }

    async fn write(&self, method: Method, target: Target<'_>, body: &Value) -> Result<Value, Failure> {
        let answer = self.send(method, self.url(target, ""), Some(body)).await?;
        let watched = self.watch(target, &answer).await?;
        if watched == Watched::Nothing && state_is_at_rest(&answer.body) && !answer.body.is_null() {
            return Ok(answer.body);
        }
        let deadline = Instant::now() + self.wait;
        loop {
            let Some(found) = self.get(target).await? else {
                return Err(Failure::going(what(target), "Creating", None));
            };
            match self.check_at_rest(target, &found) {
                // Nobody else says how it ended.
                Ok(()) if watched == Watched::Lost && state(&found) == "Failed" => {
                    return Err(Failure::ended(what(target), "Failed".to_owned()));
                }
                Ok(()) => return Ok(found),
                Err(going) if Instant::now() + POLL >= deadline => return Err(going),
                Err(_) => sleep(POLL).await,
            }
        }
    }

    /// Removes a resource and waits until it is gone; that it is not there is
    /// fine.
    pub async fn delete(&self, target: Target<'_>) -> Result<(), Failure> {
        match self.send(Method::DELETE, self.url(target, ""), None).await {
            Ok(answer) => {
                let watched = self.watch(target, &answer).await?;
                // Nothing said where to look on, or it is not there.
                let is_open = watched == Watched::Lost || watched == Watched::Nothing && answer.status == 202;
                let goes_on = is_open && self.get(target).await?.is_some();
                if goes_on { Err(Failure::going(what(target), "Deleting", None)) } else { Ok(()) }
            }
            Err(failure) if failure.status == Some(404) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// An action on a resource.
    pub async fn post(&self, target: Target<'_>, action: &str, body: Option<&Value>) -> Result<Value, Failure> {
        Ok(self.send(Method::POST, self.url(target, action), body).await?.body)
    }

    /// What a list holds, with a filter; nothing below what is not there.
    pub async fn list(&self, target: Target<'_>, filter: Option<&str>) -> Result<Vec<Value>, Failure> {
        let mut url = self.url(target, "");
        if let Some(filter) = filter {
            url.query_pairs_mut().append_pair("$filter", filter);
        }
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut page = match self.send(Method::GET, url, None).await {
                Ok(answer) => answer.body,
                Err(failure) if failure.status == Some(404) => return Ok(all),
                Err(failure) => return Err(failure),
            };
            if let Some(Value::Array(values)) = page.get_mut("value").map(Value::take) {
                all.extend(values);
            }
            match page.get("nextLink").and_then(Value::as_str).and_then(|link| self.own(link)) {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        Err(Failure::no_answer(what(target), "the list has no end"))
    }

    /// Watches an operation to its end, no longer than may be.
    async fn watch(&self, target: Target<'_>, answer: &Answer) -> Result<Watched, Failure> {
        let operation = answer.header("azure-asyncoperation").and_then(|link| self.own(link));
        let location = answer.header("location").and_then(|link| self.own(link));
        let (url, has_status) = match (operation, location) {
            (Some(url), _) if matches!(answer.status, 200..=202) => (url, true),
            (None, Some(url)) if answer.status == 202 => (url, false),
            _ => return Ok(Watched::Nothing),
        };
        let deadline = Instant::now() + self.wait;
        let mut asked = answer.retry_after_seconds();
        loop {
            let pause = asked.map_or(POLL, Duration::from_secs).max(POLL_MIN);
            if Instant::now() + pause >= deadline {
                return Err(Failure::going(what(target), "InProgress", asked));
            }
            sleep(pause).await;
            let seen = match self.send(Method::GET, url.clone(), None).await {
                Ok(seen) => seen,
                // A removed resource can take its operation with it, and a new operation is not
                // everywhere at once: the resource itself is looked at.
                Err(failure) if failure.status == Some(404) => return Ok(Watched::Lost),
                Err(failure) => return Err(failure),
            };
            asked = seen.retry_after_seconds();
            let status = seen.body.get("status").and_then(Value::as_str).unwrap_or_default();
            match (has_status, status) {
                (false, _) if seen.status == 202 => {}
                (false, _) | (true, "Succeeded") => return Ok(Watched::ToItsEnd),
                (true, "Failed" | "Canceled") => {
                    let code = super::rest::code_of(&seen.body).unwrap_or_else(|| status.to_owned());
                    return Err(Failure::ended(what(target), code));
                }
                _ => {}
            }
        }
    }

    fn check_at_rest(&self, target: Target<'_>, found: &Value) -> Result<(), Failure> {
        match state_is_at_rest(found) {
            true => Ok(()),
            false => Err(Failure::going(what(target), state(found), None)),
        }
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, Failure> {
        self.rest.send(Request { method, url, scope: &self.scope, body }).await
    }

    fn url(&self, target: Target<'_>, action: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let all = target.id.split('/').chain([action]).filter(|segment| !segment.is_empty());
            segments.pop_if_empty().extend(all);
        }
        url.query_pairs_mut().append_pair("api-version", target.version);
        url
    }

    /// An address that an answer named, if it is Resource Manager's own: nobody
    /// else is shown our token.
    fn own(&self, link: &str) -> Option<Url> {
        Url::parse(link).ok().filter(|url| url.origin() == self.base.origin())
    }
}

fn what(target: Target<'_>) -> String {
    let segments: Vec<&str> = target.id.rsplit('/').take(2).collect();
    let last: Vec<&str> = segments.into_iter().rev().collect();
    format!("`{}`", last.join("/"))
}

/// What a resource says of itself.
pub fn state(resource: &Value) -> &str {
    resource.pointer("/properties/provisioningState").and_then(Value::as_str).unwrap_or("Succeeded")
}

fn state_is_at_rest(resource: &Value) -> bool {
    AT_REST.iter().any(|known| known.eq_ignore_ascii_case(state(resource)))
}

/// Whether everything that is wanted is there, whatever else is. Azure gives
/// texts back in other letter case, and regions with blanks.
pub fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| match found.get(name) {
            Some(Value::String(found)) if name == "location" => {
                wanted.as_str().is_some_and(|wanted| arm::Location::new(found) == arm::Location::new(wanted))
            }
            Some(found) => holds(found, wanted),
            None => wanted.as_object().is_some_and(serde_json::Map::is_empty),
        }),
        (Value::String(found), Value::String(wanted)) => found.eq_ignore_ascii_case(wanted),
        (found, wanted) => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_shown_to_nobody_that_an_answer_names() {
        let settings = AzureSettings::default();
        let credential = ::azure::CredentialSettings::Development.credential().unwrap();
        let rest = Rest::new(&settings, credential).unwrap();
        let manager = ResourceManager::new(settings.resource_manager.address().unwrap(), &settings, rest);
        assert!(manager.own("https://management.azure.com/operations/1").is_some());
        for link in ["https://evil.example/", "http://management.azure.com/", "https://management.azure.com:1/", "/x"] {
            assert_eq!(manager.own(link), None, "{link}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_compared() {
        let found = json!({
            "id": "/x", "location": "West US 2", "tags": { "resourceCreatedFor": "/A", "owner": "us" },
            "sku": { "name": "standard", "capacity": 1 }, "properties": { "rights": ["Send"], "status": "Active" },
        });
        let cases = [
            (json!({ "location": "westus2", "sku": { "name": "Standard", "capacity": 1 } }), true),
            (json!({ "tags": { "resourceCreatedFor": "/a" }, "properties": {} }), true),
            (json!({ "properties": { "rights": ["Send"] } }), true),
            (json!({ "properties": { "rights": ["Send", "Listen"] } }), false),
            (json!({ "sku": { "capacity": 2 } }), false),
            (json!({ "kind": "StorageV2" }), false),
            (json!({ "location": "westus3" }), false),
        ];
        for (wanted, expected) in cases {
            assert_eq!(holds(&found, &wanted), expected, "{wanted}");
        }
    }
}
