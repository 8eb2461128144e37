//! What the operator is told, by environment variables or flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use url::Url;

use crate::lag::hosts::{self, AllowedHost};

/// Makes a Kubernetes cluster match its IotConnector and Fhir resources.
#[derive(Clone, Debug, Parser)]
#[command(name = "operator", version, about)]
pub struct Settings {
    /// The namespace of the operator: of its Lease and its Secrets.
    #[arg(long, env = "OPERATOR_NAMESPACE", value_name = "NAME", default_value = "iot-connector-system")]
    pub namespace: String,
    /// This replica, as the Lease names it. Another for each process.
    #[arg(long, env = "OPERATOR_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
    /// The namespaces to look at, divided by commas. Default: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_name = "NAMES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Helm's binary.
    #[arg(long, env = "HELM_PATH", value_name = "FILE", default_value = "/usr/local/bin/helm")]
    pub helm: PathBuf,
    /// The folder of the charts `iot-connector` and `fhir-service`.
    #[arg(long, env = "CHARTS_PATH", value_name = "FOLDER", default_value = "/charts")]
    pub charts: PathBuf,
    /// Values of the platform for every connector.
    #[arg(long, env = "CONNECTOR_VALUES", value_name = "FILE")]
    pub connector_values: Option<PathBuf>,
    /// Values of the platform for every FHIR server.
    #[arg(long, env = "FHIR_VALUES", value_name = "FILE")]
    pub fhir_values: Option<PathBuf>,
    /// Where probes and Prometheus are answered.
    #[arg(long, env = "LISTEN_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where the lag is served, over TLS. Without it none is.
    #[arg(long, env = "LAG_LISTEN_ADDRESS", value_name = "ADDRESS", requires = "lag_url")]
    pub lag_listen: Option<SocketAddr>,
    /// The address that connectors are told: `https://….svc:8443`.
    #[arg(long, env = "LAG_URL", value_name = "URL")]
    pub lag_url: Option<Url>,
    /// A folder with `tls.crt`, `tls.key` and `ca.crt`. Without it the operator makes an authority of its own.
    #[arg(long, env = "LAG_TLS_PATH", value_name = "FOLDER")]
    pub lag_tls: Option<PathBuf>,
    /// The hosts that the lag may be read from, divided by commas: `hub.example.com`, `*.example.com`, and without TLS
    /// `http://127.0.0.1`. Default: those of Azure.
    #[arg(long, env = "LAG_ALLOWED_HOSTS", value_name = "HOSTS", value_delimiter = ',', default_values = hosts::AZURE)]
    pub lag_hosts: Vec<AllowedHost>,
    /// The lag is read anew when the last reading is older.
    #[arg(long, env = "LAG_CACHE_SECONDS", value_name = "SECONDS", default_value_t = 5)]
    pub lag_cache_seconds: u64,
    /// The tenant of identities for which no other is said. (`AZURE_AUTHORITY_HOST` is where their tokens come from, when
    /// not from the public cloud's.)
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "ID")]
    pub tenant: Option<String>,
}
