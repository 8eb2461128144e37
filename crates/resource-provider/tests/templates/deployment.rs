//! A template, deployed as Azure Resource Manager does it: each resource when
//! what it depends on is there, and then the outputs.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Map, Value};

use super::expression::{Lookup, Scope, Stop, What};
use super::provider::{GROUP, SUBSCRIPTION};
use super::site::Site;

/// Of the members of a resource, those that are for Azure Resource Manager alone.
const NOT_SENT: [&str; 4] = ["type", "apiVersion", "name", "dependsOn"];

/// What came of it.
#[derive(Debug)]
pub struct Deployed {
    /// The ids of the resources in the order in which they were made.
    pub order: Vec<String>,
    pub outputs: BTreeMap<String, Value>,
}

/// Deploys the template in a file below `deploy/templates`.
pub async fn deploy(site: &Site, file: &str, parameters: &Value) -> Deployed {
    let path = format!("{}/../../deploy/templates/{file}", env!("CARGO_MANIFEST_DIR"));
    let template: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut scope = scope(&template, parameters);
    let mut left: BTreeMap<String, Value> = BTreeMap::new();
    for resource in template["resources"].as_array().unwrap() {
        let resource = scope.value(resource).unwrap();
        let names: Vec<&str> = resource["name"].as_str().unwrap().split('/').collect();
        let id = scope.id(resource["type"].as_str().unwrap(), &names).unwrap();
        assert!(left.insert(id, resource).is_none(), "two have one name");
    }
    let mut order = Vec::new();
    while !left.is_empty() {
        let (id, resource) = take_ready(&mut left);
        let version = resource["apiVersion"].as_str().unwrap();
        let mut body = resource.as_object().unwrap().clone();
        body.retain(|name, _| !NOT_SENT.contains(&name.as_str()));
        let made = site.provider.put(&id, version, &Value::Object(body)).await.is(201);
        assert_eq!(site.done(made).await["status"], "Succeeded", "{id}");
        order.push(id);
    }
    let mut outputs = BTreeMap::new();
    for (name, output) in template["outputs"].as_object().unwrap() {
        outputs.insert(name.clone(), output_value(site, &mut scope, &output["value"]).await);
    }
    Deployed { order, outputs }
}

/// What the expressions may use: given parameters, and the defaults of others.
fn scope(template: &Value, given: &Value) -> Scope {
    let group = GROUP.split("/providers/").next().unwrap().to_owned();
    assert!(group.contains(SUBSCRIPTION));
    let mut scope = Scope { group, location: "westus2".to_owned(), ..Scope::default() };
    let declared = template["parameters"].as_object().unwrap();
    let unknown: Vec<&String> =
        given.as_object().unwrap().keys().filter(|name| !declared.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "the template has no {unknown:?}");
    for (name, parameter) in declared {
        let value = given.get(name).cloned().or_else(|| Some(scope.value(parameter.get("defaultValue")?).unwrap()));
        let value = value.unwrap_or_else(|| panic!("`{name}` is not given"));
        let allowed = parameter.get("allowedValues").and_then(Value::as_array);
        assert!(allowed.is_none_or(|allowed| allowed.contains(&value)), "`{name}` is {value}");
        scope.parameters.insert(name.clone(), value);
    }
    for (name, value) in template["variables"].as_object().unwrap_or(&Map::new()) {
        let value = scope.value(value).unwrap();
        scope.variables.insert(name.clone(), value);
    }
    scope
}

/// A resource that depends on nothing that is left.
fn take_ready(left: &mut BTreeMap<String, Value>) -> (String, Value) {
    let ids: BTreeSet<String> = left.keys().cloned().collect();
    let waits = |resource: &Value| {
        let on = resource["dependsOn"].as_array().into_iter().flatten();
        on.filter_map(Value::as_str).any(|id| ids.contains(id))
    };
    let ready = left.iter().find(|(_, resource)| !waits(resource)).map(|(id, _)| id.clone());
    left.remove_entry(&ready.expect("the resources wait for each other")).unwrap()
}

/// The value of an output, with what has to be looked up for it.
async fn output_value(site: &Site, scope: &mut Scope, value: &Value) -> Value {
    loop {
        match scope.value(value) {
            Ok(value) => return value,
            Err(Stop::Wrong(message)) => panic!("{message}"),
            Err(Stop::Needs(lookup)) => {
                let Lookup { what, id, version } = &lookup;
                let found = match what {
                    What::Resource => site.provider.get(id, version).await,
                    What::Keys => site.provider.send(Method::POST, &format!("{id}/listKeys"), version, "", &[]).await,
                };
                scope.known.insert(lookup, found.is(200).body);
            }
        }
    }
}
