//! The Event Hubs stand-in on a thread and a runtime of its own: the SDK does
//! not get along with a listener on its own.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;

use local::event_hubs::{Config, EventHubs, HubConfig, SharedAccessKeys};
use tokio::sync::oneshot;

/// Runs until it is dropped.
pub struct StandIn {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// With one hub of four partitions.
    pub fn start(state: &Path, hub: &str, keys: SharedAccessKeys) -> StandIn {
        let hubs = vec![HubConfig { name: hub.to_owned(), partitions: Some(4), consumer_groups: Vec::new() }];
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen, state: state.to_owned(), hubs, default_partitions: 1, latency: Config::LATENCY };
        let (started, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let event_hubs = EventHubs::start_with_keys(config, keys).await.unwrap();
                started.send(event_hubs.address()).unwrap();
                event_hubs.run(async { stopped.await.unwrap_or_default() }).await;
            });
        });
        StandIn { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed.
            let _ = thread.join();
        }
    }
}
