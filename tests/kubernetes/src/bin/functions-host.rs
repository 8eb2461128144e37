//! The Functions host stand-in as the entrypoint of the Functions image: its
//! environment is what the chart renders for the real host.
//!
//! `AzureWebJobsScriptRoot` is the app root, `ASPNETCORE_URLS` says where it
//! listens, which has to be the pod's address, since all pods are on one
//! machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use kubernetes_tests::functions_host::Blobs;
use local::functions_host::{FunctionsHost, FunctionsHostConfig, Printed};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::start_log();
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Failure> {
    let setting = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let urls = setting("ASPNETCORE_URLS")?;
    let listen = urls.trim_start_matches("http://").trim_end_matches('/');
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("ASPNETCORE_URLS is `{urls}`: {error}"))?;
    let blobs = Blobs::open(&setting("AzureWebJobsStorage")?, &setting("HOSTNAME")?)?;
    let config = FunctionsHostConfig {
        app_root: setting("AzureWebJobsScriptRoot")?.into(),
        environment: std::env::vars().collect(),
        checkpoints: Arc::new(blobs.clone()),
        http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        sharing: Some(Arc::new(blobs.clone())),
        answered: Some(Arc::new(Printed)),
    };
    let mut host = FunctionsHost::start(config).await?;
    tokio::spawn(forward(listener, host.http_address()));
    let mut term = signal(SignalKind::terminate())?;
    let code = tokio::select! {
        reason = host.stopped() => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
        _ = term.recv() => ExitCode::SUCCESS,
    };
    host.stop().await;
    blobs.release().await;
    Ok(code)
}

/// The stand-in listens on 127.0.0.1 only; the pod's address is another one of
/// this machine.
async fn forward(listener: TcpListener, host: SocketAddr) {
    loop {
        let Ok((mut inbound, _)) = listener.accept().await else { return };
        tokio::spawn(async move {
            let Ok(mut outbound) = TcpStream::connect(host).await else { return };
            // Whoever asked may be gone.
            let _ = copy_bidirectional(&mut inbound, &mut outbound).await;
        });
    }
}
