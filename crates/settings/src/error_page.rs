//! Collects what is said of bad settings, for the page `docs/settings-errors.md`.
//! Only tests use this.
//!
//! ```text
//! good settings, each name in turn bad or missing --the function's own check--> lines --> its section
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::SettingsError;
use crate::names::READ;

/// What stands in the page for whatever was set.
const BAD: &str = "bad";

/// Ends of the names that decide whether others are looked at: bad alone. All
/// others are bad together, since each read makes the Azure clients anew, which
/// takes a good part of a second.
const DECIDING: [&str; 10] = [
    "InputEventHub",
    "__Folder",
    "__BlobStorageContainerUri",
    "__EventHubName",
    "__ConnectionString",
    "_PORT",
    "__Authority",
    "__UseManagedIdentity",
    "__CustomEndpoint",
    "__Url",
];

fn decides(name: &str) -> bool {
    DECIDING.iter().any(|deciding| name.ends_with(deciding))
}

/// Settings by name.
pub type Pairs<'p> = [(&'p str, &'p str)];

/// One of each sort of connection string that cannot be used.
pub const BAD_CONNECTION_STRINGS: [&str; 11] = [
    BAD,
    "Endpoint=sb://h;Endpoint=sb://h",
    "HostName=h.azure-devices.net;SharedAccessKeyName=n;SharedAccessKey=k",
    "SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=hub1",
    "Endpoint=https://h;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=hub1",
    "Endpoint=sb://h;EntityPath=hub1",
    "Endpoint=sb://h;SharedAccessSignature=s;EntityPath=hub1",
    "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=perhaps",
    "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true",
    "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=k",
    "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=hub1;EntityPath=hub2",
];

/// What the check of one function says.
#[derive(Debug)]
pub struct Texts<C> {
    check: C,
    lines: BTreeSet<String>,
}

impl<C: Fn(Vec<(String, String)>) -> Result<(), SettingsError>> Texts<C> {
    /// Nothing yet. `check` reads settings as the function does.
    pub fn of(check: C) -> Texts<C> {
        Texts { check, lines: BTreeSet::new() }
    }

    /// Keeps what is said of these settings, with some of them changed.
    pub fn say(&mut self, settings: &Pairs<'_>, changes: &Pairs<'_>) {
        // Later pairs win, as in a map.
        let all: BTreeMap<&str, &str> = settings.iter().chain(changes).copied().collect();
        let pairs = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.lines.extend((self.check)(pairs.collect()).err().into_iter().flat_map(|error| error.0));
    }

    /// Keeps what is said when each setting in turn is missing, and when all
    /// that decide nothing about others are bad.
    ///
    /// # Panics
    /// When the settings are not good to begin with: what is wrong with them
    /// would hide what is wrong with others.
    pub fn say_each(&mut self, good: &Pairs<'_>) {
        let pairs = good.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!((self.check)(pairs.collect()), Ok(()), "{good:?}");
        for (name, _) in good {
            self.say(good, &[(*name, "")]);
        }
        let others: Vec<_> = READ.iter().filter(|name| !decides(name)).map(|name| (*name, BAD)).collect();
        self.say(good, &others);
    }

    /// Keeps what is said when a setting that decides about others is bad, each
    /// alone; those whose names begin with one of `beginnings`.
    pub fn say_deciding(&mut self, good: &Pairs<'_>, beginnings: &[&str]) {
        let is_meant = |name: &&&str| decides(name) && beginnings.iter().any(|beginning| name.starts_with(beginning));
        for name in READ.iter().filter(is_meant) {
            self.say(good, &[(*name, BAD)]);
        }
    }

    /// Compares the lines with the section of `function` in the page, or writes
    /// it with `UPDATE_EXPECT=1`.
    ///
    /// # Panics
    /// When they differ, or there is no such section.
    pub fn check_section(&self, function: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings-errors.md");
        let page = std::fs::read_to_string(&path).expect("docs/settings-errors.md");
        let begin = format!("\n## {function}\n\n```text\n");
        let (head, rest) = page.split_once(&begin).expect("the section");
        let (section, tail) = rest.split_once("```\n").expect("its end");
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, format!("{head}{begin}{lines}```\n{tail}")).expect("docs/settings-errors.md");
            return;
        }
        let differing: Vec<&str> = {
            let (is, should): (BTreeSet<&str>, BTreeSet<&str>) = (section.lines().collect(), lines.lines().collect());
            is.symmetric_difference(&should).copied().collect()
        };
        let hint = format!("UPDATE_EXPECT=1 cargo test -p {function} error_page");
        assert!(section == lines, "docs/settings-errors.md differs, {hint}: {differing:#?}");
    }
}
