//! Manifests are what Kubernetes, KEDA and kube-score take.

use std::path::Path;
use std::process::Command;

use crate::chart::{KUBERNETES, Values, charts, connector, examples, helm, judge, text, with_input};

/// Each chart with its own values and with each example; a connector with both fronts.
fn matrix() -> Vec<(String, Values, std::path::PathBuf)> {
    let mut all = Vec::new();
    for chart in charts() {
        let files = std::iter::once(None).chain(examples(&chart).into_iter().map(Some));
        for file in files {
            let values = file.iter().fold(Values::default(), |values, file| values.file(file));
            let name = |front: &str| {
                let of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                format!("{} {}{front}", of(&chart), file.as_deref().map(of).unwrap_or_default())
            };
            if chart == connector() {
                for front in ["native", "functions"] {
                    all.push((
                        name(&format!(" {front}")),
                        values.clone().set(&[&format!("front={front}")]),
                        chart.clone(),
                    ));
                }
            } else {
                all.push((name(""), values, chart.clone()));
            }
        }
    }
    all
}

/// The one example that one of the fronts refuses, and why.
const REFUSED: (&str, &str) = ("iot-connector certificate.yaml functions", "the Functions host opens the hub");

#[test]
fn charts_pass_lint_with_all_examples() {
    for chart in charts() {
        let mut arguments = vec!["lint".to_owned(), "--strict".to_owned(), chart.display().to_string()];
        for file in std::iter::once(None).chain(examples(&chart).into_iter().map(Some)) {
            arguments.truncate(3);
            arguments.extend(file.iter().flat_map(|file| ["--values".to_owned(), file.display().to_string()]));
            let output = helm(&arguments);
            assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        }
    }
}

#[test]
fn manifests_are_valid_in_all_versions_of_kubernetes_and_for_keda() {
    let crds = end_to_end::folder("IOTC_TEST_MANIFESTS", "charts").join("crds").display().to_string();
    let mut refused = Vec::new();
    let mut everything = String::new();
    for (name, values, chart) in matrix() {
        // Nothing in them depends on the version, so they are judged for all versions at once.
        let of_all = KUBERNETES.map(|version| values.render(&chart, version));
        assert!(of_all.iter().all(|one| *one == of_all[0]), "{name}");
        let [first, ..] = of_all;
        match first {
            Ok(manifests) => everything.push_str(&format!("---\ncase: {name}\n{manifests}")),
            Err(error) => {
                assert!(name == REFUSED.0 && error.contains(REFUSED.1), "{name}: {error}");
                refused.push(name);
            }
        }
    }
    assert_eq!(refused, [REFUSED.0]);
    let output = judge(&[&["validate", &crds], &KUBERNETES[..]].concat(), &everything);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// A test of the judge: it does see what is wrong.
#[test]
fn unknown_fields_and_keys_that_are_there_twice_are_seen() {
    let crds = end_to_end::folder("IOTC_TEST_MANIFESTS", "charts").join("crds").display().to_string();
    let manifests = Values::default().render(&connector(), "1.33").expect("the default values are good");
    let cases = [
        ("terminationGracePeriodSeconds:", "terminationGraceSeconds:", "terminationGraceSeconds"),
        ("minReplicaCount:", "minReplicas:", "minReplicas"),
        ("  pollingInterval: 30", "  pollingInterval: often", "often"),
        ("  pollingInterval: 30", "  pollingInterval: 30\n  pollingInterval: 31", "is there twice"),
    ];
    for (good, bad, expected) in cases {
        assert!(manifests.contains(good), "{good}");
        let output = judge(&["validate", &crds, "1.33"], &manifests.replace(good, bad));
        let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success() && printed.contains(expected), "{bad}: {printed}");
    }
}

#[test]
fn kube_score_finds_nothing_critical() {
    let program = end_to_end::folder("IOTC_TEST_MANIFESTS", "charts").join("bin/kube-score");
    for (name, values, chart) in matrix() {
        let Ok(manifests) = values.render(&chart, "1.33") else { continue };
        let mut command = Command::new(&program);
        command.args(["score", "--output-format", "ci"]);
        // A limit of CPU slows a process down that nobody waits for. Images are named by version or digest, so what
        // is there need not be pulled again.
        command.args(["--ignore-container-cpu-limit", "--ignore-test", "container-image-pull-policy", "-"]);
        let output = with_input(&mut command, &manifests);
        let printed = text(&output.stdout);
        let critical: Vec<_> = printed.lines().filter(|line| line.starts_with("[CRITICAL]")).collect();
        assert!(critical.is_empty() && printed.contains("[OK]"), "{name}:\n{}", critical.join("\n"));
    }
}
