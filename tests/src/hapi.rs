//! HAPI FHIR, the server that most users run, as installed by
//! `cargo xtask components hapi`.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::fhir::Fhir;
use crate::process::Running;

/// It takes half a minute on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(240);

/// A running server with an empty database in memory.
#[derive(Debug)]
pub struct Hapi {
    /// How it is reached.
    pub fhir: Fhir,
    _process: Running,
    _folder: TempDir,
}

impl Hapi {
    /// Starts one, strict about unknown elements and codes, and waits until it
    /// answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Hapi {
        let component = crate::folder("IOTC_TEST_HAPI", "fhir");
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for HAPI: {error}"));
        let class_path = format!("{0}/classes:{0}/lib/*", component.display());
        // What is shared by tests is never dropped: then the end of its standard
        // input, which is that of this process, ends it.
        let mut java = Command::new("sh");
        java.args(["-c", r#"exec 3<&0; (cat <&3 >/dev/null; kill -9 $$) & exec java "$@" </dev/null 3<&-"#, "java"]);
        // Fast to start rather than fast to run.
        java.args(["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.arg(format!("-Djava.io.tmpdir={}", folder.path().display()));
        java.args(["-cp", &class_path, "HapiServer"]);
        java.env("HAPI_PORT", crate::process::free_port().to_string()).env("HAPI_CHECK", "strict");
        let mut process = Running::start("HAPI", &mut java);
        let url = process.wait_for("is ready", START_LIMIT, |printed, _| {
            printed.iter().find_map(|line| line.strip_prefix("READY ").map(str::to_owned))
        });
        Hapi { fhir: Fhir::new(&url), _process: process, _folder: folder }
    }

    /// One for all tests of a process, which belongs to whoever holds the guard;
    /// started when it is asked for first. It ends with the process.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> MutexGuard<'static, Option<Hapi>> {
        static SHARED: Mutex<Option<Hapi>> = Mutex::new(None);
        // A test that failed leaves a server that works.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get_or_insert_with(Hapi::start);
        shared
    }
}
