//! Hubs that are one and must be two: what is written to one that is read comes
//! in again, and again.
//!
//! ```text
//! settings of each hub --> its name --> a problem for each that was named before
//! ```

use crate::{Checks, non_blank};

/// A hub as the settings name it.
#[derive(Clone, Debug)]
pub struct NamedHub {
    prefix: &'static str,
    /// In lower case, which is how Event Hubs compares both.
    namespace: String,
    hub: String,
}

impl NamedHub {
    /// What settings that begin with `prefix` name; none unless they name both.
    pub fn new(prefix: &'static str, namespace: Option<String>, hub: Option<String>) -> Option<NamedHub> {
        let name = |text| non_blank(text).map(|text| text.trim().to_ascii_lowercase());
        let namespace = name(namespace)?.trim_end_matches('.').to_owned();
        Some(NamedHub { prefix, namespace, hub: name(hub)? })
    }
}

/// Checks that no hub is there twice; those that are written to stand behind
/// those that are read.
pub fn check_different(hubs: impl IntoIterator<Item = Option<NamedHub>>, checks: &mut Checks) {
    let mut seen: Vec<NamedHub> = Vec::new();
    for hub in hubs.into_iter().flatten() {
        if let Some(same) = seen.iter().find(|other| (&other.namespace, &other.hub) == (&hub.namespace, &hub.hub)) {
            checks.problem(format!(
                "the settings `{}__…` and `{}__…` name one hub, `{}/{}`; expected two: what is written there would be \
                 read again",
                same.prefix, hub.prefix, hub.namespace, hub.hub
            ));
        }
        seen.push(hub);
    }
}
