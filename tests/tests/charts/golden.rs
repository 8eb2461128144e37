//! Rendered manifests are as they were, and `keda/` is as the chart has it. `UPDATE_EXPECT=1` writes them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::chart::{Values, connector, example, root};

#[track_caller]
fn compare(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(path, actual).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let first = expected.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    let first = first.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    assert!(
        expected == actual,
        "`{}` differs from line {}; UPDATE_EXPECT=1 writes it anew:\n{:?}\n{:?}",
        path.display(),
        first + 1,
        expected.lines().nth(first),
        actual.lines().nth(first)
    );
}

fn golden(name: &str) -> PathBuf {
    root().join("tests/tests/charts/golden").join(format!("{name}.yaml"))
}

#[test]
fn default_values_and_the_full_example_render_as_before() {
    let full = Values::default().file(&example("full"));
    let functions = Values::default().file(&example("functions"));
    for (name, values) in [("default", Values::default()), ("full", full), ("functions", functions)] {
        let manifests = values.render(&connector(), "1.33").unwrap_or_else(|error| panic!("{name}: {error}"));
        compare(&golden(name), &manifests);
    }
}

/// What stands above each file in `keda/`.
fn header(workload: &str, deployment: &str) -> String {
    let lines = [
        format!("How KEDA scales {workload}: rendered from helm/iot-connector with its default values, for who has"),
        "Deployments of their own. Written by `UPDATE_EXPECT=1 cargo xtask test charts`; a test keeps it in step."
            .to_owned(),
        String::new(),
        "With kubectl alone: put your names in the place of all that begin with contoso. The Deployment is".to_owned(),
        format!("{deployment}; blobContainer is where its positions are (CheckpointStorage__BlobStorageContainerUri;"),
        "under the Functions host azure-webjobs-eventhub). All names of hubs are in lower case. Then".to_owned(),
        String::new(),
        format!("  kubectl --namespace NAMESPACE apply -f keda/{workload}.yaml"),
        format!("  kubectl --namespace NAMESPACE describe scaledobject {deployment}"),
        String::new(),
        "The Deployment must not say `replicas`, or each apply of it undoes what KEDA decided. docs/helm.md explains"
            .to_owned(),
        "the numbers, and what KEDA's identity has to be granted.".to_owned(),
    ];
    lines.iter().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

#[test]
fn keda_is_in_step_with_the_chart() {
    let values = Values::default().release("contoso");
    let manifests = values.render(&connector(), "1.33").expect("the default values are good");
    let objects: Vec<&str> = manifests.split("\n---\n").collect();
    for (workload, deployment) in [("normalize", "contoso-normalize"), ("group-convert", "contoso-convert-fhir")] {
        let mut file = header(workload, deployment);
        for kind in ["TriggerAuthentication", "ScaledObject"] {
            let is_it = |object: &&&str| {
                object.contains(&format!("\nkind: {kind}\n"))
                    && object.contains(&format!("\n  name: \"{deployment}\"\n"))
            };
            let object = objects.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} of {deployment}"));
            let lines = object.lines().filter(|line| {
                // Of a release there is none.
                let about_helm =
                    ["# Source: ", "    app.kubernetes.io/managed-by: ", "    app.kubernetes.io/instance: "];
                !about_helm.iter().any(|start| line.starts_with(start))
            });
            file.push_str(&lines.fold("---\n".to_owned(), |text, line| text + line + "\n"));
        }
        compare(&root().join("keda").join(format!("{workload}.yaml")), &file);
    }
}
