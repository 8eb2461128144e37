//! `docs/fates.md` has every fate and every reason code, and the list of codes
//! has every code that the sources give.

#![expect(clippy::disallowed_methods, reason = "the pages and the sources are files")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use delivery::reasons::{REASONS, ReasonCode};
use delivery::reference_metrics::of_reason;
use delivery::{EventFate, MeasurementFate, Reason, Stage};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The sources of a folder without their tests.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                if !path.ends_with("tests") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
                let source = fs::read_to_string(&path).expect("a source");
                text.push_str(source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
            }
        }
    }
    text
}

/// The codes that a source gives: literals of `Reason::new`, and of functions
/// that are called `code`.
fn codes(source: &str) -> BTreeSet<String> {
    /// What gives a code that is looked for elsewhere.
    const ELSEWHERE: [&str; 4] = ["NO_FATE,", "error.code(),", "unresolved.code(),", "code: &'static str,"];
    let mut codes = BTreeSet::new();
    for call in source.split("Reason::new(").skip(1).map(str::trim_start) {
        match call.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            Some((code, _)) => drop(codes.insert(code.to_owned())),
            None => assert!(ELSEWHERE.iter().any(|known| call.starts_with(known)), "a code by another way: {call:.60}"),
        }
    }
    let functions = ["fn code(&self) -> &'static str {", "fn code(self) -> &'static str {"];
    let rest = functions.iter().flat_map(|function| source.split(function).skip(1));
    for body in rest.filter_map(|rest| Some(rest.split_once("\n    }\n")?.0)) {
        codes.extend(body.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    let no_fate = source.split("const NO_FATE: &str = \"").nth(1).and_then(|rest| rest.split_once('"'));
    codes.extend(no_fate.map(|(code, _)| code.to_owned()));
    codes
}

#[test]
fn the_list_has_every_code_that_is_given_and_no_other() {
    let folders =
        ["crates/mapping/src", "crates/delivery/src", "crates/fhir-client/src", "crates/native/src", "functions"];
    let given = codes(&folders.map(sources).concat());
    let listed: BTreeSet<String> = REASONS.iter().map(|reason| reason.code.to_owned()).collect();
    let not_listed: Vec<_> = given.difference(&listed).collect();
    let not_given: Vec<_> = listed.difference(&given).collect();
    assert!(
        not_listed.is_empty() && not_given.is_empty(),
        "crates/delivery/src/reasons.rs lacks {not_listed:?}, and nothing gives {not_given:?}"
    );
}

fn any() -> Reason {
    Reason::new("NoFate", "")
}

/// What an event's fate means, and where it is counted besides `iotc.events`.
fn of_event(fate: &EventFate) -> (&'static str, &'static str) {
    match fate {
        EventFate::Normalized { .. } => {
            ("it gave at least one measurement, and all are in the internal hub", "`NormalizedEvent`, by measurement")
        }
        EventFate::Unmatched => (
            "no template of the device mapping matches it, so it is no dead letter either; its shape is logged ([telemetry.md](telemetry.md#events-that-no-template-matches))",
            "`DroppedEvent`",
        ),
        EventFate::Rejected { .. } => (
            "it is among the dead letters with its reason; what it gave before it failed is in the internal hub all the same",
            "the reason's metric; `NormalizedEvent` for what it gave before, or `DroppedEvent`",
        ),
    }
}

/// What a measurement's fate means, and where it is counted besides
/// `iotc.measurements`.
fn of_measurement(fate: &MeasurementFate) -> (&'static str, &'static str) {
    match fate {
        MeasurementFate::Created => {
            ("it is in a new Observation", "`FhirResourceSaved` as `ObservationCreated`, by Observation")
        }
        MeasurementFate::Merged => {
            ("it changed an Observation that was there", "`FhirResourceSaved` as `ObservationUpdated`, by Observation")
        }
        MeasurementFate::Unchanged => (
            "its Observation held it already, as after a redelivery",
            "`FhirResourceSaved` as `ObservationNoOperation`, by Observation",
        ),
        MeasurementFate::Superseded => {
            ("another reading of the same instant was ingested later; or it was replayed, and what is stored wins", "")
        }
        MeasurementFate::Rejected(_) => ("it is among the dead letters with its reason", "the reason's metric"),
        MeasurementFate::Parked(_) => (
            "it waits for its Device, Patient or Encounter ([fhir-servers.md](fhir-servers.md#parking)), and has another fate later",
            "`iotc.parked.waiting`, and when it ends `iotc.parked.ended`",
        ),
    }
}

/// What stands in the page below the mark.
fn page() -> String {
    let mut text =
        String::from("## Fates of events\n\n| fate | meaning | counted in `iotc.events`, and in |\n|---|---|---|\n");
    let events = [
        EventFate::Normalized { measurements: 1 },
        EventFate::Unmatched,
        EventFate::Rejected { reason: any(), measurements: 0 },
    ];
    for fate in &events {
        let (meaning, counted) = of_event(fate);
        let _ = writeln!(text, "| `{fate}` | {meaning} | {counted} |");
    }
    text.push_str(
        "\n## Fates of measurements\n\n| fate | meaning | counted in `iotc.measurements`, and in |\n|---|---|---|\n",
    );
    let measurements = [
        MeasurementFate::Created,
        MeasurementFate::Merged,
        MeasurementFate::Unchanged,
        MeasurementFate::Superseded,
        MeasurementFate::Rejected(any()),
        MeasurementFate::Parked(any()),
    ];
    for fate in &measurements {
        let (meaning, counted) = of_measurement(fate);
        let _ = writeln!(text, "| `{fate}` | {meaning} | {counted} |");
    }
    for stage in [Stage::Normalize, Stage::GroupConvert] {
        let _ = write!(
            text,
            "\n## Reasons of {}\n\n| reason | what happened | what to do | who | replay | reference connector's metric |\n|---|---|---|---|---|---|\n",
            stage.as_str()
        );
        for reason in REASONS.iter().filter(|reason| reason.stage == stage) {
            let ReasonCode { code, meaning, remedy, who, replay, .. } = reason;
            let metric = of_reason(code).map(|record| format!("`{}`", record.metric.name)).unwrap_or_default();
            let _ = writeln!(
                text,
                "| `{code}` | {meaning} | {remedy} | {} | {} | {metric} |",
                who.as_str(),
                replay.as_str()
            );
        }
    }
    text
}

#[test]
fn the_page_has_every_fate_and_every_reason() {
    const MARK: &str =
        "<!-- From here on written by `UPDATE_EXPECT=1 cargo test -p delivery --test fates_page`. -->\n\n";
    let path = root().join("docs/fates.md");
    let text = fs::read_to_string(&path).expect("docs/fates.md");
    let (head, written) = text.split_once(MARK).expect("the mark");
    let expected = page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{head}{MARK}{expected}")).expect("docs/fates.md");
        return;
    }
    assert!(written == expected, "docs/fates.md differs: UPDATE_EXPECT=1 cargo test -p delivery --test fates_page");
}

/// The metrics that fates are counted in are in the page of metrics, which
/// another test holds to the code.
#[test]
fn fates_are_counted_in_metrics_that_there_are() {
    let metrics = fs::read_to_string(root().join("docs/metrics.md")).expect("docs/metrics.md");
    let page = page();
    let (fates, _) = page.split_once("\n## Reasons").expect("reasons");
    let cells = fates.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "));
    let mut seen = 0;
    for name in cells.flat_map(|(_, counted)| counted.split('`').skip(1).step_by(2).collect::<Vec<_>>()) {
        assert!(metrics.contains(&format!("`{name}`")), "docs/metrics.md has no `{name}`");
        seen += 1;
    }
    assert!(seen > 5, "{seen} metrics");
}
