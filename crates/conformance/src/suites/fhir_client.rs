//! The suite `fhir-client`: references, searches and headers.

use std::collections::BTreeSet;

use fhir_client::identity::reference_id;
use fhir_client::search::{Identifier, expanded_query, only_one};
use fhir_client::version::update_header;
use fhir_client::{IdentityOptions, Mode, Resolver, Subject};
use serde_json::{Value, json};

use super::case;
use crate::Outcome;
use crate::scripted_server::{Asked, Reply, Script, ScriptedServer, against, soon};

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let outcome = match case::text(case, "operation") {
        "reference-id" => Ok(reference(case)),
        "expanded-search" => Ok(expanded_search(case)),
        "update-header" => Ok(header(case)),
        "read-all-pages" => {
            against(Pages::of(case), async |server: &ScriptedServer<Pages>| read_all(case, server).await)
        }
        "read-one" => against(Pages::of(case), async |server: &ScriptedServer<Pages>| read_one(case, server).await),
        "ensure" => {
            let pages = Pages::of_results(case);
            against(pages, async |server: &ScriptedServer<Pages>| ensure(case, server).await)
        }
        other => Ok(Outcome::Skipped(format!("the operation `{other}` is not known"))),
    };
    outcome.unwrap_or_else(|error| Outcome::failed("a server", error.to_string()))
}

fn reference(case: &Value) -> Outcome {
    let id = reference_id(case::text(case, "reference"), case::text(case, "resourceType"));
    Outcome::compare(&case["expect"]["id"], &json!(id))
}

fn expanded_search(case: &Value) -> Outcome {
    let identifier = &case["identifier"];
    let expect = &case["expect"];
    // A value is never missing where the query is made; there the type says so.
    let got = match identifier["value"].as_str() {
        Some(value) => json!({ "query": expanded_query(Identifier { system: identifier["system"].as_str(), value }) }),
        None => json!({ "error": { "kind": "argument-null" } }),
    };
    Outcome::compare(expect, &got)
}

fn header(case: &Value) -> Outcome {
    let got = match update_header(&case["resource"]) {
        Some(tag) => json!({ "If-Match": tag }),
        None => json!({}),
    };
    let expected = case["expect"].get("headers").cloned().unwrap_or_else(|| json!({}));
    match case::difference(&expected, &got, "") {
        None => Outcome::Passed,
        Some(_) => Outcome::failed(expected.to_string(), got.to_string()),
    }
}

/// Pages of search results, each found where the one before says.
struct Pages {
    pages: Vec<Value>,
    kind: String,
    /// The pages that were asked for, by position.
    served: Vec<usize>,
    written: Vec<Value>,
}

impl Script for Pages {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.method.as_str() {
            "PUT" => {
                self.written.push(asked.body.clone());
                Reply { status: 201, version: Some("1".to_owned()), body: asked.body.clone() }
            }
            "GET" if asked.search().is_some() => {
                if asked.search().is_some_and(|search| !search.starts_with(&format!("{}?", self.kind))) {
                    return Reply::page(&[]);
                }
                self.serve(0)
            }
            "GET" => match self.follower(&asked.path.join("/")) {
                Some(at) => self.serve(at),
                None => Reply::refusal(404),
            },
            _ => Reply::refusal(404),
        }
    }
}

impl Pages {
    fn of(case: &Value) -> Pages {
        let kind = case.get("resourceType").and_then(Value::as_str).unwrap_or("Observation").to_owned();
        Pages { pages: list(&case["pages"]), kind, served: Vec::new(), written: Vec::new() }
    }

    /// The first of `searchResults` is what the search finds.
    fn of_results(case: &Value) -> Pages {
        let found = case["searchResults"].get(0).cloned().unwrap_or_else(|| json!([]));
        Pages { pages: vec![json!({ "entries": found })], ..Pages::of(case) }
    }

    /// The page whose address is this path: our client takes the server of the
    /// base, whatever a link says, so only the path counts.
    fn follower(&self, path: &str) -> Option<usize> {
        let is_it = |page: &Value| page["next"].as_str().is_some_and(|next| path_of(next) == path);
        self.pages.iter().position(is_it).map(|at| at + 1)
    }

    fn serve(&mut self, at: usize) -> Reply {
        let Some(page) = self.pages.get(at) else { return Reply::refusal(404) };
        self.served.push(at);
        let mut bundle = Reply::page(&list(&page["entries"])).body;
        bundle["id"] = page["id"].clone();
        if let Some(next) = page["next"].as_str() {
            bundle["link"] = json!([{ "relation": "next", "url": next }]);
        }
        Reply::found(bundle)
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn path_of(address: &str) -> String {
    let path = address.split_once("://").map_or(address, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    path.split('?').next().unwrap_or_default().trim_matches('/').to_owned()
}

const ANYTHING: Identifier<'static> = Identifier { system: None, value: "any" };

async fn read_all(case: &Value, server: &ScriptedServer<Pages>) -> Outcome {
    let found = server.client().search("Observation", ANYTHING, soon()).await;
    if let Err(error) = found {
        return Outcome::failed("all pages", error.to_string());
    }
    let (served, pages) = server.script(|pages| (pages.served.clone(), pages.pages.clone()));
    let followed = served.get(1..).unwrap_or_default();
    let requested: Vec<&Value> = followed.iter().map(|at| &pages[at - 1]["next"]).collect();
    let additional: Vec<&Value> = followed.iter().map(|at| &pages[*at]["id"]).collect();
    Outcome::compare(&case["expect"], &json!({ "requested": requested, "additionalPages": additional }))
}

/// The types that are read one of; an error names its type for good.
const KINDS: [&str; 4] = ["Observation", "Device", "Patient", "Encounter"];

async fn read_one(case: &Value, server: &ScriptedServer<Pages>) -> Outcome {
    let Some(kind) = KINDS.into_iter().find(|kind| case["resourceType"] == **kind) else {
        return Outcome::Skipped("the connector never reads one of this type".to_owned());
    };
    let found = match server.client().search(kind, ANYTHING, soon()).await {
        Ok(found) => found,
        Err(error) => return Outcome::failed(case["expect"].to_string(), error.to_string()),
    };
    let got = match only_one(kind, found) {
        Ok(resource) => json!({ "resource": resource }),
        Err(several) => json!({ "error": { "kind": "multiple-resources-found", "resourceType": several.kind } }),
    };
    match case::difference(&case["expect"], &got, "") {
        None => Outcome::Passed,
        Some(_) => Outcome::failed(case["expect"].to_string(), got.to_string()),
    }
}

/// Finds a resource, or creates it: a search, and what [`Resolver`] does in mode
/// `Create` when it finds nothing.
async fn ensure(case: &Value, server: &ScriptedServer<Pages>) -> Outcome {
    let identifier = &case["identifier"];
    let (system, value) = (identifier["system"].as_str(), case::text(identifier, "value"));
    let Some(kind) = KINDS.into_iter().find(|kind| case["resourceType"] == **kind) else {
        return Outcome::Skipped("the connector never creates one of this type".to_owned());
    };
    let found = match server.client().search(kind, Identifier { system, value }, soon()).await {
        Ok(found) => found,
        Err(error) => return Outcome::failed(case["expect"].to_string(), error.to_string()),
    };
    let resource = match only_one(kind, found) {
        Ok(Some(resource)) => Some(resource),
        Ok(None) => match create(kind, system, value, server).await {
            Ok(created) => created,
            Err(reason) => return Outcome::Skipped(reason),
        },
        Err(several) => {
            let error = json!({ "kind": "multiple-resources-found", "resourceType": several.kind });
            return Outcome::compare(&case["expect"]["error"], &error);
        }
    };
    let expect = &case["expect"];
    if case::difference(&expect["resource"], &json!(resource), "").is_some() {
        return Outcome::failed(expect["resource"].to_string(), json!(resource).to_string());
    }
    // The same interactions, whatever else of ours comes with them.
    let queries = |requests: &[Value]| -> BTreeSet<String> {
        let searches = requests.iter().filter(|request| request["method"] == "search");
        searches.map(|search| format!("{}?{}", case::text(search, "type"), case::text(search, "query"))).collect()
    };
    let asked: BTreeSet<String> = server.asked().iter().filter_map(Asked::search).collect();
    let expected = queries(&list(&expect["requests"]));
    if expected.is_subset(&asked) {
        Outcome::Passed
    } else {
        Outcome::failed(format!("{expected:?}"), format!("{asked:?}"))
    }
}

/// Lets the resolver create a Patient or a Device; gives what was written.
async fn create(
    kind: &str,
    system: Option<&str>,
    value: &str,
    server: &ScriptedServer<Pages>,
) -> Result<Option<Value>, String> {
    let mut options = IdentityOptions::new(Mode::Create);
    let subject = match (kind, system) {
        ("Device", _) => {
            options.device_system = system.map(str::to_owned);
            Subject { device_id: value, patient_id: Some("patient"), encounter_id: None }
        }
        ("Patient", None) => Subject { device_id: "device", patient_id: Some(value), encounter_id: None },
        _ => return Err("the connector creates no such resource with a system".to_owned()),
    };
    let resolver = Resolver::new(server.client(), options);
    resolver.resolve(subject, soon()).await.map_err(|error| error.to_string())?;
    let is_it = |written: &&Value| written["resourceType"] == kind;
    Ok(server.script(|pages| pages.written.iter().find(is_it).cloned()))
}
