//! What a path names.

/// A resource, a list of resources, or an action on one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The id of the resource, as it was written.
    pub id: String,
    /// The type: `Microsoft.EventHub/namespaces/eventhubs`, `resourceGroups`.
    pub kind: String,
    /// Its own name; empty for a list.
    pub name: String,
    /// The id of what has to be there before.
    pub parent: Option<String>,
    /// What comes behind the resource: the action of a POST.
    pub action: Option<String>,
}

impl Address {
    /// Reads a path. An odd segment at the end is a list's type for all verbs
    /// but POST, and a POST's action.
    pub fn read(path: &str, is_post: bool) -> Option<Address> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let is = |index: usize, word: &str| segments.get(index).is_some_and(|found| found.eq_ignore_ascii_case(word));
        if !is(0, "subscriptions") {
            return None;
        }
        let id_of = |segments: &[&str]| format!("/{}", segments.join("/"));
        if segments.len() == 3 && is(2, "resourcegroups") {
            let (id, kind, name) = (id_of(&segments), "resourceGroups".to_owned(), String::new());
            return Some(Address { id, kind, name, parent: None, action: None });
        }
        let Some(provider) = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers")) else {
            return (segments.len() == 4 && is(2, "resourcegroups")).then(|| Address {
                id: id_of(&segments),
                kind: "resourceGroups".to_owned(),
                name: segments[3].to_owned(),
                parent: None,
                action: None,
            });
        };
        let namespace = segments.get(provider + 1)?;
        let rest = &segments[provider + 2..];
        let odd = rest.len() % 2 == 1;
        let (pairs, action) = match (odd, is_post) {
            (true, true) => (&rest[..rest.len() - 1], rest.last().map(|action| (*action).to_owned())),
            _ => (rest, None),
        };
        let types: Vec<&str> = pairs.iter().step_by(2).copied().collect();
        let name = if odd && !is_post { "" } else { pairs.last()? };
        let end = provider + 2 + pairs.len();
        let parent = match types.len() {
            0 => return None,
            1 => id_of(&segments[..provider]),
            count => id_of(&segments[..provider + 2 + 2 * (count - 1)]),
        };
        Some(Address {
            id: id_of(&segments[..end]),
            kind: format!("{namespace}/{}", types.join("/")),
            name: name.to_owned(),
            parent: Some(parent),
            action,
        })
    }

    /// The id, as it is compared.
    pub fn key(&self) -> String {
        self.id.to_lowercase()
    }

    /// The type, as it is compared.
    pub fn kind_key(&self) -> String {
        self.kind.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_groups_resources_lists_actions_and_what_is_on_a_resource() {
        let group = "/subscriptions/s/resourceGroups/g";
        let hubs = format!("{group}/providers/Microsoft.EventHub/namespaces/n");
        let assignments = "providers/Microsoft.Authorization/roleAssignments";
        let cases = [
            (group.to_owned(), false, "resourceGroups", "g", None, None),
            ("/subscriptions/s/resourcegroups".to_owned(), false, "resourceGroups", "", None, None),
            (hubs.clone(), false, "Microsoft.EventHub/namespaces", "n", Some(group.to_owned()), None),
            (
                format!("{hubs}/eventhubs/h"),
                false,
                "Microsoft.EventHub/namespaces/eventhubs",
                "h",
                Some(hubs.clone()),
                None,
            ),
            (
                format!("{hubs}/eventhubs"),
                false,
                "Microsoft.EventHub/namespaces/eventhubs",
                "",
                Some(hubs.clone()),
                None,
            ),
            (
                format!("{hubs}/{assignments}/a"),
                false,
                "Microsoft.Authorization/roleAssignments",
                "a",
                Some(hubs.clone()),
                None,
            ),
            (
                format!("{hubs}/listKeys"),
                true,
                "Microsoft.EventHub/namespaces",
                "n",
                Some(group.to_owned()),
                Some("listKeys"),
            ),
        ];
        for (path, is_post, kind, name, parent, action) in cases {
            let read = Address::read(&path, is_post).expect("an address");
            let found = (read.kind.as_str(), read.name.as_str(), read.parent.clone(), read.action.as_deref());
            assert_eq!(found, (kind, name, parent, action), "{path}");
        }
        assert_eq!(Address::read("/providers/x", false), None);
        assert_eq!(Address::read("/subscriptions/s/providers/Microsoft.EventHub", false), None);
    }
}
