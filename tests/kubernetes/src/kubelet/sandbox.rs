//! The surroundings of a container: a root of its own with the image's files
//! and the pod's volumes, its own processes, and the rights that the pod asks
//! for.
//!
//! ```text
//! setpriv -> unshare -> sh --starts--> sh (mounts) -> chroot -> setpriv (rights) -> env (environment) -> program
//! ```
//!
//! Each of these becomes the next, so that the program is the first process of
//! its process namespace, as in a container: what it starts ends with it, and a
//! SIGTERM that it does not handle does nothing.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::environment::Environment;

/// Where a program finds something of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) place: PathBuf,
    pub(crate) read_only: bool,
}

/// What a program may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    pub(crate) user: i64,
    pub(crate) group: i64,
    pub(crate) more_groups: Vec<i64>,
    pub(crate) no_new_privileges: bool,
    /// Without `CAP_` and in small letters.
    pub(crate) capabilities: Vec<String>,
    pub(crate) read_only_root: bool,
}

/// A container that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    /// Its folder on this machine.
    pub(crate) folder: PathBuf,
    pub(crate) hostname: String,
    pub(crate) hosts: String,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) rights: Rights,
    pub(crate) working_dir: String,
    pub(crate) environment: Environment,
    pub(crate) command: Vec<String>,
}

/// What a container runtime leaves to a container that asks for nothing.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "audit_write",
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "net_raw",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
];

/// What of this machine's `/usr` every container sees; not `local`, where
/// images have their files.
const USR: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libexec", "sbin", "share"];

/// What of this machine's `/etc` every container sees.
const ETC: [&str; 5] = ["alternatives", "ca-certificates", "ld.so.conf.d", "ssl", "java-17-openjdk"];

/// Starts the first process of the process namespace, and ends as it does: with
/// 128 and the signal's number when a signal ended it. What the shell says of
/// that is not the program's, whose standard error is the third file.
const PARENT: &str = "exec 3>&2 2>/dev/null; setpriv --pdeathsig KILL sh \"$@\"; exit $?";

/// The exit code of what starts a program when the surroundings can't be made.
const SETUP_FAILED: i32 = 125;

impl Sandbox {
    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Its `/etc/hosts`, below a container's folder; the program sees what is
    /// written there.
    pub(crate) fn hosts_of(folder: &Path) -> PathBuf {
        folder.join("root/etc/hosts")
    }

    /// The file that is there once the surroundings are made.
    pub(crate) fn started(&self) -> PathBuf {
        self.folder.join("started")
    }

    /// What went wrong while they were made.
    pub(crate) fn setup_log(&self) -> PathBuf {
        self.folder.join("setup.log")
    }

    /// Where the program leaves its last words, on this machine.
    pub(crate) fn termination_message(&self) -> PathBuf {
        self.folder.join("termination-log")
    }

    /// The command that starts the program. The root is made anew for it.
    pub(crate) fn start(&self) -> io::Result<tokio::process::Command> {
        self.make_root()?;
        let script = self.folder.join("start.sh");
        fs::write(&script, self.script())?;
        let mut command = tokio::process::Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--uts", "--pid", "--", "sh", "-c", PARENT, "sh"]);
        command.arg(&script).args(self.words());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Ok(command)
    }

    /// The command that runs `program` beside it, in its surroundings.
    pub(crate) fn beside(&self, pid: u32, program: &[String]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("nsenter");
        command.args(["--target", &pid.to_string(), "--mount", "--uts", "--pid", "--root", "--", "/usr/bin/setpriv"]);
        command.args(self.rights.setpriv()).args(self.env()).args(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// What the script passes on: rights, environment, program.
    fn words(&self) -> Vec<String> {
        let mut words = self.rights.setpriv();
        words.extend(self.env());
        words.extend(self.command.iter().cloned());
        words
    }

    fn env(&self) -> Vec<String> {
        let mut words = vec!["/usr/bin/env".to_owned(), "-i".to_owned(), format!("--chdir={}", self.working_dir)];
        words.extend(self.environment.iter().map(|(name, value)| format!("{name}={value}")));
        words
    }

    fn make_root(&self) -> io::Result<()> {
        let root = self.root();
        for stale in [root.clone(), self.started(), self.setup_log(), self.termination_message()] {
            let removed = if stale.is_dir() { fs::remove_dir_all(&stale) } else { fs::remove_file(&stale) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        for folder in ["dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr/local/bin", "var"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        // Relative: what follows it before the root is changed stays within.
        symlink("../run", root.join("var/run"))?;
        for name in ["bin", "lib", "lib32", "lib64", "sbin"] {
            if Path::new("/").join(name).exists() {
                symlink(Path::new("usr").join(name), root.join(name))?;
            }
        }
        let etc = root.join("etc");
        fs::write(etc.join("hostname"), format!("{}\n", self.hostname))?;
        fs::write(etc.join("hosts"), &self.hosts)?;
        fs::write(etc.join("nsswitch.conf"), "hosts: files\n")?;
        fs::write(
            etc.join("passwd"),
            "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
        )?;
        fs::write(etc.join("group"), "root:x:0:\nnonroot:x:65532:\n")?;
        if Path::new("/etc/ld.so.cache").exists() {
            fs::copy("/etc/ld.so.cache", etc.join("ld.so.cache"))?;
        }
        fs::write(self.termination_message(), "")?;
        fs::set_permissions(self.termination_message(), fs::Permissions::from_mode(0o666))
    }

    /// Makes the mounts and becomes the program. Runs in the namespaces of the
    /// container, so nothing of it is left when the container has gone.
    fn script(&self) -> String {
        let root = quoted(&self.root());
        let mut script = format!(
            "set -eu\nexec 2>{log}\ntrap 'exit {SETUP_FAILED}' EXIT\nmount --make-rprivate /\n\
             printf %s {hostname} > /proc/sys/kernel/hostname\nmount --bind {root} {root}\n",
            log = quoted(&self.setup_log()),
            hostname = quoted(Path::new(&self.hostname)),
        );
        let of_machine = USR.iter().map(|name| Path::new("/usr").join(name));
        let of_machine = of_machine.chain(ETC.iter().map(|name| Path::new("/etc").join(name)));
        for path in of_machine.filter(|path| path.exists()) {
            let mount = Mount { source: path.clone(), place: path, read_only: true };
            self.bind(&mut script, &mount);
        }
        // What writes to a string does not fail.
        let _ = write!(
            script,
            "mount -t proc proc {root}/proc\nmount -t tmpfs -o mode=755 dev {root}/dev\n\
             for node in null zero full random urandom tty; do : > {root}/dev/$node; mount --bind /dev/$node {root}/dev/$node; done\n\
             mkdir -m 1777 {root}/dev/shm\nln -s /proc/self/fd {root}/dev/fd\n\
             ln -s /proc/self/fd/0 {root}/dev/stdin\nln -s /proc/self/fd/1 {root}/dev/stdout\nln -s /proc/self/fd/2 {root}/dev/stderr\n",
        );
        let mut mounts: Vec<&Mount> = self.mounts.iter().collect();
        // A mount within another comes after it.
        mounts.sort_by_key(|mount| mount.place.components().count());
        mounts.into_iter().for_each(|mount| self.bind(&mut script, mount));
        if self.rights.read_only_root {
            let _ = writeln!(script, "mount -o remount,bind,ro {root}");
        }
        let _ = write!(
            script,
            ": > {started}\ntrap - EXIT\nexec 2>&3 3>&-\ncd /\nexec chroot {root} /usr/bin/setpriv \"$@\"\n",
            started = quoted(&self.started()),
        );
        script
    }

    fn bind(&self, script: &mut String, mount: &Mount) {
        let inside = mount.place.strip_prefix("/").unwrap_or(&mount.place);
        let (source, place) = (quoted(&mount.source), quoted(&self.root().join(inside)));
        let make = if mount.source.is_dir() {
            format!("mkdir -p {place}")
        } else {
            let parent = quoted(self.root().join(inside).parent().unwrap_or(&self.root()));
            format!("mkdir -p {parent}; [ -e {place} ] || : > {place}")
        };
        let options = if mount.read_only { "bind,ro" } else { "bind" };
        let _ = writeln!(script, "{make}\nmount -o {options} {source} {place}");
    }
}

impl Rights {
    fn setpriv(&self) -> Vec<String> {
        let groups: Vec<String> = [self.group].iter().chain(&self.more_groups).map(i64::to_string).collect();
        let mut words = vec![
            format!("--reuid={}", self.user),
            format!("--regid={}", self.group),
            format!("--groups={}", groups.join(",")),
            "--inh-caps=-all".to_owned(),
            "--pdeathsig=KILL".to_owned(),
        ];
        let kept: String = self.capabilities.iter().map(|name| format!(",+{name}")).collect();
        words.push(format!("--bounding-set=-all{kept}"));
        if self.no_new_privileges {
            words.push("--no-new-privs".to_owned());
        }
        words.push("--".to_owned());
        words
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}
