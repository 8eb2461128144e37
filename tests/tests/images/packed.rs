//! What lies beside the images: Function App ZIPs, SBOMs, checksums.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use end_to_end::container::run;
use serde_json::Value;

use super::{CHARTS, IMAGES, VERSION, package};

/// The names of what a part of an SBOM lists: crates as `cargo`, Debian packages
/// as `deb`.
fn listed(sbom: &Path, kind: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(sbom).unwrap_or_else(|error| panic!("{}: {error}", sbom.display()));
    let sbom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    let purl = |component: &Value| {
        let url = component["purl"].as_str()?.strip_prefix("pkg:")?.strip_prefix(kind)?.strip_prefix('/')?;
        let name = url.split('@').next()?;
        Some(name.rsplit('/').next()?.to_owned())
    };
    sbom["components"].as_array().unwrap().iter().filter_map(purl).collect()
}

#[track_caller]
fn check_lists(found: &BTreeSet<String>, expected: &[&str]) {
    let missing: Vec<_> = expected.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "the SBOM lacks {missing:?} among {} entries", found.len());
}

#[test]
fn the_sbom_of_an_image_lists_what_is_linked_and_what_the_base_brings() {
    for (image, crates) in [
        ("native", &["azure_core", "azure_messaging_eventhubs", "axum", "tokio", "reqwest", "delivery", "mapping"][..]),
        ("functions", &["azure_core", "azure_messaging_eventhubs", "axum", "tokio", "custom-handler"][..]),
        ("operator", &["kube", "k8s-openapi", "clap", "axum", "tokio", "rustls"][..]),
        ("resource-provider", &["sqlx-core", "axum", "tokio", "rustls", "arm"][..]),
        ("cli", &["clap", "axum", "local", "conformance"][..]),
        ("fhir", &["clap", "axum", "local"][..]),
    ] {
        let sbom = package().join("images").join(format!("{image}-{VERSION}.cdx.json"));
        check_lists(&listed(&sbom, "cargo"), crates);
        check_lists(&listed(&sbom, "deb"), &["libssl3", "libc6", "ca-certificates"]);
        // What only tests and benchmarks use is not shipped.
        assert!(!listed(&sbom, "cargo").contains("criterion"));
    }
}

#[test]
fn a_function_app_zip_is_an_app_root_with_its_modes() {
    for (function, folders) in [("normalize", &["normalize", "ingest"][..]), ("group-convert", &["group-convert"][..])]
    {
        let zips = package().join("zips");
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("unzip")
            .arg("-q")
            .arg(zips.join(format!("{function}-{VERSION}.zip")))
            .arg("-d")
            .arg(folder.path()));
        let mode = |file: &str| fs::metadata(folder.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&format!("handlers/{function}")), 0o755);
        assert_eq!(mode("host.json"), 0o644);
        for name in folders {
            assert_eq!(mode(&format!("{name}/function.json")), 0o644);
        }
        let host: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("host.json")).unwrap()).unwrap();
        assert_eq!(host["customHandler"]["description"]["defaultExecutablePath"], format!("handlers/{function}"));
        // The program is whole: it starts, and says what it lacks.
        let started = Command::new(folder.path().join("handlers").join(function)).env_clear().output().unwrap();
        let said = [started.stdout, started.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("the app settings are not usable"));
        check_lists(&listed(&zips.join(format!("{function}-{VERSION}.cdx.json")), "cargo"), &["azure_core", "axum"]);
    }
}

#[test]
fn checksums_hold_and_cover_everything() {
    run(Command::new("sha256sum").current_dir(package()).args(["--check", "--strict", "SHA256SUMS"]));
    let sums = fs::read_to_string(package().join("SHA256SUMS")).unwrap();
    let summed: BTreeSet<String> =
        sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name.to_owned()).collect();
    let images = IMAGES.map(|(image, _)| format!("images/{image}-{VERSION}"));
    let zips = ["normalize", "group-convert"].map(|function| format!("zips/{function}-{VERSION}"));
    let mut expected: BTreeSet<String> = CHARTS.map(|chart| format!("charts/{chart}-{VERSION}.tgz")).into();
    expected.extend(images.iter().flat_map(|name| [format!("{name}.oci.tar"), format!("{name}.cdx.json")]));
    expected.extend(zips.iter().flat_map(|name| [format!("{name}.zip"), format!("{name}.cdx.json")]));
    assert_eq!(summed, expected);
    // Nothing else is shipped beside them.
    for folder in ["images", "zips", "charts"] {
        for entry in fs::read_dir(package().join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap());
            assert!(summed.contains(&name), "{name}");
        }
    }
}

/// Helm that is there already is taken, and none is fetched: there is no place for it.
#[test]
fn charts_are_packed_with_ones_own_helm() {
    let folder = tempfile::tempdir().unwrap();
    let (no_folder, out) = (folder.path().join("cache"), folder.path().join("out"));
    fs::write(&no_folder, "").unwrap();
    let package = |helm: &Path| {
        let mut xtask = Command::new(end_to_end::folder("IOTC_TEST_XTASK", "images"));
        xtask.args(["package", "charts", "--out"]).arg(&out).env("XDG_CACHE_HOME", &no_folder).env("HELM", helm);
        xtask
    };
    run(&mut package(&end_to_end::folder("IOTC_TEST_HELM", "images").join("bin/helm")));
    for chart in CHARTS {
        assert!(out.join("charts").join(format!("{chart}-{VERSION}.tgz")).is_file(), "{chart}");
    }
    assert!(!package(Path::new("false")).status().unwrap().success());
}

/// So whoever has the sources and the base can tell that an image is made of them.
#[test]
fn the_same_programs_on_the_same_base_are_the_same_image() {
    let out = tempfile::tempdir().unwrap();
    let base = end_to_end::folder("IOTC_TEST_BASES", "images").join("native");
    let mut again = Command::new(end_to_end::folder("IOTC_TEST_XTASK", "images"));
    again.args(["package", "images", "--image", "native", "--base", &format!("native=oci:{}", base.display())]);
    run(again.arg("--out").arg(out.path()));
    let digest = |folder: &Path| {
        let archive = folder.join("images").join(format!("native-{VERSION}.oci.tar"));
        run(Command::new("skopeo").args([
            "inspect",
            "--format",
            "{{.Digest}}",
            &format!("oci-archive:{}", archive.display()),
        ]))
    };
    assert_eq!(digest(out.path()), digest(&package()));
}
