//! What all images have in common, and how large they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use end_to_end::container::{Image, run};
use serde_json::Value;

use super::{IMAGES, VERSION, archive, cli, fhir, functions_host, native, operator, resource_provider};

/// What each image may add to its base, in bytes.
const NATIVE_MAX: u64 = 40_000_000;
const OTHERS_MAX: u64 = 80 * 1024 * 1024;
/// Most of it is helm.
const OPERATOR_MAX: u64 = 100 * 1024 * 1024;

/// The bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let size_of = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        if found.is_dir() { size(&entry.path()) } else { found.len() }
    };
    entries.map(size_of).sum()
}

#[test]
fn images_stay_small() {
    let sizes: [(&str, &Image, &str, u64); 6] = [
        ("native", native(), "usr/local", NATIVE_MAX),
        ("functions", functions_host(), "home/site", NATIVE_MAX),
        // Its charts are in /charts, and of no size.
        ("operator", operator(), "usr/local", OPERATOR_MAX),
        ("resource-provider", resource_provider(), "usr/local", NATIVE_MAX),
        ("cli", cli(), "usr/local", OTHERS_MAX),
        ("fhir", fhir(), "usr/local", OTHERS_MAX),
    ];
    for (name, image, folder, max) in sizes {
        let size = size(&image.root().join(folder));
        println!("{name}: {:.1} MB without the base", size as f64 / 1e6);
        assert!(size <= max, "{name} adds {size} bytes to its base, more than {max}");
    }
}

#[test]
fn native_images_have_no_shell() {
    for image in [native(), operator(), resource_provider(), cli(), fhir()] {
        for shell in ["bin/sh", "bin/bash", "bin/dash", "usr/bin/sh"] {
            assert!(!image.root().join(shell).exists(), "{shell}");
        }
    }
}

#[test]
fn labels_say_what_an_image_is() {
    for (name, _) in IMAGES {
        let printed =
            run(Command::new("skopeo").arg("inspect").arg(format!("oci-archive:{}", archive(name).display())));
        let labels = serde_json::from_str::<Value>(&printed).unwrap()["Labels"].clone();
        let label =
            |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default().to_owned();
        assert_eq!(label("version"), VERSION, "{name}");
        assert_eq!(label("licenses"), "MIT", "{name}");
        assert!(!label("title").is_empty() && !label("description").is_empty(), "{name}: {labels}");
        check_is_of_this_checkout(&label("revision"));
    }
}

/// Looks whether a revision is what is checked out. Where the sources are no
/// checkout, as in an archive of them, nobody knows.
#[track_caller]
fn check_is_of_this_checkout(revision: &str) {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !checkout.join(".git").exists() {
        assert_eq!(revision, "unknown");
        return;
    }
    let mut git = Command::new("git");
    git.current_dir(&checkout);
    // Somebody may have committed since it was packed.
    assert_eq!(revision.len(), 40, "{revision}");
    run(git.args(["merge-base", "--is-ancestor", revision, "HEAD"]));
}

#[test]
fn dockerfiles_are_clean() {
    let hadolint = end_to_end::folder("IOTC_TEST_IMAGE_TOOLS", "images").join("venv/bin/hadolint");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/images");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("Dockerfile")).collect();
    assert_eq!(files.len(), IMAGES.len(), "{files:?}");
    run(Command::new(hadolint).args(files));
}
