//! The image with the Functions host: what it holds is what the host looks for,
//! and both functions work below a host (our stand-in of it).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use end_to_end::container::{Container, run};
use end_to_end::poll::until;
use end_to_end::process::{descendants, free_port};
use serde_json::Value;

use super::site::Site;
use super::{archive, functions_host};

const START_LIMIT: Duration = Duration::from_secs(60);

fn json(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

fn mode(file: &Path) -> u32 {
    let found = fs::metadata(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    found.permissions().mode() & 0o7777
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_function_has_an_app_root() {
    let site = functions_host().root().join("home/site");
    let triggers = [("normalize", vec!["ingest", "normalize"]), ("group-convert", vec!["group-convert"])];
    assert_eq!(names(&site), ["group-convert", "normalize"]);
    for (function, folders) in triggers {
        let root = site.join(function);
        let mut expected = vec!["handlers", "host.json"];
        expected.extend(&folders);
        expected.sort_unstable();
        assert_eq!(names(&root), expected);
        let host = json(&root.join("host.json"));
        assert_eq!(host["version"], "2.0");
        let program = host["customHandler"]["description"]["defaultExecutablePath"].as_str().unwrap();
        assert_eq!(program, format!("handlers/{function}"));
        assert_eq!(mode(&root.join(program)), 0o755);
        assert_eq!(mode(&root.join("host.json")), 0o644);
        assert_eq!(mode(&root), 0o755);
        for folder in folders {
            let bindings = json(&root.join(folder).join("function.json"))["bindings"].clone();
            let trigger = if folder == "ingest" { "httpTrigger" } else { "eventHubTrigger" };
            assert_eq!(bindings[0]["type"], trigger, "{folder}");
        }
    }
}

#[test]
fn the_base_stays_and_needs_no_root() {
    // Not by umoci, which takes HOME from the user.
    let archive = format!("oci-archive:{}", archive("functions").display());
    let printed = run(Command::new("skopeo").args(["inspect", "--config", &archive]));
    let configuration = serde_json::from_str::<Value>(&printed).unwrap()["config"].clone();
    assert_eq!(configuration["Cmd"][0], "/azure-functions-host/Microsoft.Azure.WebJobs.Script.WebHost");
    assert_eq!(configuration["User"], "65532:65532");
    let environment: Vec<&str> = configuration["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for expected in [
        "HOME=/home",
        "AzureWebJobsScriptRoot=/home/site/normalize",
        "FUNCTIONS_WORKER_RUNTIME=custom",
        "ASPNETCORE_URLS=http://+:8080",
        "AzureWebJobsSecretStorageType=files",
    ] {
        assert!(environment.contains(&expected), "{expected}: {environment:?}");
    }
}

#[test]
fn both_functions_work_below_a_host() {
    let site = Site::start();
    let iotc = end_to_end::folder("IOTC_TEST_BIN", "images").join("iotc");
    let mut containers = ["normalize", "group-convert"].map(|function| {
        let plan = site
            .plan(function)
            .reads(&iotc, "/azure-functions-host/iotc")
            .empty("/tmp")
            .env("AzureWebJobsScriptRoot", format!("/home/site/{function}"))
            .env("ASPNETCORE_URLS", format!("http://127.0.0.1:{}", free_port()));
        functions_host().start(&plan)
    });
    for (container, function) in containers.iter_mut().zip(["normalize", "group-convert"]) {
        let host = container.pid();
        let handler = format!("/home/site/{function}/handlers/{function}");
        until(&handler, START_LIMIT, || {
            container.process().check_running();
            descendants(host).into_iter().find(|process| process.command.starts_with(&handler))
        });
    }
    site.sees_an_event_through(containers.iter_mut().map(Container::process));
}
