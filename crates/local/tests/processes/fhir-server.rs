//! The FHIR server stand-in as a process of its own, for tests and for trying
//! clients: `fhir-server LISTEN hapi|azure|uuid [STATE]`.
//!
//! With `FHIR_CLIENT=id:secret` in the environment it asks for bearer tokens;
//! `FHIR_COMMIT_MS` is how long a write leaves room for others (`hapi`). Prints
//! its base URL on standard output, then serves until Ctrl-C. Products use
//! `iotc`, which has the same as a subcommand.

use std::time::Duration;

use anyhow::Context as _;
use local::fhir_server::{FhirServer, FhirServerConfig, TokenClient};

const USAGE: &str = "usage: fhir-server LISTEN hapi|azure|uuid [STATE]";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, personality, rest @ ..] = arguments.as_slice() else { anyhow::bail!(USAGE) };
    let mut config = FhirServerConfig::new(personality.parse()?);
    config.listen = listen.parse().context("LISTEN is not an address with a port")?;
    config.state = rest.first().map(Into::into);
    config.token_client = std::env::var("FHIR_CLIENT").ok().map(|client| token_client(&client)).transpose()?;
    if let Ok(milliseconds) = std::env::var("FHIR_COMMIT_MS") {
        config.commit_time = Duration::from_millis(milliseconds.parse().context("FHIR_COMMIT_MS is not a number")?);
    }
    let server = FhirServer::start(config).await?;
    eprintln!("This FHIR server is for development: never give it real data.");
    println!("{}", server.url());
    tokio::signal::ctrl_c().await?;
    server.stop().await?;
    Ok(())
}

fn token_client(client: &str) -> anyhow::Result<TokenClient> {
    let (id, secret) = client.split_once(':').context("FHIR_CLIENT is not `id:secret`")?;
    Ok(TokenClient { id: id.to_owned(), secret: secret.to_owned(), lifetime: Duration::from_secs(3600) })
}
