//! What each verb does.

use serde_json::{Value, json};
use uuid::Uuid;

use super::address::Address;
use super::kinds::{Course, Kind};
use super::state::{Going, Held, Operation, Resource};

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// The number of an operation, and whether its status is told or its end.
    pub operation: Option<(u64, Course)>,
    /// Its body; null for none.
    pub body: Value,
}

impl Reply {
    pub fn of(status: u16, body: Value) -> Reply {
        Reply { status, operation: None, body }
    }

    pub fn error(status: u16, code: &str) -> Reply {
        Reply::of(status, json!({ "error": { "code": code, "message": "see the code" } }))
    }
}

impl Held {
    /// A resource or a list.
    pub fn get(&mut self, address: &Address, filter: Option<&str>) -> Reply {
        if address.name.is_empty() {
            return self.list(address, filter);
        }
        let key = address.key();
        self.look_at(&key);
        match self.resources.get(&key) {
            Some(resource) if resource.going != Some(Going::Creating { is_seen: false }) => {
                Reply::of(200, resource.shown())
            }
            _ => Reply::error(404, "ResourceNotFound"),
        }
    }

    fn list(&self, address: &Address, filter: Option<&str>) -> Reply {
        if address.parent.as_ref().is_some_and(|parent| !self.is_scope(&parent.to_lowercase())) {
            return Reply::error(404, "ResourceNotFound");
        }
        let below = format!("{}/", address.key());
        let asked = |begin: &str| filter.and_then(|filter| filter.strip_prefix(begin)?.strip_suffix('\''));
        let (principal, tag) = (asked("principalId eq '"), asked("tagName eq '"));
        let is_meant = |resource: &&Resource| {
            let found = resource.body.pointer("/properties/principalId").and_then(Value::as_str);
            let has = |tag: &str| resource.body["tags"].get(tag).is_some();
            principal.is_none_or(|principal| found == Some(principal)) && tag.is_none_or(has)
        };
        let is_one = |key: &str| key.strip_prefix(&below).is_some_and(|name| !name.contains('/'));
        let values = self.resources.iter().filter(|(key, _)| is_one(key)).map(|(_, resource)| resource);
        let values: Vec<Value> = values.filter(is_meant).map(Resource::shown).collect();
        Reply::of(200, json!({ "value": values }))
    }

    /// Whether something can be on it: a resource, or a secret of a vault, which
    /// is none.
    fn is_scope(&self, key: &str) -> bool {
        let vault = key.rsplit_once("/secrets/").map(|(vault, _)| vault);
        self.resources.contains_key(key) || vault.is_some_and(|vault| self.resources.contains_key(vault))
    }

    /// Makes or replaces a resource, or merges into it.
    pub fn write(&mut self, address: &Address, mut body: Value, is_patch: bool, fails: bool) -> Reply {
        let Some(kind) = Kind::of(&address.kind_key()) else { return Reply::error(403, "AuthorizationFailed") };
        let key = address.key();
        self.look_at(&key);
        let before = self.resources.get(&key).cloned();
        if before.as_ref().is_some_and(|before| before.going.is_some()) || self.is_being_removed(&key) {
            return Reply::error(409, "Conflict");
        }
        if let Some(parent) = &address.parent
            && !self.is_scope(&parent.to_lowercase())
        {
            return Reply::error(404, "ParentResourceNotFound");
        }
        if is_patch {
            let Some(before) = &before else { return Reply::error(404, "ResourceNotFound") };
            let mut merged = before.body.clone();
            merge(&mut merged, &body);
            body = merged;
        }
        if let Some(code) = kind.refuses(address, &body) {
            return Reply::error(400, code);
        }
        if let Some(refused) = self.refuses(address, &body, before.as_ref()) {
            return refused;
        }
        if let Some(before) = &before {
            // What was given stays: principals, keys.
            for member in ["principalId", "clientId"] {
                if kind.name.ends_with("userassignedidentities") {
                    body["properties"][member] = before.body["properties"][member].clone();
                }
            }
            body["hidden"] = before.body["hidden"].clone();
        }
        body["id"] = json!(address.id);
        body["name"] = json!(address.name);
        body["type"] = json!(address.kind);
        kind.fill(&mut body, address);
        let going = match (&before, kind.makes) {
            (None, Course::Status) => Some(Going::Creating { is_seen: true }),
            (None, Course::Location) => Some(Going::Creating { is_seen: false }),
            _ => None,
        };
        let resource = Resource { id: address.id.clone(), body, was_there: false, going };
        let shown = resource.shown();
        self.resources.insert(key.clone(), resource);
        let status = if before.is_some() { 200 } else { 201 };
        match going {
            None => Reply::of(status, shown),
            Some(_) => self.begin(key, kind.makes, shown, fails),
        }
    }

    /// What is wrong with a body in the light of what else is there.
    fn refuses(&self, address: &Address, body: &Value, before: Option<&Resource>) -> Option<Reply> {
        let moved = before.is_some_and(|before| before.body["location"] != body["location"]);
        if moved {
            return Some(Reply::error(409, "InvalidResourceLocation"));
        }
        match address.kind_key().as_str() {
            "microsoft.authorization/roleassignments" => self.refuses_role(address, body, before),
            "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials" => {
                let siblings = format!("{}/", address.key().rsplit_once('/')?.0);
                let count = self.resources.keys().filter(|key| key.starts_with(&siblings)).count();
                let issuer = body.pointer("/properties/issuer").and_then(Value::as_str).unwrap_or_default();
                let is_refused = (before.is_none() && count >= 20) || !issuer.starts_with("https://");
                is_refused.then(|| Reply::error(400, "BadRequest"))
            }
            "microsoft.eventhub/namespaces/eventhubs" => {
                let count = |body: &Value| body.pointer("/properties/partitionCount").cloned();
                let repartitioned = before.is_some_and(|before| count(&before.body) != count(body));
                repartitioned.then(|| Reply::error(400, "BadRequest"))
            }
            _ => None,
        }
    }

    fn refuses_role(&self, address: &Address, body: &Value, before: Option<&Resource>) -> Option<Reply> {
        let text = |body: &Value, member: &str| body["properties"][member].as_str().unwrap_or_default().to_lowercase();
        let (principal, role) = (text(body, "principalId"), text(body, "roleDefinitionId"));
        let is_identity = |resource: &Resource| {
            resource.body["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities"
                && text(&resource.body, "principalId") == principal
        };
        if !self.resources.values().any(is_identity) {
            return Some(Reply::error(400, "PrincipalNotFound"));
        }
        if before.is_some_and(|before| text(&before.body, "principalId") != principal) {
            return Some(Reply::error(409, "RoleAssignmentUpdateNotPermitted"));
        }
        let siblings = format!("{}/", address.key().rsplit_once('/')?.0);
        let is_same = |(key, other): (&String, &Resource)| {
            key.starts_with(&siblings)
                && *key != address.key()
                && text(&other.body, "principalId") == principal
                && text(&other.body, "roleDefinitionId") == role
        };
        self.resources.iter().any(is_same).then(|| Reply::error(409, "RoleAssignmentExists"))
    }

    /// Removes a resource.
    pub fn delete(&mut self, address: &Address, fails: bool) -> Reply {
        let Some(kind) = Kind::of(&address.kind_key()) else { return Reply::error(403, "AuthorizationFailed") };
        let key = address.key();
        self.look_at(&key);
        let Some(resource) = self.resources.get_mut(&key) else {
            return match kind.name {
                "resourcegroups" => Reply::error(404, "ResourceGroupNotFound"),
                _ => Reply::of(204, Value::Null),
            };
        };
        if resource.going.is_some() {
            return Reply::error(409, "Conflict");
        }
        match kind.removes {
            Course::Sync => {
                self.remove(&key);
                Reply::of(200, Value::Null)
            }
            course => {
                resource.going = Some(Going::Deleting);
                self.begin(key, course, Value::Null, fails)
            }
        }
    }

    fn begin(&mut self, key: String, course: Course, shown: Value, fails: bool) -> Reply {
        let number = self.operations.last_key_value().map_or(1, |(number, _)| number + 1);
        self.operations.insert(number, Operation { key, looks: self.looks, fails, has_ended: false });
        match course {
            Course::Status => Reply { status: 201, operation: Some((number, course)), body: shown },
            _ => Reply { status: 202, operation: Some((number, course)), body: Value::Null },
        }
    }

    /// The keys of a rule.
    pub fn act(&mut self, address: &Address, action: &str, body: &Value) -> Reply {
        let key = address.key();
        let is_rule = address.kind_key().ends_with("eventhubs/authorizationrules");
        let Some(rule) = self.resources.get_mut(&key).filter(|_| is_rule) else {
            return Reply::error(404, "ResourceNotFound");
        };
        match (action.to_lowercase().as_str(), body["keyType"].as_str()) {
            ("listkeys", _) => {}
            ("regeneratekeys", Some("PrimaryKey")) => {
                rule.body["hidden"]["primaryKey"] = json!(Uuid::new_v4().to_string());
            }
            ("regeneratekeys", Some("SecondaryKey")) => {
                rule.body["hidden"]["secondaryKey"] = json!(Uuid::new_v4().to_string());
            }
            _ => return Reply::error(400, "BadRequest"),
        }
        let segments: Vec<&str> = rule.id.split('/').collect();
        let (namespace, hub) = (segments[segments.len() - 5], segments[segments.len() - 3]);
        let string = |which: &str| {
            let key = rule.body["hidden"][which].as_str().unwrap_or_default();
            let name = &address.name;
            format!(
                "Endpoint=sb://{namespace}.servicebus.windows.net/;SharedAccessKeyName={name};SharedAccessKey={key};EntityPath={hub}"
            )
        };
        Reply::of(
            200,
            json!({
                "keyName": address.name,
                "primaryKey": rule.body["hidden"]["primaryKey"],
                "secondaryKey": rule.body["hidden"]["secondaryKey"],
                "primaryConnectionString": string("primaryKey"),
                "secondaryConnectionString": string("secondaryKey"),
            }),
        )
    }
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}
