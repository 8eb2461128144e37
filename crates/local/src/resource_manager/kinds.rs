//! The types that can be made, and what Azure wants of each.

use serde_json::{Value, json};
use uuid::Uuid;

use super::address::Address;

/// How long Azure is at a write, and how it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is done at once.
    Sync,
    /// `Azure-AsyncOperation`, and the resource says `Creating` meanwhile.
    Status,
    /// `Location`, and there is no resource meanwhile.
    Location,
}

/// A type.
#[derive(Debug)]
pub struct Kind {
    /// In lower case.
    pub name: &'static str,
    /// Its api-versions.
    pub versions: &'static [&'static str],
    /// How it is made.
    pub makes: Course,
    /// How it is removed.
    pub removes: Course,
    /// The longest name, and the shortest.
    name_length: (usize, usize),
    /// Characters of names beside letters and digits.
    name_also: &'static str,
    /// Members that a body has to have, as JSON pointers, and what each may be;
    /// anything where nothing is listed.
    needs: &'static [(&'static str, &'static [&'static str])],
    /// What Azure adds.
    fills: fn(&mut Value, &Address),
}

fn nothing(_: &mut Value, _: &Address) {}

fn succeeded(body: &mut Value, _: &Address) {
    body["properties"]["provisioningState"] = json!("Succeeded");
}

fn principal(body: &mut Value, _: &Address) {
    let properties = &mut body["properties"];
    for member in ["principalId", "clientId"] {
        if properties[member].is_null() {
            properties[member] = json!(Uuid::new_v4().to_string());
        }
    }
    properties["tenantId"] = json!("00000000-0000-0000-0000-000000000001");
}

fn keys(body: &mut Value, _: &Address) {
    for member in ["primaryKey", "secondaryKey"] {
        if body["hidden"][member].is_null() {
            body["hidden"][member] = json!(Uuid::new_v4().to_string());
        }
    }
}

fn scope(body: &mut Value, address: &Address) {
    body["properties"]["scope"] = json!(address.parent);
}

const KINDS: [Kind; 9] = [
    Kind {
        name: "resourcegroups",
        versions: &["2021-04-01"],
        makes: Course::Sync,
        removes: Course::Location,
        name_length: (90, 1),
        name_also: "-_.()",
        needs: &[("/location", &[])],
        fills: succeeded,
    },
    Kind {
        name: "microsoft.storage/storageaccounts",
        versions: &["2023-01-01"],
        makes: Course::Location,
        removes: Course::Sync,
        name_length: (24, 3),
        name_also: "",
        needs: &[("/location", &[]), ("/kind", &["StorageV2"]), ("/sku/name", &["Standard_LRS", "Standard_ZRS"])],
        fills: succeeded,
    },
    Kind {
        name: "microsoft.managedidentity/userassignedidentities",
        versions: &["2023-01-31"],
        makes: Course::Sync,
        removes: Course::Sync,
        name_length: (128, 3),
        name_also: "-_",
        needs: &[("/location", &[])],
        fills: principal,
    },
    Kind {
        name: "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials",
        versions: &["2023-01-31"],
        makes: Course::Sync,
        removes: Course::Sync,
        name_length: (120, 3),
        name_also: "-_",
        needs: &[
            ("/properties/issuer", &[]),
            ("/properties/subject", &[]),
            ("/properties/audiences/0", &["api://AzureADTokenExchange"]),
        ],
        fills: nothing,
    },
    Kind {
        name: "microsoft.eventhub/namespaces",
        versions: &["2024-01-01", "2021-11-01"],
        makes: Course::Status,
        removes: Course::Location,
        name_length: (50, 6),
        name_also: "-",
        needs: &[("/location", &[]), ("/sku/name", &["Basic", "Standard", "Premium"]), ("/sku/tier", &[])],
        fills: succeeded,
    },
    Kind {
        name: "microsoft.eventhub/namespaces/eventhubs",
        versions: &["2024-01-01", "2021-11-01"],
        makes: Course::Sync,
        removes: Course::Sync,
        name_length: (256, 1),
        name_also: "-_.",
        needs: &[("/properties/partitionCount", &[]), ("/properties/messageRetentionInDays", &[])],
        fills: nothing,
    },
    Kind {
        name: "microsoft.eventhub/namespaces/eventhubs/consumergroups",
        versions: &["2024-01-01", "2021-11-01"],
        makes: Course::Sync,
        removes: Course::Sync,
        name_length: (50, 1),
        name_also: "-_.",
        needs: &[("/properties", &[])],
        fills: nothing,
    },
    Kind {
        name: "microsoft.eventhub/namespaces/eventhubs/authorizationrules",
        versions: &["2024-01-01", "2021-11-01"],
        makes: Course::Sync,
        removes: Course::Sync,
        name_length: (50, 1),
        name_also: "-_.",
        needs: &[("/properties/rights/0", &["Send", "Listen", "Manage"])],
        fills: keys,
    },
    Kind {
        name: "microsoft.authorization/roleassignments",
        versions: &["2022-04-01"],
        makes: Course::Sync,
        removes: Course::Sync,
        name_length: (36, 36),
        name_also: "-",
        needs: &[
            ("/properties/principalId", &[]),
            ("/properties/roleDefinitionId", &[]),
            ("/properties/principalType", &["ServicePrincipal"]),
        ],
        fills: scope,
    },
];

impl Kind {
    /// A type by its name in lower case.
    pub fn of(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// What is wrong with a name or body: Azure's code.
    pub fn refuses(&self, address: &Address, body: &Value) -> Option<&'static str> {
        let (most, least) = self.name_length;
        let lower = self.name_also.is_empty();
        let fits = |letter: char| match lower {
            true => letter.is_ascii_lowercase() || letter.is_ascii_digit(),
            false => letter.is_ascii_alphanumeric() || self.name_also.contains(letter),
        };
        if !(least..=most).contains(&address.name.len()) || !address.name.chars().all(fits) {
            return Some("InvalidResourceName");
        }
        let is_given = |(pointer, may): &(&str, &[&str])| match body.pointer(pointer) {
            None | Some(Value::Null) => false,
            Some(value) => may.is_empty() || value.as_str().is_some_and(|value| may.contains(&value)),
        };
        (!self.needs.iter().all(is_given)).then_some("InvalidRequestContent")
    }

    /// Adds what Azure adds.
    pub fn fill(&self, body: &mut Value, address: &Address) {
        (self.fills)(body, address);
    }
}
