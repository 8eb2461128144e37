//! What all images have in common, and how large they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use end_to_end::container::{Image, run};
use serde_json::Value;

use super::{VERSION, archive, cli, fhir, functions_host, native};

/// What each image may add to its base, in bytes.
const NATIVE_MAX: u64 = 40 * 1024 * 1024;
const OTHERS_MAX: u64 = 80 * 1024 * 1024;

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
    let sizes: [(&str, &Image, &str, u64); 4] = [
        ("native", native(), "usr/local", NATIVE_MAX),
        ("functions", functions_host(), "home/site", NATIVE_MAX),
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
    for image in [native(), cli(), fhir()] {
        for shell in ["bin/sh", "bin/bash", "bin/dash", "usr/bin/sh"] {
            assert!(!image.root().join(shell).exists(), "{shell}");
        }
    }
}

#[test]
fn labels_say_what_an_image_is() {
    for name in ["native", "functions", "cli", "fhir"] {
        let printed =
            run(Command::new("skopeo").arg("inspect").arg(format!("oci-archive:{}", archive(name).display())));
        let labels = serde_json::from_str::<Value>(&printed).unwrap()["Labels"].clone();
        let label =
            |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default().to_owned();
        assert_eq!(label("version"), VERSION, "{name}");
        assert_eq!(label("licenses"), "MIT", "{name}");
        assert!(!label("title").is_empty() && !label("description").is_empty(), "{name}: {labels}");
        let revision = label("revision");
        assert!(revision == "unknown" || revision.len() == 40, "{name}: {revision}");
    }
}

#[test]
fn dockerfiles_are_clean() {
    let hadolint = end_to_end::folder("IOTC_TEST_IMAGE_TOOLS", "images").join("venv/bin/hadolint");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/images");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("Dockerfile")).collect();
    assert!(files.len() >= 5, "{files:?}");
    run(Command::new(hadolint).args(files));
}
