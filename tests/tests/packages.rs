//! The packages and what each uses are as `docs/packages.txt` says, so that a
//! new edge shows in review.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Null for what comes from a registry.
    path: Option<String>,
    /// Null for what is needed to run; `dev` and `build` otherwise.
    kind: Option<String>,
}

/// One line for each package of the workspace: `package -> packages`.
fn edges() -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("cargo prints its metadata");
    let mut packages = metadata.packages;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let line = |package: &Package| {
        let uses =
            package.dependencies.iter().filter(|dependency| dependency.kind.is_none() && dependency.path.is_some());
        let uses: BTreeSet<&str> = uses.map(|dependency| dependency.name.as_str()).collect();
        let uses: Vec<&str> = uses.intersection(&ours).copied().collect();
        let uses = if uses.is_empty() { "nothing of ours".to_owned() } else { uses.join(", ") };
        format!("{} -> {uses}\n", package.name)
    };
    packages.iter().map(line).collect()
}

#[test]
fn packages_use_what_the_list_says() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/packages.txt");
    let actual = edges();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&list, &actual).unwrap();
    }
    let listed = std::fs::read_to_string(&list).unwrap_or_default();
    let only = |these: &str, those: &str, sign: char| -> String {
        let those: BTreeSet<&str> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    let difference = only(&listed, &actual, '-') + &only(&actual, &listed, '+');
    let hint = "if that is meant: UPDATE_EXPECT=1 cargo test -p end-to-end --test packages";
    assert!(difference.is_empty(), "docs/packages.txt differs:\n{difference}\n{hint}");
}
