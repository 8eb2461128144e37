//! Everything is pushed to a registry, and what is there is what was packed.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use end_to_end::container::run;
use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use serde_json::Value;
use tempfile::TempDir;

use super::{CHARTS, IMAGES, VERSION, archive, package};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A registry on loopback.
struct Registry {
    address: String,
    _process: Running,
    _folder: TempDir,
}

impl Registry {
    fn start() -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let storage = folder.path().join("storage");
        let configuration = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            storage.display()
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, configuration).unwrap();
        let mut process = Running::start("the registry", Command::new("docker-registry").arg("serve").arg(&file));
        until("the registry listens", START_LIMIT, || {
            process.check_running();
            TcpStream::connect(&address).ok()
        });
        Registry { address, _process: process, _folder: folder }
    }

    fn publish(&self, arguments: &[&str]) -> String {
        let xtask = end_to_end::folder("IOTC_TEST_XTASK", "images");
        let mut command = Command::new(xtask);
        command.args(["publish", "--plain-http", "--registry", &format!("{}/contoso", self.address)]).args(arguments);
        run(&mut command)
    }

    fn inspect(&self, repository: &str, version: &str) -> Value {
        let address = format!("docker://{}/contoso/{repository}:{version}", self.address);
        let printed = run(Command::new("skopeo").args(["inspect", "--tls-verify=false", &address]));
        serde_json::from_str(&printed).unwrap()
    }
}

#[test]
fn what_was_packed_is_pushed_to_the_byte() {
    let registry = Registry::start();
    let package = package();
    let mut arguments = vec!["--from", package.to_str().unwrap()];
    for (image, _) in IMAGES {
        arguments.extend(["--image", image]);
    }
    let printed = registry.publish(&arguments);
    for (image, repository) in IMAGES {
        let local = run(Command::new("skopeo").args(["inspect", &format!("oci-archive:{}", archive(image).display())]));
        let local: Value = serde_json::from_str(&local).unwrap();
        let pushed = registry.inspect(repository, VERSION);
        assert_eq!(pushed["Digest"], local["Digest"], "{image}");
        let line =
            format!("{}/contoso/{repository}:{VERSION}@{}", registry.address, pushed["Digest"].as_str().unwrap());
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    for name in CHARTS {
        let folder = tempfile::tempdir().unwrap();
        let mut pull = Command::new(end_to_end::folder("IOTC_TEST_HELM", "images").join("bin/helm"));
        pull.args(["pull", &format!("oci://{}/contoso/charts/{name}", registry.address), "--version", VERSION]);
        run(pull.arg("--plain-http").arg("--destination").arg(folder.path()));
        let pulled = fs::read(folder.path().join(format!("{name}-{VERSION}.tgz"))).unwrap();
        assert_eq!(pulled, fs::read(package.join("charts").join(format!("{name}-{VERSION}.tgz"))).unwrap(), "{name}");
    }
}

/// A FHIR server is given as its Dockerfile and the version of FHIR.
#[test]
fn a_fhir_server_of_ones_own_is_built_and_pushed() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = folder.path().join("Dockerfile");
    let text = "FROM scratch\nARG FHIR_VERSION\nARG VERSION\nLABEL fhir.version=\"${FHIR_VERSION}\" version=\"${VERSION}\"\n\
                COPY server /server\nCMD [\"/server\"]\n";
    fs::write(&dockerfile, text).unwrap();
    fs::write(folder.path().join("server"), "no program").unwrap();
    let out = folder.path().join("out");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (dockerfile, out) = (path(&dockerfile), path(&out));
    registry.publish(&[
        "images",
        "--image",
        "fhir",
        "--out",
        &out,
        "--version",
        "7.8.9",
        "--fhir-dockerfile",
        &dockerfile,
        "--fhir-version",
        "R5",
    ]);
    let pushed = registry.inspect("iot-connector-for-fhir/fhir-r5", "7.8.9");
    assert_eq!(pushed["Labels"]["fhir.version"], "R5");
    assert_eq!(pushed["Labels"]["version"], "7.8.9");
}
