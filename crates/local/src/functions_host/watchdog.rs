//! Kills the handler when the host dies, however it dies.
//!
//! On Unix a shell waits on a pipe whose other end only the host holds. The
//! pipe ends when the host does, `kill -9` included, and the shell then kills
//! the handler. The handler itself stays an immediate child of the host, with
//! its environment, exit code and signals untouched.
//!
//! Elsewhere a killed host leaves its handler behind, which then gets no
//! invocations and holds a port that no later start asks for.

use std::io;

use tokio::process::Child;

#[cfg(unix)]
mod shell {
    use std::io::{self, Write as _};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    /// The first line is the handler's process id. The second `read` returns
    /// when the pipe ends.
    const SCRIPT: &str = "read -r handler && read -r never; [ -n \"$handler\" ] && kill -KILL \"$handler\"";

    #[derive(Debug)]
    pub(super) struct Shell(Child);

    impl Shell {
        pub(super) fn start() -> io::Result<Self> {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            // Not in the terminal's group, so that Ctrl-C does not end it first.
            command.process_group(0).spawn().map(Self)
        }

        pub(super) fn watch(&mut self, handler: u32) -> io::Result<()> {
            match &mut self.0.stdin {
                Some(pipe) => pipe.write_all(format!("{handler}\n").as_bytes()),
                None => Ok(()),
            }
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            // Killed before its pipe ends: the handler's id may be another
            // process's by now.
            if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
                tracing::debug!(error = %error, "The watchdog was gone already");
            }
        }
    }
}

/// Watches one handler; dropping it ends the watch, not the handler.
#[derive(Debug)]
pub(super) struct Watchdog {
    #[cfg(unix)]
    shell: shell::Shell,
}

impl Watchdog {
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            shell: shell::Shell::start()?,
        })
    }

    /// From now on the handler does not outlive this process.
    pub(super) fn watch(&mut self, handler: &Child) -> io::Result<()> {
        match handler.id() {
            #[cfg(unix)]
            Some(id) => self.shell.watch(id),
            // It has ended already.
            _ => Ok(()),
        }
    }
}
