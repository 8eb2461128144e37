//! Everything that was printed, answered, exported or written, and the search
//! through it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use end_to_end::collector::Collector;
use end_to_end::process::Running;

use crate::LOUD;
use crate::marks::{MARKS, Needles};

/// Texts, each with where it was found.
#[derive(Default)]
pub struct Evidence(Vec<(String, String)>);

impl Evidence {
    /// A text, such as an answer.
    pub fn text(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    /// Both outputs of a process.
    pub fn process(&mut self, name: &str, process: &Running) {
        self.text(name, process.printed());
    }

    /// Runs a command of `iotc` as loud as can be, in a folder; gives what it
    /// prints to standard output.
    pub fn iotc(&mut self, folder: &Path, arguments: &[&str]) -> String {
        let mut iotc = Command::new(end_to_end::folder("IOTC_TEST_BIN", "native").join("iotc"));
        let done = iotc.args(arguments).current_dir(folder).env("RUST_LOG", LOUD).output().unwrap();
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        self.text(&format!("iotc {}", arguments.join(" ")), format!("{}\n{printed}\n{errors}", done.status));
        printed
    }

    /// What a collector was sent.
    pub fn collector(&mut self, collector: &Collector) {
        for text in collector.texts() {
            self.text("the collector", text);
        }
    }

    /// All files below a folder, and the names of those in `holding` too, which
    /// may hold payload: a name may not.
    pub fn folder(&mut self, folder: &Path, holding: &[&str]) {
        for file in files(folder) {
            let name = file.strip_prefix(folder).unwrap().display().to_string();
            if !holding.iter().any(|of| name.starts_with(of)) {
                self.text(&name, String::from_utf8_lossy(&fs::read(&file).unwrap()));
            }
            self.text("the name of a file", name);
        }
    }

    /// # Panics
    /// When one of these is said nowhere: then what was to happen did not.
    #[track_caller]
    pub fn check_that_it_says(&self, expected: &[&str]) {
        let is_missing = |what: &&&str| !self.0.iter().any(|(_, text)| text.contains(**what));
        let missing: Vec<_> = expected.iter().filter(is_missing).collect();
        let reasons = self.0.iter().flat_map(|(_, text)| text.split("\"reason\":\"").skip(1));
        let reasons: BTreeSet<_> = reasons.filter_map(|text| text.split('"').next()).collect();
        assert!(missing.is_empty(), "{missing:?} never happened; {reasons:?} did");
    }

    /// # Panics
    /// When a mark is in anything of it; the text says which, where and what is
    /// around it.
    #[track_caller]
    pub fn check(&self) {
        let needles = Needles::new();
        let leaks: Vec<String> = self
            .0
            .iter()
            .flat_map(|(place, text)| needles.find(text).into_iter().map(move |found| format!("{place}: {found}")))
            .collect();
        assert!(leaks.is_empty(), "{} leaks, of these:\n{}", leaks.len(), leaks[..leaks.len().min(20)].join("\n"));
    }
}

/// # Panics
/// When one of these marks is nowhere below the folder: then it never came
/// through, and that it is not found elsewhere says nothing.
#[track_caller]
pub fn check_that_marks_arrived(folder: &Path, marks: &[&str]) {
    let needles = Needles::new();
    let found: Vec<String> = files(folder)
        .iter()
        .flat_map(|file| needles.find(&String::from_utf8_lossy(&fs::read(file).unwrap())))
        .collect();
    for mark in marks {
        assert!(MARKS.iter().any(|(of, _)| of == mark), "{mark} is no mark");
        assert!(found.iter().any(|found| found.starts_with(mark)), "{mark} is nowhere in {}", folder.display());
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    // What is not there any more, such as a temporary file, holds nothing.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}
