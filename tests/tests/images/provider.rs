//! The resource provider's image: it starts as its chart starts it, as nobody on a
//! read-only root, and is ready over a store that it may write to.

use std::time::Duration;

use end_to_end::container::Plan;
use end_to_end::process::free_port;

use super::programs::{check_restricted, probe};
use super::resource_provider;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_provider_that_nobody_could_call_says_so_and_ends() {
    // The image's own command.
    let (status, printed) = resource_provider().run(&Plan::default(), LIMIT);
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("nobody could call"), "{printed}");
}

#[test]
fn a_provider_is_ready_as_nobody_on_a_read_only_root() {
    let store = tempfile::tempdir().unwrap();
    let port = free_port();
    let plan = Plan::default()
        .writes(store.path(), "/store")
        .env("DRY_RUN", "true")
        .env("NO_AUTHENTICATION", "true")
        .env("STORE_URL", "sqlite:///store/provider.db")
        .env("LISTEN_ADDRESS", format!("127.0.0.1:{}", free_port()))
        .env("HEALTH_ADDRESS", format!("127.0.0.1:{port}"));
    let mut container = resource_provider().start(&plan);
    probe(&mut container, port, "/readyz");
    check_restricted(container.pid());
    assert!(container.stop(LIMIT).success(), "{}", container.process().printed());
}
