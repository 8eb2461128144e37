//! The same events through stacks over three FHIR servers, two of which we did
//! not write, end in equal Observations.

use end_to_end::fhir::{Fhir, Observations, difference};
use end_to_end::hapi::Hapi;
use end_to_end::sekmet::Sekmet;
use end_to_end::stack::Setup;

/// The samples, as the demo sends them.
const EVENTS: &str = include_str!("../../samples/demo/events.jsonl");

/// Sends the samples to a stack that writes to `server`, or to its own; twice,
/// since a server is to be the same after what it has already comes again.
fn observations(server: Option<&Fhir>) -> Observations {
    let mut setup = Setup::samples();
    if let Some(server) = server {
        setup = setup.argument("--fhir-url", &server.url);
    }
    let mut stack = setup.start();
    let events: Vec<&str> = EVENTS.lines().collect();
    for times in 1..=2 {
        stack.send(&events);
        stack.wait_for_fates(times * events.len());
    }
    stack.fhir().observations()
}

#[test]
fn all_servers_end_with_equal_observations() {
    let ours = observations(None);
    assert!(ours.len() >= 16, "{}", ours.len());

    let sekmet = Sekmet::start();
    let of_sekmet = observations(Some(&sekmet.fhir));
    assert!(of_sekmet == ours, "sekmet differs from ours:\n{}", difference(&ours, &of_sekmet));
    drop(sekmet);

    let hapi = Hapi::start();
    let of_hapi = observations(Some(&hapi.fhir));
    assert!(of_hapi == ours, "HAPI differs from ours:\n{}", difference(&ours, &of_hapi));
}
