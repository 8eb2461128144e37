//! One course of events through the functions, to be disturbed, and the look at
//! what became of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use end_to_end::fhir::{Fhir, Observations, difference};
use end_to_end::oracle;
use end_to_end::poll::try_until;
use end_to_end::process::Running;
use end_to_end::site::{DEVICES, INTERNAL_HUB, Site, fates};

use crate::undisturbed::{Undisturbed, undisturbed};

/// Until everything that was sent is done, when nothing is away any more: a
/// partition of a process that is gone without a successor of its name is free
/// after two minutes.
pub const DONE_LIMIT: Duration = Duration::from_secs(200);

/// Both functions.
pub const FUNCTIONS: [&str; 2] = ["normalize", "group-convert"];

/// The year of the next course.
static YEARS: AtomicUsize = AtomicUsize::new(1951);

/// The site, the functions that work or have worked in it, and what was sent.
#[derive(Debug)]
pub struct Course {
    /// Where it all happens.
    pub site: Site,
    /// The server itself, when the functions reach it through a proxy.
    pub fhir: Fhir,
    /// The processes of normalize, in the order in which they were started.
    pub normalize: Vec<Running>,
    /// Those of group-convert.
    pub convert: Vec<Running>,
    device_mapping: String,
    fhir_mapping: String,
    sent: Vec<String>,
    /// Whether the storage may have lost what it had answered, so that a window
    /// that was begun may be cut anew.
    pub forgets_windows: bool,
    /// Of all its readings, and of those of no other course: servers may be shared.
    year: usize,
}

/// How a course ended.
#[derive(Debug)]
pub struct Outcome {
    /// How many events the internal hub holds: those that came again are there
    /// more than once.
    pub measurements: usize,
}

impl Course {
    /// A site over a server, without functions.
    #[track_caller]
    pub fn start(fhir: &Fhir) -> Course {
        let sample = |name: &str| {
            let path = format!("{}/../samples/demo/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        Course {
            site: Site::start(fhir),
            fhir: fhir.clone(),
            normalize: Vec::new(),
            convert: Vec::new(),
            device_mapping: sample("devicecontent.json"),
            fhir_mapping: sample("fhirmapping.json"),
            sent: Vec::new(),
            forgets_windows: false,
            year: YEARS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The same with one process of each function.
    #[track_caller]
    pub fn with_functions(fhir: &Fhir) -> Course {
        let mut course = Course::start(fhir);
        course.add("normalize", "n-a", &[]);
        course.add("group-convert", "c-a", &[]);
        course
    }

    /// The mappings that it begins with: the device mapping and the FHIR mapping.
    pub fn mappings(&self) -> (String, String) {
        (self.device_mapping.clone(), self.fhir_mapping.clone())
    }

    /// The year of all its readings.
    pub fn year(&self) -> usize {
        self.year
    }

    /// Starts a process of a function.
    #[track_caller]
    pub fn add(&mut self, function: &str, name: &str, settings: &[(&str, &str)]) {
        let process = self.site.function_with(function, name, settings);
        self.processes_mut(function).push(process);
    }

    /// The processes of a function.
    pub fn processes(&self, function: &str) -> &[Running] {
        if function == "normalize" { &self.normalize } else { &self.convert }
    }

    /// How often the processes of a function have said something.
    pub fn said(&self, function: &str, words: &str) -> usize {
        let lines = self.processes(function).iter().flat_map(|process| [process.stdout(), process.stderr()].concat());
        lines.filter(|line| line.contains(words)).count()
    }

    /// The processes of a function, to be changed.
    pub fn processes_mut(&mut self, function: &str) -> &mut Vec<Running> {
        if function == "normalize" { &mut self.normalize } else { &mut self.convert }
    }

    /// Kills the process of a function that was started last, and starts the next
    /// one under its name.
    #[track_caller]
    pub fn kill(&mut self, function: &str, name: &str, settings: &[(&str, &str)]) {
        if let Some(process) = self.processes_mut(function).last_mut() {
            process.kill();
        }
        self.add(function, name, settings);
    }

    /// Sends events.
    #[track_caller]
    pub fn send(&mut self, events: &[String]) {
        self.site.send(events);
        self.sent.extend_from_slice(events);
    }

    /// How many events of its hub a function has given their fates.
    pub fn done(&self, function: &str) -> usize {
        fates(function, self.processes(function)).len()
    }

    /// Waits for something.
    #[track_caller]
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        try_until(DONE_LIMIT, look).unwrap_or_else(|| panic!("not within {DONE_LIMIT:?}: {what}\n{}", self.printed()))
    }

    /// What all processes printed but the fates.
    pub fn printed(&self) -> String {
        let all = self.normalize.iter().chain(&self.convert).map(Running::printed);
        let lines: Vec<String> = all.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.into_iter().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the checkpoints of both functions are at the end of their
    /// hubs: no partition stands still.
    #[track_caller]
    pub fn wait(&self) {
        for function in FUNCTIONS {
            self.until(&format!("{function} is at the end of its hub"), || self.site.is_done(function).then_some(()));
        }
    }

    /// Waits for the end, and compares everything with an undisturbed run: the
    /// fate of each event, the number of dead letters, the fate of each
    /// measurement, the Observations.
    #[track_caller]
    pub fn check(&self) -> Outcome {
        self.wait();
        let undisturbed = undisturbed(&self.device_mapping, &self.fhir_mapping, &self.sent);
        self.check_normalize(&undisturbed);
        let measurements = self.check_convert(&undisturbed);
        Outcome { measurements }
    }

    #[track_caller]
    fn check_normalize(&self, undisturbed: &Undisturbed) {
        let found = fates("normalize", &self.normalize);
        assert_eq!(found.len(), self.sent.len(), "events with fates, and events sent\n{}", self.printed());
        let found = counts(found.values().flatten().map(String::as_str));
        let kind = |fate: &String| fate.split('(').next().unwrap_or_default().to_owned();
        let kinds: Vec<String> = undisturbed.fates.iter().map(kind).collect();
        assert_eq!(found, counts(kinds.iter().map(String::as_str)), "the fates of events\n{}", self.printed());
        let rejected = found.get("rejected").copied().unwrap_or_default();
        assert_eq!(self.dead_letters("normalize"), rejected, "dead letters of normalize");
    }

    /// Gives how many measurements the internal hub holds.
    #[track_caller]
    fn check_convert(&self, undisturbed: &Undisturbed) -> usize {
        let internal = oracle::events(self.site.hub.port(), INTERNAL_HUB);
        let held: usize = internal.values().map(Vec::len).sum();
        assert!(held >= undisturbed.measurements, "{held} of {} measurements", undisturbed.measurements);
        let fates = fates("group-convert", &self.convert);
        assert_eq!(fates.len(), held, "measurements with fates, and measurements in the hub\n{}", self.printed());
        let rejected = fates.values().flatten().filter(|fate| *fate == "rejected").count();
        assert_eq!(self.dead_letters("group-convert"), rejected, "dead letters of group-convert");
        let found = self.observations();
        let expected = &undisturbed.observations;
        assert!(found == *expected, "Observations differ:\n{}\n{}", difference(expected, &found), self.printed());
        if !self.forgets_windows {
            // What came again was cut at the same place, and the fates are those of
            // the windows that were really cut.
            let windows = oracle::windows(&self.convert);
            let expected = oracle::expected(&self.fhir_mapping, &internal, &windows, &[]);
            expected.check_fates(&internal, &windows);
            expected.check_observations(&found);
        }
        held
    }

    /// What is on the server of this course's readings.
    #[track_caller]
    pub fn observations(&self) -> Observations {
        let mut observations = self.fhir.observations();
        let year = format!("\"{}-", self.year);
        observations.retain(|_, text| text.contains(&year));
        observations
    }

    /// Readings with these numbers: each device in its turn, each reading at a
    /// time of its own, so that how they come together makes no difference.
    pub fn readings(&self, numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|number| self.reading(number)).collect()
    }

    /// The reading of a number.
    pub fn reading(&self, number: usize) -> String {
        let device = DEVICES[number % DEVICES.len()];
        let turn = number / DEVICES.len();
        // Six an hour, and every tenth for an Observation of its own.
        let (month, day) = (1 + turn / 144 / 28 % 12, 1 + turn / 144 % 28);
        let (hour, minute) = (turn / 6 % 24, turn % 6 * 10 + number % 10);
        let time = format!("{}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z", self.year);
        match number % 10 {
            7 => format!(r#"{{"thermometer":"{device}","at":"{time}","fahrenheit":{}}}"#, 90 + number % 20),
            _ => format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","heartrate":{number}}}"#),
        }
    }

    /// How many dead letters a function has recorded.
    pub fn dead_letters(&self, function: &str) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let count = |path: std::path::PathBuf| match path.is_dir() {
                true => count(&path),
                false => usize::from(path.extension().is_some_and(|extension| extension == "json")),
            };
            entries.map(count).sum()
        }
        count(&self.site.folder().join("dead-letters").join(function))
    }
}

fn counts<'f>(fates: impl Iterator<Item = &'f str>) -> BTreeMap<&'f str, usize> {
    let mut counts = BTreeMap::new();
    fates.for_each(|fate| *counts.entry(fate).or_default() += 1);
    counts
}
