//! What is there, and what goes on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::faults::Fault;

/// Everything.
#[derive(Debug)]
pub struct Held {
    /// By id in lower case.
    pub resources: BTreeMap<String, Resource>,
    /// By number.
    pub operations: BTreeMap<u64, Operation>,
    /// What is to go wrong.
    pub faults: Vec<Fault>,
    /// How often an operation is looked at before it has ended.
    pub looks: u32,
    /// Requests that change.
    pub write_count: usize,
    /// The rights that were needed.
    pub actions: BTreeSet<String>,
}

impl Default for Held {
    fn default() -> Held {
        Held {
            resources: BTreeMap::new(),
            operations: BTreeMap::new(),
            faults: Vec::new(),
            looks: 1,
            write_count: 0,
            actions: BTreeSet::new(),
        }
    }
}

/// A resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The id, as it was made.
    pub id: String,
    /// What a GET shows, and below `hidden` what only actions do.
    pub body: Value,
    /// Whether it was there before anybody made anything.
    pub was_there: bool,
    /// What is being done to it.
    pub going: Option<Going>,
}

/// What is being done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// It is made; whether it can be seen meanwhile.
    Creating {
        /// Whether a GET finds it.
        is_seen: bool,
    },
    /// It is removed.
    Deleting,
}

/// An operation on a resource.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The resource, by id in lower case.
    pub key: String,
    /// How often it is looked at yet.
    pub looks: u32,
    /// Whether it fails.
    pub fails: bool,
    /// Whether it is over: what is done to the resource later is none of its.
    pub has_ended: bool,
}

impl Held {
    /// See [`super::ResourceManager::put_existing`].
    pub fn put_existing(&mut self, id: &str, mut body: Value) {
        body["id"] = json!(id);
        let resource = Resource { id: id.to_owned(), body, was_there: true, going: None };
        self.resources.insert(id.to_lowercase(), resource);
    }

    /// See [`super::ResourceManager::resource`].
    pub fn resource(&self, id: &str) -> Option<Value> {
        self.resources.get(&id.to_lowercase()).map(Resource::shown)
    }

    /// See [`super::ResourceManager::made`].
    pub fn made(&self) -> BTreeSet<String> {
        self.resources.iter().filter(|(_, resource)| !resource.was_there).map(|(key, _)| key.clone()).collect()
    }

    /// Removes a resource with what is below and on it.
    pub fn remove(&mut self, key: &str) {
        let below = format!("{key}/");
        self.resources.retain(|other, _| other != key && !other.starts_with(&below));
    }

    /// Whether a resource, or what it is in, is being removed.
    pub fn is_being_removed(&self, key: &str) -> bool {
        let is_above = |above: &String| key == above || key.starts_with(&format!("{above}/"));
        self.resources.iter().any(|(above, resource)| resource.going == Some(Going::Deleting) && is_above(above))
    }

    /// Looks at what is being done to a resource, which brings it forward.
    pub fn look_at(&mut self, key: &str) {
        let numbers = self.operations.iter().filter(|(_, operation)| operation.key == key).map(|(number, _)| *number);
        for number in numbers.collect::<Vec<_>>() {
            self.look(number);
        }
    }

    /// Looks at an operation: whether it has ended, and how; none when there is
    /// no such operation.
    pub fn look(&mut self, number: u64) -> Option<Result<bool, ()>> {
        let operation = self.operations.get_mut(&number)?;
        if operation.has_ended {
            return Some(if operation.fails { Err(()) } else { Ok(true) });
        }
        if operation.looks > 0 {
            operation.looks -= 1;
            return Some(Ok(false));
        }
        operation.has_ended = true;
        let Operation { key, fails, .. } = operation.clone();
        if fails {
            if let Some(resource) = self.resources.get_mut(&key) {
                resource.going = None;
                resource.body["properties"]["provisioningState"] = json!("Failed");
            }
            return Some(Err(()));
        }
        let going = self.resources.get_mut(&key).and_then(|resource| resource.going.take());
        if let Some(Going::Deleting) = going {
            self.remove(&key);
        }
        Some(Ok(true))
    }
}

impl Resource {
    /// What a GET shows.
    pub fn shown(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(members) = body.as_object_mut() {
            members.remove("hidden");
        }
        let state = match self.going {
            Some(Going::Creating { .. }) => "Creating",
            Some(Going::Deleting) => "Deleting",
            None => return body,
        };
        body["properties"]["provisioningState"] = json!(state);
        body
    }
}
