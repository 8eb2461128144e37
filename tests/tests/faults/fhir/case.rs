//! One fault on one server: what is needed for it, and what has to hold after
//! it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use end_to_end::fhir::{Fhir, Observations};
use end_to_end::hub::To;
use end_to_end::oracle::{self, Expected, Windows};
use end_to_end::poll::try_until;
use end_to_end::process::Running;
use end_to_end::proxy::Proxy;
use end_to_end::site::{INTERNAL_HUB, PARTITIONS, Site};

use hub_client::Event;

use super::readings::{mixed, new_day};
use super::servers::{Kind, Server};

/// How long all of it may take, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Readings a partition, in most tests.
pub const READINGS: usize = 60;

const CONVERT: &str = "group-convert";
const FHIR_MAPPING: &str = include_str!("../../../../samples/demo/fhirmapping.json");

/// A site whose FHIR server stands behind a proxy.
pub struct Case {
    pub kind: Kind,
    pub site: Site,
    pub proxy: Proxy,
    /// The day of all readings.
    pub day: String,
    /// Last, so that it is there as long as what uses it.
    server: Server,
}

/// What was seen of a case that went well.
pub struct Seen {
    windows: usize,
    /// How many measurements ended how.
    pub fates: BTreeMap<String, usize>,
    observations: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fates: Vec<_> = self.fates.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
        write!(f, "{} windows, {}; {} Observations as undisturbed", self.windows, fates.join(", "), self.observations)
    }
}

impl Case {
    pub fn start(kind: Kind) -> Case {
        let server = kind.start();
        let mut site = Site::start(server.fhir());
        let proxy = Proxy::start(&server.fhir().url);
        site.reach.fhir.clone_from(&proxy.url);
        Case { kind, site, proxy, day: new_day(), server }
    }

    /// The server itself, past the proxy.
    pub fn fhir(&self) -> &Fhir {
        self.server.fhir()
    }

    /// Puts readings into one partition of the internal hub.
    #[track_caller]
    pub fn send(&self, partition: usize, readings: &[String]) {
        self.site.hub.send(INTERNAL_HUB, To::Partition(&partition.to_string()), readings);
    }

    /// Puts [`READINGS`] of each kind into each partition.
    #[track_caller]
    pub fn send_mixed(&self) {
        for partition in 0..PARTITIONS {
            self.send(partition, &mixed(&self.day, partition, READINGS));
        }
    }

    /// Starts group-convert with windows of at most ten events.
    #[track_caller]
    pub fn convert(&self, name: &str) -> Running {
        self.convert_with(name, &[])
    }

    /// The same with more app settings.
    #[track_caller]
    pub fn convert_with(&self, name: &str, settings: &[(&str, &str)]) -> Running {
        let own = [("EventBatching__MaxEvents", "10"), ("ResourceIdentity__ResourceIdentityServiceType", "Lookup")];
        self.site.function_with(CONVERT, name, &[&own, settings].concat())
    }

    /// Waits for something that these processes do.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, processes: &[&Running], look: impl FnMut() -> Option<T>) -> T {
        try_until(LIMIT, look).unwrap_or_else(|| {
            let printed: Vec<_> = processes.iter().map(|process| process.printed()).collect();
            panic!("{}: not within {LIMIT:?}: {what}\n{}", self.kind.name(), printed.join("\n"))
        })
    }

    /// Whether everything that was sent is worked through.
    pub fn is_done(&self) -> bool {
        self.site.is_done(CONVERT)
    }

    /// The Observations of the day.
    pub fn observations(&self) -> Observations {
        let mut observations = self.fhir().observations();
        observations.retain(|_, text| text.contains(&self.day));
        observations
    }

    /// Waits until everything that was sent is worked through; gives the windows
    /// in which it was.
    #[track_caller]
    pub fn done(&self, processes: &[&Running]) -> Windows {
        self.wait("all is worked through", processes, || self.is_done().then_some(()));
        oracle::windows(processes.iter().copied())
    }

    /// What should have come of what was sent, over what was `there` before.
    pub fn expected(&self, windows: &Windows, there: &[String]) -> Expected {
        self.expected_of(&self.events(), windows, there)
    }

    /// The same of other events than those of the internal hub.
    pub fn expected_of(&self, events: &BTreeMap<String, Vec<Event>>, windows: &Windows, there: &[String]) -> Expected {
        oracle::expected(FHIR_MAPPING, events, windows, there)
    }

    fn events(&self) -> BTreeMap<String, Vec<Event>> {
        oracle::events(self.site.hub.port(), INTERNAL_HUB)
    }

    /// Waits until everything that was sent is worked through, and compares all
    /// that there is to compare.
    #[track_caller]
    pub fn check(&self, processes: &[&Running]) -> Seen {
        let windows = self.done(processes);
        let expected = self.expected(&windows, &[]);
        self.check_fates(&expected, &windows);
        self.check_observations(&expected, &windows, &self.observations())
    }

    /// Compares fates; and what was rejected is among the dead letters, once.
    #[track_caller]
    pub fn check_fates(&self, expected: &Expected, windows: &Windows) {
        expected.check_fates(&self.events(), windows);
        let fates = windows.values().flat_map(|window| &window.fates).flatten();
        let rejected = fates.filter(|fate| fate.starts_with("rejected")).count();
        assert_eq!(dead_letters(&self.site.folder().join("dead-letters")), rejected, "dead letters");
    }

    /// Compares Observations.
    #[track_caller]
    pub fn check_observations(&self, expected: &Expected, windows: &Windows, found: &Observations) -> Seen {
        self.proxy.check();
        assert!(!expected.observations.is_empty());
        expected.check_observations(found);
        let mut fates = BTreeMap::new();
        for fate in windows.values().flat_map(|window| &window.fates).flatten() {
            *fates.entry(fate.clone()).or_default() += 1;
        }
        Seen { windows: windows.len(), fates, observations: found.len() }
    }
}

/// How many dead letters are in a folder and those below it.
fn dead_letters(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() { dead_letters(&path) } else { usize::from(is_letter(&path)) }).sum()
}

fn is_letter(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}
