//! Images that were packed, and containers of them by runc.
//!
//! ```text
//! OCI archive --skopeo, umoci: unpacked once--> Image --runc, a bundle each--> Container
//! ```
//!
//! A container gets what the namespaces of Pod Security Standards *restricted*
//! leave it: no capabilities, no new privileges, and a root that it cannot write.
//! It shares the loopback of this machine, where the stand-ins are.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::poll::until;
use crate::process::Running;

const START_LIMIT: Duration = Duration::from_secs(30);

/// An unpacked image.
#[derive(Debug)]
pub struct Image {
    folder: TempDir,
}

/// How to run a container.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    command: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    mounts: Vec<Value>,
}

/// A running container, gone when dropped.
#[derive(Debug)]
pub struct Container {
    name: String,
    process: Running,
    folder: TempDir,
}

impl Image {
    /// Unpacks an OCI archive.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn unpack(archive: &Path) -> Image {
        let folder = folder();
        let layout = format!("{}:image", folder.path().join("layout").display());
        run(Command::new("skopeo")
            .args(["copy", "-q", &format!("oci-archive:{}", archive.display())])
            .arg(format!("oci:{layout}")));
        run(Command::new("umoci").args(["unpack", "--image", &layout]).arg(folder.path().join("bundle")));
        Image { folder }
    }

    /// Its files.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("bundle/rootfs")
    }

    /// What runc is to do with it, as umoci reads the image's configuration.
    ///
    /// # Panics
    /// When it cannot be read.
    #[track_caller]
    pub fn configuration(&self) -> Value {
        let file = self.folder.path().join("bundle/config.json");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Starts a container.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(&self, plan: &Plan) -> Container {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("iotc-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = folder();
        let file = folder.path().join("config.json");
        let written = fs::write(&file, self.with(plan).to_string());
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut command = runc(&folder);
        command.arg("run").arg("--bundle").arg(folder.path()).arg(&name);
        Container { process: Running::start(&name, &mut command), name, folder }
    }

    /// Runs a container to its end, and gives that and what it printed.
    ///
    /// # Panics
    /// When it does not start, or is still there after `limit`.
    #[track_caller]
    pub fn run(&self, plan: &Plan, limit: Duration) -> (ExitStatus, String) {
        let mut container = self.start(plan);
        let status = container.process.wait(limit);
        (status, container.process.printed())
    }

    fn with(&self, plan: &Plan) -> Value {
        let mut configuration = self.configuration();
        configuration["root"] = json!({ "path": self.root(), "readonly": true });
        let process = &mut configuration["process"];
        process["terminal"] = json!(false);
        process["noNewPrivileges"] = json!(true);
        process["capabilities"] = json!({});
        if let Some(command) = &plan.command {
            process["args"] = json!(command);
        }
        if let Some(environment) = process["env"].as_array_mut() {
            for (name, value) in &plan.environment {
                environment.retain(|entry| entry.as_str().is_none_or(|entry| entry.split('=').next() != Some(name)));
                environment.push(json!(format!("{name}={value}")));
            }
        }
        // What a kubelet mounts: names are resolved as on the node.
        let names = ["/etc/hosts", "/etc/resolv.conf"].map(|file| bind(Path::new(file), file, false));
        if let Some(mounts) = configuration["mounts"].as_array_mut() {
            mounts.extend(names.into_iter().chain(plan.mounts.iter().cloned()));
        }
        if let Some(namespaces) = configuration["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != "network");
        }
        configuration
    }
}

impl Plan {
    /// Another command than the image's own.
    #[must_use]
    pub fn command(mut self, command: &[&str]) -> Plan {
        self.command = Some(command.iter().map(ToString::to_string).collect());
        self
    }

    /// An environment variable, in the place of the image's own.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Plan {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// A file or folder of this machine that it may read.
    #[must_use]
    pub fn reads(mut self, from: &Path, to: &str) -> Plan {
        self.mounts.push(bind(from, to, false));
        self
    }

    /// A folder of this machine that it may write, as the user of our images.
    ///
    /// # Panics
    /// When the folder cannot be given to that user.
    #[must_use]
    #[track_caller]
    pub fn writes(mut self, from: &Path, to: &str) -> Plan {
        let given = fs::create_dir_all(from).and_then(|()| chown(from, Some(USER), Some(USER)));
        given.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.mounts.push(bind(from, to, true));
        self
    }

    /// An empty folder in memory.
    #[must_use]
    pub fn empty(mut self, to: &str) -> Plan {
        self.mounts.push(json!({ "destination": to, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"] }));
        self
    }
}

/// Whom our images run as.
pub const USER: u32 = 65532;

impl Container {
    /// Its first process on this machine.
    ///
    /// # Panics
    /// When it does not get as far as having one.
    #[track_caller]
    pub fn pid(&mut self) -> u32 {
        let (folder, name) = (&self.folder, &self.name);
        let process = &mut self.process;
        until("the container runs", START_LIMIT, || {
            process.check_running();
            let output = runc(folder).args(["state", name]).output().ok()?;
            let state: Value = serde_json::from_slice(&output.stdout).ok()?;
            (state["status"] == "running").then(|| state["pid"].as_u64()?.try_into().ok())?
        })
    }

    /// The process that runs it, which has its output and its exit code.
    pub fn process(&mut self) -> &mut Running {
        &mut self.process
    }

    /// Tells its first process to stop, and waits for its end.
    ///
    /// # Panics
    /// When it is still there after `limit`.
    #[track_caller]
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        run(runc(&self.folder).args(["kill", &self.name, "TERM"]));
        self.process.wait(limit)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = runc(&self.folder).args(["delete", "--force", &self.name]).output();
    }
}

fn bind(from: &Path, to: &str, writable: bool) -> Value {
    let mode = if writable { "rw" } else { "ro" };
    json!({ "destination": to, "type": "bind", "source": from, "options": ["bind", mode, "nosuid", "nodev"] })
}

fn runc(folder: &TempDir) -> Command {
    let mut command = Command::new("runc");
    command.arg("--root").arg(folder.path().join("runc"));
    command
}

#[track_caller]
fn folder() -> TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for containers: {error}"))
}

/// Runs a program to its end.
///
/// # Panics
/// When it fails, with what it said.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}
