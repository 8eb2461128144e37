//! What the operator made, and what it takes away again. Pure.
//!
//! ```text
//! inventory of the status + render --> inventory to store before anything is applied
//! inventory - render              --> what to prune, after all of it was applied
//! ```

use custom_resources::InventoryItem;

use std::collections::BTreeMap;

use crate::manifest::Manifest;

/// Kind and name.
pub type Key = (String, String);

/// What is there under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// Ours, with this uid.
    Ours(String),
    /// Somebody else's.
    Foreign,
}

fn key(kind: &str, name: &str) -> Key {
    (kind.to_owned(), name.to_owned())
}

impl Manifest {
    /// Its kind and name.
    pub fn key(&self) -> Key {
        key(self.kind.kind, &self.name)
    }
}

/// All that is or will be ours: stored before it is applied, so that what was
/// made just before an end of the process is known after it.
pub fn before(stored: &[InventoryItem], rendered: &[Manifest], found: &BTreeMap<Key, Found>) -> Vec<InventoryItem> {
    let mut all: BTreeMap<Key, Option<String>> =
        stored.iter().map(|item| (key(&item.kind, &item.name), item.uid.clone())).collect();
    for manifest in rendered {
        let key = manifest.key();
        let uid = match found.get(&key) {
            Some(Found::Ours(uid)) => Some(uid.clone()),
            // What had the uid of the inventory is gone.
            _ => None,
        };
        all.insert(key, uid);
    }
    all.into_iter().map(|((kind, name), uid)| InventoryItem { kind, name, uid }).collect()
}

/// What is ours after everything was applied and pruned, with what is `left` of
/// what should have been pruned.
pub fn after(rendered: &[Manifest], uids: &BTreeMap<Key, String>, left: Vec<InventoryItem>) -> Vec<InventoryItem> {
    let item = |manifest: &Manifest| {
        let key = manifest.key();
        let uid = uids.get(&key).cloned();
        let (kind, name) = key;
        InventoryItem { kind, name, uid }
    };
    let mut items: Vec<InventoryItem> = rendered.iter().map(item).chain(left).collect();
    items.sort();
    items
}

/// What the inventory has and the render does not.
pub fn surplus(inventory: &[InventoryItem], rendered: &[Manifest]) -> Vec<InventoryItem> {
    let is_rendered = |item: &InventoryItem| {
        rendered.iter().any(|manifest| manifest.kind.kind == item.kind && manifest.name == item.name)
    };
    inventory.iter().filter(|item| !is_rendered(item)).cloned().collect()
}

/// The uid to delete by: of what is there, if it is ours and what the inventory
/// means.
pub fn deletable(item: &InventoryItem, found: &Found) -> Option<String> {
    match found {
        Found::Ours(uid) if item.uid.as_ref().is_none_or(|known| known == uid) => Some(uid.clone()),
        // Gone, or made anew by somebody under the same name.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn item(kind: &str, name: &str, uid: Option<&str>) -> InventoryItem {
        InventoryItem { kind: kind.to_owned(), name: name.to_owned(), uid: uid.map(str::to_owned) }
    }

    fn rendered(names: &[&str]) -> Vec<Manifest> {
        let documents = names
            .iter()
            .map(|name| format!("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n"));
        manifest::read(&documents.collect::<String>(), "ns1", names.len()).unwrap()
    }

    fn ours(name: &str, uid: &str) -> (Key, Found) {
        (key("Deployment", name), Found::Ours(uid.to_owned()))
    }

    #[test]
    fn stores_what_is_there_and_what_will_be() {
        let cases = [
            ("at first", vec![], vec![], vec![item("Deployment", "a", None)]),
            (
                "there already, after an end in between",
                vec![item("Deployment", "a", None)],
                vec![ours("a", "1")],
                vec![item("Deployment", "a", Some("1"))],
            ),
            (
                "deleted by hand",
                vec![item("Deployment", "a", Some("1"))],
                vec![(key("Deployment", "a"), Found::Absent)],
                vec![item("Deployment", "a", None)],
            ),
            (
                "an old one stays until it is pruned",
                vec![item("Deployment", "old", Some("9")), item("Deployment", "a", Some("1"))],
                vec![ours("a", "1")],
                vec![item("Deployment", "a", Some("1")), item("Deployment", "old", Some("9"))],
            ),
        ];
        for (name, stored, found, expected) in cases {
            assert_eq!(before(&stored, &rendered(&["a"]), &found.into_iter().collect()), expected, "{name}");
        }
    }

    #[test]
    fn stores_what_was_applied() {
        let uids = BTreeMap::from([(key("Deployment", "a"), "1".to_owned())]);
        let left = item("Secret", "a", Some("2"));
        let expected = vec![item("Deployment", "a", Some("1")), item("Deployment", "b", None), left.clone()];
        assert_eq!(after(&rendered(&["b", "a"]), &uids, vec![left]), expected);
    }

    #[test]
    fn prunes_what_is_not_rendered() {
        let inventory =
            [item("Deployment", "a", Some("1")), item("Deployment", "old", Some("2")), item("Secret", "a", None)];
        let expected = vec![item("Deployment", "old", Some("2")), item("Secret", "a", None)];
        assert_eq!(surplus(&inventory, &rendered(&["a"])), expected);
        assert_eq!(surplus(&inventory[..1], &rendered(&["a"])), vec![]);
    }

    #[test]
    fn deletes_only_what_it_made() {
        let ours = |uid: &str| Found::Ours(uid.to_owned());
        let cases = [
            ("the one meant", Some("1"), ours("1"), Some("1")),
            ("one whose uid was not stored yet", None, ours("1"), Some("1")),
            ("another of ours", Some("1"), ours("2"), None),
            ("somebody else's", None, Found::Foreign, None),
            ("nothing", Some("1"), Found::Absent, None),
        ];
        for (name, uid, found, expected) in cases {
            let deleted = deletable(&item("Deployment", "a", uid), &found);
            assert_eq!(deleted.as_deref(), expected, "{name}");
        }
    }
}
