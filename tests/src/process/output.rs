//! What a process writes, line by line.
//!
//! ```text
//! pipe --a thread, as soon as there is something--> lines      so that the process never waits
//!     \--whoever looks, before the look-----------> lines      so that the look misses nothing
//! ```
//!
//! What a process wrote before it did something that can be seen elsewhere is
//! seen by whoever looks after that: with the thread alone, only if it came to
//! its turn in between.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// What a pipe holds at the most, so that all that was written before is within it.
const PIPE_BYTES: usize = 64 * 1024;

/// One output of a process.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<Mutex<Pipe>>);

#[derive(Debug)]
struct Pipe {
    /// Never waited for.
    pipe: File,
    lines: Vec<String>,
    /// What came of a line that has not ended.
    begun: Vec<u8>,
    has_ended: bool,
}

impl Output {
    /// Reads a pipe from now on, to the end of all who hold its other end.
    ///
    /// # Panics
    /// When it cannot be read without waiting for it.
    pub(super) fn of(pipe: impl Into<OwnedFd>) -> Output {
        let pipe: OwnedFd = pipe.into();
        let waited_for = pipe.try_clone().unwrap_or_else(|error| panic!("an output of a process: {error}"));
        let set = fcntl_getfl(&pipe).and_then(|flags| fcntl_setfl(&pipe, flags | OFlags::NONBLOCK));
        set.unwrap_or_else(|error| panic!("an output of a process: {error}"));
        let pipe = Pipe { pipe: pipe.into(), lines: Vec::new(), begun: Vec::new(), has_ended: false };
        let output = Output(Arc::new(Mutex::new(pipe)));
        let kept = output.clone();
        thread::spawn(move || {
            loop {
                // An error is found again by the read.
                let _ = poll(&mut [PollFd::from_borrowed_fd(waited_for.as_fd(), PollFlags::IN)], None);
                if kept.read().has_ended {
                    break;
                }
            }
        });
        output
    }

    /// The lines that were written until now.
    pub(super) fn lines(&self) -> Vec<String> {
        self.read().lines.clone()
    }

    /// Looks at the same.
    pub(super) fn look<T>(&self, look: impl FnOnce(&[String]) -> T) -> T {
        look(&self.read().lines)
    }

    fn read(&self) -> MutexGuard<'_, Pipe> {
        let mut pipe = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.read_on();
        pipe
    }
}

impl Pipe {
    /// Takes what is there. Who writes on all the while is not followed.
    fn read_on(&mut self) {
        let (mut bytes, mut taken) = ([0; 16 * 1024], 0);
        while !self.has_ended && taken < PIPE_BYTES {
            match self.pipe.read(&mut bytes) {
                Ok(0) => self.end(),
                Ok(count) => {
                    self.take(&bytes[..count]);
                    taken += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.end(),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            self.begun.extend_from_slice(part);
            if parts.peek().is_some() {
                let line = mem::take(&mut self.begun);
                self.lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }

    /// What was begun is a line too.
    fn end(&mut self) {
        self.has_ended = true;
        if !self.begun.is_empty() {
            self.take(b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::poll::until;

    const LIMIT: Duration = Duration::from_secs(60);

    fn start(script: &str, folder: &std::path::Path) -> (std::process::Child, Output) {
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).current_dir(folder).stdout(Stdio::piped()).spawn().unwrap();
        let output = Output::of(child.stdout.take().unwrap());
        (child, output)
    }

    #[test]
    fn what_was_written_before_something_else_was_done_is_seen_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, output) = start("for i in $(seq 500); do echo $i; : > $i; done", folder.path());
        for number in 1..=500 {
            let (file, start) = (folder.path().join(number.to_string()), Instant::now());
            while !file.exists() {
                assert!(start.elapsed() < LIMIT, "{number} does not come");
            }
            let lines = output.lines();
            assert!(lines.len() >= number && lines[number - 1] == number.to_string(), "{number}: {lines:?}");
        }
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn lines_are_whole_and_the_last_one_is_there_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let script = "printf 'a\\n\\nb'; printf 'c\\nd'; while ! [ -e go ]; do :; done; printf '\\377e'";
        let (mut child, output) = start(script, folder.path());
        until("three lines", LIMIT, || (output.lines() == ["a", "", "bc"]).then_some(()));
        std::fs::write(folder.path().join("go"), "").unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(output.lines(), ["a", "", "bc", "d\u{fffd}e"]);
    }

    #[test]
    fn nobody_has_to_look_for_a_process_to_write_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, output) = start("seq 100000", folder.path());
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < LIMIT, "it waits");
            thread::yield_now();
        }
        assert_eq!(output.look(<[String]>::len), 100_000);
    }
}
