//! `docs/compatibility.md` says what the connector does about every quirk of
//! the reference connector, and what shows it. This holds it to that: no quirk
//! is left out, every case, test and setting that it names is there, and every
//! case that is excused is explained.

#![allow(clippy::unwrap_used, reason = "a test stops where the page is not what it should be")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use conformance::corpus::{read, read_known};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page() -> String {
    text("docs/compatibility.md")
}

/// What stands between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `suite/id` of every case, the corpus' and ours.
fn cases() -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for folder in ["cases", "ours"] {
        for suite in read(&root().join("tests/conformance").join(folder)).unwrap() {
            let id = |case: &Value| format!("{}/{}", suite.suite, case["id"].as_str().unwrap());
            ids.extend(suite.cases.iter().map(id));
        }
    }
    ids
}

/// Whether `path::name` is a test of this repository.
fn is_test(path: &str, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(root().join(path)) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let declares = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    let is_attribute = |line: &&&str| line.starts_with("#[") || line.starts_with("//");
    lines.iter().enumerate().filter(|(_, line)| declares(line)).any(|(at, _)| {
        let mut attributes = lines[..at].iter().rev().take_while(is_attribute);
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// What of a text is cited as showing something: cases and tests.
fn citations<'t>(text: &'t str, suites: &BTreeSet<&str>) -> Vec<&'t str> {
    let is_case =
        |span: &str| span.split_once('/').is_some_and(|(suite, id)| suites.contains(suite) && !id.contains('*'));
    code_spans(text).filter(|span| span.contains(".rs::") || is_case(span)).collect()
}

#[test]
fn every_case_and_test_that_is_named_is_there() {
    let (page, cases) = (page(), cases());
    let suites = cases.iter().filter_map(|id| Some(id.split_once('/')?.0)).collect();
    let missing = |citation: &&str| match citation.split_once("::") {
        Some((path, name)) => !is_test(path, name),
        None => !cases.contains(*citation),
    };
    let cited = citations(&page, &suites);
    assert!(cited.len() > 300, "only {} citations", cited.len());
    assert_eq!(cited.into_iter().filter(missing).collect::<Vec<_>>(), [""; 0]);
}

/// The rows of the table below a heading, by their first cell.
fn rows<'p>(page: &'p str, heading: &str) -> Vec<(&'p str, &'p str)> {
    let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}"));
    let section = section.split("\n## ").next().unwrap();
    let row = |line: &'p str| Some((line.strip_prefix("| ")?.split(" | ").next()?, line));
    section.lines().filter_map(row).filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

#[test]
fn no_quirk_is_left_out() {
    let (page, cases) = (page(), cases());
    let suites = cases.iter().filter_map(|id| Some(id.split_once('/')?.0)).collect();
    for (heading, count) in
        [("\n## The quirks of device-mapping.md\n", 71), ("\n## The quirks of fhir-conversion.md\n", 73)]
    {
        let rows = rows(&page, heading);
        let numbers: Vec<String> = rows.iter().map(|(number, _)| (*number).to_owned()).collect();
        assert_eq!(numbers, (1..=count).map(|number| number.to_string()).collect::<Vec<_>>(), "{heading}");
        for (_, row) in rows {
            let is_shown = !citations(row, &suites).is_empty();
            assert!(is_shown || row.contains("| next: delivery"), "nothing shows it: {row}");
        }
    }
}

/// The settings that the binaries read, in lower case.
fn settings() -> BTreeSet<String> {
    let sources = [
        "crates/settings/src/compatibility.rs",
        "functions/group-convert/src/settings.rs",
        "functions/normalize/src/settings.rs",
    ];
    let renamed = |source: String| -> Vec<String> {
        let names = source.split("rename = \"").skip(1).filter_map(|rest| rest.split('"').next());
        names.filter(|name| name.starts_with("compatibility__")).map(str::to_owned).collect()
    };
    sources.into_iter().flat_map(|path| renamed(text(path))).collect()
}

#[test]
fn every_setting_is_named_and_every_name_is_a_setting() {
    let settings = settings();
    assert!(settings.len() > 20, "{settings:?}");
    for path in ["docs/compatibility.md", "docs/settings.md"] {
        let page = text(path);
        let names = code_spans(&page).map(|span| span.split('=').next().unwrap_or_default());
        let names = names.filter(|name| name.starts_with("Compatibility__")).map(str::to_lowercase);
        assert_eq!(names.collect::<BTreeSet<_>>(), settings, "{path}");
    }
}

/// A case that does not pass is one of the corpus' own departures, or named on
/// the page. Those of the suites that list requests are departures as a suite.
#[test]
fn every_case_that_is_excused_is_explained() {
    let departures: Value = serde_json::from_str(&text("tests/conformance/departures.json")).unwrap();
    let departures: BTreeSet<&str> =
        departures["cases"].as_array().unwrap().iter().filter_map(|case| case["id"].as_str()).collect();
    let (page, cases) = (page(), cases());
    let named: BTreeSet<&str> = code_spans(&page).collect();
    let known: BTreeMap<String, String> = read_known(&root().join("tests/conformance/known-failures.txt")).unwrap();
    for id in known.keys() {
        assert!(cases.contains(id), "`{id}` is no case");
        let suite = id.split('/').next().unwrap_or_default();
        let is_explained = departures.contains(id.as_str())
            || named.contains(id.as_str())
            || ["observation-save", "batching", "checkpoint"].contains(&suite);
        assert!(is_explained, "`{id}` is excused and not explained");
    }
}
