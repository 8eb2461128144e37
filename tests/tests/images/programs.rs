//! The images without the Functions host, run as a cluster runs them.

use std::fs;
use std::time::Duration;

use end_to_end::container::{Container, Plan, USER};
use end_to_end::fhir::Fhir;
use end_to_end::poll::until;
use end_to_end::process::free_port;
use reqwest::blocking::Client;

use super::site::Site;
use super::{VERSION, cli, fhir, native};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Waits until a probe answers 200.
pub fn probe(container: &mut Container, port: u16, path: &str) {
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let url = format!("http://127.0.0.1:{port}{path}");
    until(path, START_LIMIT, || {
        container.process().check_running();
        http.get(&url).send().ok()?.error_for_status().ok()
    });
}

/// The value of a line of /proc/PID/status.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a process sees its `/` as read-only.
fn root_is_read_only(pid: u32) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let options = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields[4] == "/").then(|| fields[5].split(',').any(|option| option == "ro"))
    };
    mounts.lines().find_map(options).unwrap()
}

/// What a namespace of Pod Security Standards *restricted* asks of a container,
/// and a root that it cannot write.
#[track_caller]
pub fn check_restricted(pid: u32) {
    assert_eq!(status(pid, "Uid"), format!("{USER} {USER} {USER} {USER}"));
    assert_eq!(status(pid, "Gid"), format!("{USER} {USER} {USER} {USER}"));
    assert_eq!(status(pid, "CapEff"), "0000000000000000");
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    // It is the first process of the container: nothing reaps or passes on signals for it.
    assert!(status(pid, "NSpid").ends_with(" 1"));
    assert!(root_is_read_only(pid));
}

#[test]
fn both_functions_work_as_nobody_on_a_read_only_root() {
    let site = Site::start();
    let functions = ["normalize", "group-convert"].map(|function| {
        let port = free_port();

        let plan = site.plan(function).env("Http__Listen", format!("127.0.0.1:{port}")).command(&[function]);
        (native().start(&plan), port)
    });
    let mut containers: Vec<Container> = Vec::new();
    for (mut container, port) in functions {
        probe(&mut container, port, "/healthz");
        probe(&mut container, port, "/readyz");
        check_restricted(container.pid());
        containers.push(container);
    }
    site.sees_an_event_through(containers.iter_mut().map(Container::process));
    for container in &mut containers {
        let ended = container.stop(STOP_LIMIT);
        assert!(ended.success(), "{ended}: {}", container.process().printed());
        assert!(container.process().printed().contains("Stopped in good order"));
    }
}

#[test]
fn a_function_without_settings_says_what_it_lacks() {
    // The image's own command.
    let (status, printed) = native().run(&Plan::default(), START_LIMIT);
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("app setting `Template__DeviceContent` is not set"), "{printed}");
}

#[test]
fn the_command_line_answers_and_finds_the_functions_beside_it() {
    let (status, printed) = cli().run(&Plan::default().command(&["/usr/local/bin/iotc", "--version"]), START_LIMIT);
    assert!(status.success(), "{printed}");
    assert_eq!(printed.trim(), format!("iotc {VERSION}"));
    assert_eq!(cli().configuration()["process"]["args"][0], "/usr/local/bin/iotc");
    for program in ["iotc", "normalize", "group-convert"] {
        assert!(cli().root().join("usr/local/bin").join(program).is_file(), "{program}");
    }
}

#[test]
fn the_fhir_server_answers_and_stops_when_it_is_told() {
    let store = tempfile::tempdir().unwrap();
    let port = free_port();
    let own = fhir().configuration()["process"]["args"].clone();
    let entry: Vec<&str> = own.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(entry[5..], ["/var/lib/fhir", "--port", "8080"], "{entry:?}");
    let port_text = port.to_string();
    let command = [&entry[..6], &["--port", &port_text]].concat();
    let plan = Plan::default().command(&command).writes(store.path(), "/var/lib/fhir");
    let mut container = fhir().start(&plan);
    let server = Fhir::new(&format!("http://127.0.0.1:{port}/fhir"));
    until("the FHIR server answers", START_LIMIT, || {
        container.process().check_running();
        server.metadata()
    });
    assert!(container.stop(STOP_LIMIT).success(), "{}", container.process().printed());
}
