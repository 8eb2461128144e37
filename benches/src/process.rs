//! A handler as a process: started as the Functions host starts it, posted to
//! over one connection, and looked at from outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::on_cpu;

/// How long a handler may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running handler; killed when dropped, as the host does it.
#[derive(Debug)]
pub struct HandlerProcess {
    child: Child,
    port: u16,
    folder: PathBuf,
}

/// One keep-alive connection to a handler.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
}

/// CPU time that each thread of a process had used.
#[derive(Clone, Debug, Default)]
pub struct CpuTime(BTreeMap<String, u64>);

impl HandlerProcess {
    /// Starts `binary` with `mapping` as its mapping, and everything else that
    /// it has to be told. It is not ready yet.
    pub fn start(binary: &Path, mapping: &str) -> Result<HandlerProcess, String> {
        let failed = |error: std::io::Error| format!("cannot start `{}`: {error}", binary.display());
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).map_err(failed)?.port();
        let folder = std::env::temp_dir().join(format!("iot-connector-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).map_err(failed)?;
        let mapping_file = folder.join("mapping.json");
        fs::write(&mapping_file, mapping).map_err(failed)?;
        let mut command = Command::new(binary);
        command.env_clear().envs(std::env::vars().filter(|(name, _)| name == "PATH" || name.starts_with("LD_")));
        command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()).envs(settings(&mapping_file, &folder));
        // Its log goes through a pipe, as with the host.
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut handler = HandlerProcess { child: child.map_err(failed)?, port, folder };
        let log = handler.child.stdout.take();
        std::thread::spawn(move || log.map(|mut log| std::io::copy(&mut log, &mut std::io::sink())));
        Ok(handler)
    }

    /// Waits until `GET /` is answered.
    pub fn wait_until_ready(&mut self) -> Result<Connection, String> {
        let start = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(self.port)
                && connection.get("/").is_ok()
            {
                return Ok(connection);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the handler ended with {status}"));
            }
            if start.elapsed() > PATIENCE {
                return Err("the handler does not answer".to_owned());
            }
            std::thread::yield_now();
        }
    }

    /// The CPU time of all its threads that are there now.
    pub fn cpu_time(&self) -> CpuTime {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        CpuTime(
            threads
                .filter_map(|thread| Some((thread.file_name().to_string_lossy().into_owned(), on_cpu(&thread.path())?)))
                .collect(),
        )
    }

    /// A line of its `/proc/PID/status` that counts memory, in MiB: `VmRSS`
    /// what it holds, `VmHWM` the most it has held.
    pub fn memory_mib(&self, line: &str) -> f64 {
        super::measure::status_mib(&self.child.id().to_string(), line)
    }
}

impl Drop for HandlerProcess {
    fn drop(&mut self) {
        // It may be gone already; nothing is left to do about either then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The app settings of both functions; each takes what is its own.
fn settings(mapping: &Path, folder: &Path) -> Vec<(&'static str, String)> {
    let mapping = mapping.display().to_string();
    let fixed = [
        ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost"),
        ("NormalizationEventHub__EventHubName", "normalizeddata"),
        ("NormalizationEventHub__AuthenticationType", "Development"),
        ("NormalizationEventHub__CustomEndpoint", "amqp://127.0.0.1:9"),
        ("FhirService__Url", "http://127.0.0.1:9"),
        ("FhirService__AuthenticationType", "Development"),
        ("ResourceIdentity__ResourceIdentityServiceType", "R4DeviceAndPatientLookupIdentityService"),
        ("ResourceIdentity__DefaultDeviceIdentifierSystem", ""),
    ];
    let mut all: Vec<_> = fixed.map(|(name, value)| (name, value.to_owned())).to_vec();
    all.push(("Template__DeviceContent", mapping.clone()));
    all.push(("Template__FhirMapping", mapping));
    all.push(("DeadLetters__Folder", folder.join("dead-letters").display().to_string()));
    all
}

impl CpuTime {
    /// Nanoseconds from `before` to this. What a thread did that has ended
    /// since is not seen; handlers end threads only when they are idle.
    pub fn since(&self, before: &CpuTime) -> u64 {
        self.0.iter().map(|(thread, time)| time - before.0.get(thread).unwrap_or(&0).min(time)).sum()
    }

    /// That of this thread alone.
    pub fn of_this_thread() -> CpuTime {
        // The kernel brings its count up to date when the thread yields.
        std::thread::yield_now();
        let time = on_cpu(Path::new("/proc/thread-self"));
        CpuTime(time.map(|time| ("this".to_owned(), time)).into_iter().collect())
    }
}

impl Connection {
    fn open(port: u16) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { reader: BufReader::new(stream) })
    }

    /// Gets `path`; the answer's body.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>, String> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())
    }

    /// Posts an invocation as the host does, in chunks; the answer's body.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        self.exchange(&post_request(path, body))
    }

    /// Sends a whole request and reads the answer; any status but 200 is an
    /// error.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |error: std::io::Error| format!("the handler's connection: {error}");
        self.reader.get_mut().write_all(request).map_err(failed)?;
        let (mut status, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).map_err(failed)? == 0 {
                return Err("the handler closed the connection".to_owned());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if status.is_empty() {
                status = line.to_owned();
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(|_| "the answer has no length".to_owned())?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).map_err(failed)?;
        if status.split(' ').nth(1) == Some("200") { Ok(body) } else { Err(format!("the handler answered {status}")) }
    }
}

/// A POST with the headers of the Functions host and the body in one chunk
/// (functions-eventhubs-keda.md 1.7).
pub fn post_request(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\n\
         X-Azure-Functions-HostVersion: 4.1037.0.0\r\nX-Azure-Functions-InvocationId: 6f1c2b1e-3c52-4c1f-9b0e-5d0b3f5b8a11\r\n\
         User-Agent: Azure-Functions-Host/4.1037.0.0\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request.extend_from_slice(b"\r\n0\r\n\r\n");
    request
}
