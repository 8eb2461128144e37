//! The FHIR server as a process: what it answered survives `kill -9`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

struct Server {
    process: Child,
    url: String,
}

fn start(state: &Path) -> Server {
    let mut process = Command::new(env!("CARGO_BIN_EXE_fhir-server"))
        .args(["127.0.0.1:0", "azure"])
        .arg(state)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut url = String::new();
    let stdout = process.stdout.take().expect("standard output is a pipe");
    BufReader::new(stdout).read_line(&mut url).expect("the server prints its URL");
    Server { process, url: url.trim().to_owned() }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL on Unix, which is what this test is about.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn nothing_answered_is_lost_to_a_kill() {
    let state = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    for round in 1..=3 {
        let server = start(state.path());
        let counter = format!("{}/Device/counter", server.url);
        if round > 1 {
            let before: Value = client.get(&counter).send().await.unwrap().json().await.unwrap();
            assert_eq!(before["lotNumber"], (round - 1).to_string());
        }
        let device = json!({ "resourceType": "Device", "id": "counter", "lotNumber": round.to_string() });
        let answer = client.put(&counter).json(&device).send().await.unwrap();
        assert_eq!(answer.headers()["etag"], format!("W/\"{round}\""));
    }
}
