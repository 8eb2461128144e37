//! A program for pods of tests: serves what probes ask, and does on command
//! what programs in pods do when they go wrong.
//!
//! ```text
//! GET /healthz, /readyz       200, or 503 after POST /sick, /unready
//! GET /environment            its environment, NAME=value, a line each
//! GET /file?PATH              what a file holds
//! POST /write?PATH            writes a file; 500 and the error when it can't
//! POST /exit?CODE             ends
//! GET /identity               /proc/self/status
//! ```
//!
//! It listens on `LISTEN`. A SIGTERM ends it with 0, after `LINGER_SECONDS`; with
//! `STUBBORN=true` it is passed over. `EXIT=CODE` ends it at once. What is in
//! `TERMINATION_MESSAGE` becomes its last words.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs, process, thread};

use tokio::signal::unix::{SignalKind, signal};

#[derive(Default)]
struct Condition {
    sick: AtomicBool,
    unready: AtomicBool,
}

fn main() -> ExitCode {
    if let Ok(words) = env::var("TERMINATION_MESSAGE")
        && let Err(error) = fs::write("/dev/termination-log", words)
    {
        eprintln!("no last words: {error}");
    }
    if let Some(code) = env::var("EXIT").ok().and_then(|code| code.parse::<u8>().ok()) {
        println!("ends with {code}");
        return ExitCode::from(code);
    }
    let Ok(address) = env::var("LISTEN") else { return ExitCode::from(3) };
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on {address}: {error}");
            return ExitCode::from(4);
        }
    };
    println!("listens on {address} as process {}", process::id());
    thread::spawn(move || serve(&listener));
    wait_for_term()
}

fn wait_for_term() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::from(5) };
    runtime.block_on(async {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return ExitCode::from(5) };
        while terminate.recv().await.is_some() {
            println!("was told to end");
            if env::var("STUBBORN").is_err() {
                break;
            }
        }
        let seconds = env::var("LINGER_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        println!("ends in good order");
        ExitCode::SUCCESS
    })
}

fn serve(listener: &TcpListener) {
    let condition = Arc::new(Condition::default());
    for connection in listener.incoming().flatten() {
        let condition = condition.clone();
        thread::spawn(move || {
            if let Err(error) = answer(&connection, &condition) {
                eprintln!("a request broke off: {error}");
            }
        });
    }
}

fn answer(mut connection: &TcpStream, condition: &Condition) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let target = first.split(' ').nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, body) = reply(path, query, condition);
    let length = body.len();
    write!(connection, "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn reply(path: &str, query: &str, condition: &Condition) -> (u16, String) {
    let tried = |done: std::io::Result<String>| match done {
        Ok(text) => (200, text),
        Err(error) => (500, error.to_string()),
    };
    let check =
        |flag: &AtomicBool| if flag.load(Ordering::Relaxed) { (503, String::new()) } else { (200, String::new()) };
    match path {
        "/healthz" => check(&condition.sick),
        "/readyz" => check(&condition.unready),
        "/sick" => {
            condition.sick.store(true, Ordering::Relaxed);
            (200, String::new())
        }
        "/unready" => {
            condition.unready.store(query.is_empty(), Ordering::Relaxed);
            (200, String::new())
        }
        "/environment" => (200, env::vars().map(|(name, value)| format!("{name}={value}\n")).collect()),
        "/file" => tried(fs::read_to_string(query)),
        "/write" => tried(fs::write(query, "written").map(|()| String::new())),
        "/identity" => tried(fs::read_to_string("/proc/self/status")),
        "/exit" => process::exit(query.parse().unwrap_or(1)),
        _ => (404, String::new()),
    }
}
