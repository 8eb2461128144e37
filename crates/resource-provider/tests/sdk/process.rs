//! The program as a process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::listens::addresses;

/// Above what a start takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const PERIOD: Duration = Duration::from_millis(20);

/// Killed when dropped.
pub struct Process {
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts it with these settings and nothing of this process's environment;
    /// what it prints goes into a file in the folder.
    pub fn start(folder: &Path, settings: &[(&str, &str)]) -> Process {
        let log = folder.join("log");
        let output = File::create(&log).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_resource-provider"));
        command.env_clear().envs(settings.iter().copied()).stdout(output.try_clone().expect("a file")).stderr(output);
        Process { child: Mutex::new(command.spawn().expect("it starts")), log }
    }

    /// Waits until it takes requests, and gives where: the system has chosen its ports.
    pub async fn is_ready(&self) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let printed = self.printed();
            if let [health, address] = addresses(&printed)[..] {
                let probed = reqwest::get(format!("http://{health}/readyz")).await;
                if probed.is_ok_and(|answer| answer.status() == 200) {
                    return address.to_owned();
                }
            }
            let ended = self.child.lock().expect("no panic").try_wait().expect("it is ours");
            assert!(ended.is_none() && Instant::now() < deadline, "not ready: {ended:?}\n{printed}");
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().expect("no panic");
        // One that has ended already is as good.
        let _ = child.kill();
        let _ = child.wait();
    }
}
