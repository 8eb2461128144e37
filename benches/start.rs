//! From starting a function's binary to its first answer on `GET /`, which is
//! what the Functions host waits for (functions-eventhubs-keda.md 1.3).
//!
//! ```text
//! start [--json] --binary FILE …
//! ```
//!
//! The binaries are those that are shipped; `cargo xtask bench start` builds
//! them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use benches::{HandlerProcess, corpus, median, rounded};

/// Starts of each binary; odd, so that there is a median.
const STARTS: usize = 21;

fn main() -> ExitCode {
    benches::end_with(run())
}

fn run() -> Result<(), String> {
    let (mut json, mut binaries) = (false, Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            "--binary" => binaries.push(words.next().map(PathBuf::from).ok_or("--binary needs a file")?),
            // Cargo's own.
            "--bench" => {}
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    if binaries.is_empty() {
        return Err("--binary needs a function's binary; `cargo xtask bench start` gives both".to_owned());
    }
    for binary in &binaries {
        let starts = (0..STARTS).map(|_| start(binary)).collect::<Result<Vec<_>, _>>()?;
        let longest = starts.iter().copied().fold(0.0, f64::max);
        let (name, median) = (binary.file_name().unwrap_or_default().to_string_lossy(), median(starts));
        if json {
            let row = serde_json::json!({ "binary": name, "start_to_ready_ms": rounded(median), "longest_ms": rounded(longest) });
            println!("{row}");
        } else {
            println!("{name}: ready {median:.1} ms after its start, median of {STARTS}; the longest {longest:.1} ms");
        }
    }
    Ok(())
}

/// Milliseconds from start to ready.
fn start(binary: &Path) -> Result<f64, String> {
    let start = Instant::now();
    let mut handler = HandlerProcess::start(binary, &corpus::vitals().mapping)?;
    handler.wait_until_ready()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
