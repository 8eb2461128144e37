//! The Event Hubs stand-in as a process of its own, for tests and for trying
//! clients: `event-hubs LISTEN STATE HUB[:PARTITIONS[:GROUP,GROUP]]...`.
//!
//! With `SHARED_ACCESS_KEYS` (`NAME=KEY;…`) it takes only tokens that are signed
//! with one of them, else any. With `ADMINISTRATION` (an address) hubs are made and
//! removed there by HTTP. Prints where it listens on standard output, then serves
//! until Ctrl-C.
//! Products use `iotc`, which has the same as a subcommand.

use std::net::SocketAddr;
use std::process::ExitCode;

use local::event_hubs::{Config, EventHubs, HubConfig, SharedAccessKeys};

const USAGE: &str = "usage: event-hubs LISTEN STATE HUB[:PARTITIONS[:GROUP,GROUP]]...";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(state)) = (arguments.next(), arguments.next()) else { anyhow::bail!(USAGE) };
    let listen: SocketAddr = listen.parse()?;
    let hubs = arguments.map(|argument| hub(&argument)).collect::<anyhow::Result<Vec<_>>>()?;
    if hubs.is_empty() {
        anyhow::bail!(USAGE);
    }
    let config = Config { listen, state: state.into(), hubs, default_partitions: 4, latency: Config::LATENCY };
    let keys = std::env::var("SHARED_ACCESS_KEYS").unwrap_or_default();
    let keys = keys.split(';').filter_map(|pair| pair.split_once('='));
    let keys = SharedAccessKeys::new(keys.map(|(name, key)| (name.to_owned(), key.to_owned())));
    eprintln!("This Event Hubs stand-in is for development.");
    let mut event_hubs = EventHubs::start_with_keys(config, keys).await?;
    if let Ok(address) = std::env::var("ADMINISTRATION") {
        eprintln!("hubs are made at {}", event_hubs.administer(address.parse()?).await?);
    }
    println!("listening on {}", event_hubs.address());
    event_hubs
        .run(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("Ctrl-C can't be waited for: {error}");
            }
        })
        .await;
    Ok(())
}

fn hub(argument: &str) -> anyhow::Result<HubConfig> {
    let mut parts = argument.split(':');
    let name = parts.next().unwrap_or_default().to_owned();
    let partitions = parts.next().map(str::parse).transpose()?;
    let consumer_groups = parts.next().into_iter().flat_map(|groups| groups.split(',')).map(str::to_owned).collect();
    Ok(HubConfig { name, partitions, consumer_groups })
}
