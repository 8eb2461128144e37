//! What docs/local-stack.md says to paste does what it says.

use std::process::Command;

use crate::site::Site;

const PAGE: &str = include_str!("../../../docs/local-stack.md");

#[test]
fn the_lines_of_the_page_make_observations_of_the_samples() {
    let mut site = Site::start();
    // As `--input` does.
    let samples = include_str!("../../../samples/demo/events.jsonl");
    site.stack.send(&samples.lines().collect::<Vec<_>>());
    let (_, section) = PAGE.split_once("## With the resource provider").expect("the section");
    let blocks: Vec<&str> = section.split("```").filter_map(|block| block.strip_prefix("sh\n")).collect();
    let script = format!("{}{}", blocks[1], blocks[2])
        .replace("http://127.0.0.1:8443", site.stack.provider_url())
        .replace("http://127.0.0.1:8080/fhir", &site.stack.fhir().url);
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let pasted = Command::new("sh").arg("-ec").arg(&script).current_dir(root).output().expect("a shell");
    let printed = String::from_utf8_lossy(&pasted.stdout).into_owned() + &String::from_utf8_lossy(&pasted.stderr);
    assert!(pasted.status.success(), "{printed}");
    assert_eq!(printed.matches("primaryConnectionString").count(), 2, "keys, and keys made anew");
    site.wait_for_observation("bloodpressure");
    site.wait_for_observation("bodytemperature");
}
