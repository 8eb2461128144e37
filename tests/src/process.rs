//! Processes: start, read, signal, and what they started themselves.
//!
//! Linux only: it looks into `/proc`.

mod output;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::output::Output;
use crate::poll::{try_until, until};

/// A process, killed when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Running {
    /// Starts a process with its standard input as a pipe.
    ///
    /// # Panics
    /// When the program is not there.
    pub fn start(name: &str, command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let pipes = child.stdout.take().zip(child.stderr.take());
        let (stdout, stderr) = pipes.unwrap_or_else(|| panic!("{name} has no output"));
        let (stdout, stderr) = (Output::of(stdout), Output::of(stderr));
        Running { name: name.to_owned(), child, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input; taking it twice gives none.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it takes none.
    #[track_caller]
    pub fn write_line(&mut self, line: &str) {
        let written = self.child.stdin.as_mut().map(|input| writeln!(input, "{line}").and_then(|()| input.flush()));
        assert!(matches!(written, Some(Ok(()))), "{} takes no line: {written:?}\n{}", self.name, self.printed());
    }

    /// What it has written to standard output.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// What it has written to standard error.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// What it has written, for an error text.
    pub fn printed(&self) -> String {
        [self.stdout(), self.stderr()].concat().join("\n")
    }

    /// Waits for something in what it prints.
    ///
    /// # Panics
    /// When it ends before that, or after `limit`.
    #[track_caller]
    pub fn wait_for<T>(&mut self, what: &str, limit: Duration, find: impl Fn(&[String], &[String]) -> Option<T>) -> T {
        let found = try_until(limit, || {
            // Asked first: what it printed before it ended counts.
            let ended = self.child.try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let found = self.stdout.look(|stdout| self.stderr.look(|stderr| find(stdout, stderr)));
            assert!(found.is_some() || ended.is_none(), "{} ended ({ended:?}):\n{}", self.name, self.printed());
            found
        });
        found.unwrap_or_else(|| panic!("{}: not within {limit:?}: {what}\n{}", self.name, self.printed()))
    }

    /// Looks whether it is still there.
    ///
    /// # Panics
    /// When it is not.
    pub fn check_running(&mut self) {
        let ended = self.child.try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(ended.is_none(), "{} ended ({ended:?}):\n{}", self.name, self.printed());
    }

    /// Kills it, if it has not ended. What it wrote stays.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        assert!(killed.is_ok(), "{}: {killed:?}", self.name);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it is still there after `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        until(&format!("{} ends", self.name), limit, || {
            self.child.try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.name))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback port that is free now, for a program that cannot choose one
/// itself.
///
/// None of those that the system gives to whoever connects: a program that is
/// killed and started again would find its port taken by a connection, even by
/// one of its own clients to itself.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_else(|error| panic!("the ports of connections: {error}"));
    let end: usize = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(PORTS_FROM);
    let count = end.min(PORTS_END).saturating_sub(PORTS_FROM);
    // Other processes look for ports too, and begin elsewhere.
    let start = std::process::id() as usize * 101;
    let candidates = (0..count).map(|_| PORTS_FROM + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % count);
    let mut candidates = candidates.filter_map(|port| u16::try_from(port).ok());
    let free = candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.unwrap_or_else(|| panic!("no port from {PORTS_FROM} on is free"))
}

/// Below are those of well-known services.
const PORTS_FROM: usize = 10_000;
/// From here on the stand-in of the Functions host takes those of handlers.
const PORTS_END: usize = 28_000;

/// Sends a signal, `INT` for one, to a process.
///
/// # Panics
/// When there is no such process.
pub fn signal(pid: u32, signal: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{signal} {pid}")).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot send {signal} to process {pid}");
}

/// A process somebody started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its id.
    pub pid: u32,
    parent: u32,
    /// Its command line, words divided by blanks.
    pub command: String,
}

/// What `pid` has started and what these have, and is still running.
pub fn descendants(pid: u32) -> Vec<Started> {
    let all = running();
    let mut found: Vec<Started> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Whether the process is still running, as the same program.
pub fn is_running(process: &Started) -> bool {
    running().iter().any(|other| other.pid == process.pid && other.command == process.command)
}

/// The memory of a process that is in RAM, in bytes; none when it has ended.
pub fn resident_bytes(process: &Started) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// How many files and connections a process has open; none when it has ended.
pub fn open_files(process: &Started) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{}/fd", process.pid)).ok()?.count())
}

fn running() -> Vec<Started> {
    let entries = fs::read_dir("/proc").unwrap_or_else(|error| panic!("/proc: {error}"));
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(started).collect()
}

/// None for one that has ended meanwhile, or whose parent has not noticed yet.
fn started(pid: u32) -> Option<Started> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent …`, and the name may hold anything.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let (state, parent) = (fields.next()?, fields.next()?);
    if state == "Z" {
        return None;
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    Some(Started { pid, parent: parent.parse().ok()?, command })
}
