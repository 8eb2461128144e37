//! What the resource provider is told by environment variables or flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::bail;
use azure::connection_string::is_loopback;
use clap::{Parser, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::api::ApiSettings;
use crate::front::callers::Callers;
use crate::front::certificates::{AllowedCertificates, Thumbprint};
use crate::front::tokens::{TokenSettings, Tokens};
use crate::front::trusted::is_safe;
use crate::platform_file::PlatformFile;

/// Which part of the work a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// It answers requests.
    Api,
    /// It carries out what they ask for.
    Worker,
    /// Both.
    All,
}

impl Role {
    /// Whether requests are answered.
    pub fn answers(self) -> bool {
        self != Role::Worker
    }

    /// Whether operations are carried out.
    pub fn works(self) -> bool {
        self != Role::Api
    }
}

/// Provisions IoT connectors for Azure Resource Manager.
#[derive(Clone, Debug, Parser)]
#[command(name = "resource-provider", version, about)]
pub struct Settings {
    /// What this process does.
    #[arg(long, env = "ROLE", value_enum, default_value = "all")]
    pub role: Role,
    /// Where requests are answered.
    #[arg(long, env = "LISTEN_ADDRESS", value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// Where probes are answered, without TLS.
    #[arg(long, env = "HEALTH_ADDRESS", value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:8081")]
    pub health: SocketAddr,
    /// Where Prometheus is answered, without TLS. Without it nobody is.
    #[arg(long, env = "METRICS_ADDRESS", value_name = "ADDRESS", value_parser = address)]
    pub metrics: Option<SocketAddr>,
    /// The store: `sqlite://FILE`, or `postgres://…` for more than one machine. A password belongs into the environment:
    /// a command line is seen by others.
    #[arg(
        long,
        env = "STORE_URL",
        value_name = "URL",
        default_value = "sqlite://resource-provider.db",
        hide_env_values = true
    )]
    pub store: SecretString,
    /// A folder with `tls.crt` and `tls.key`. Without it requests are answered without TLS, on loopback only.
    #[arg(long, env = "TLS_PATH", value_name = "FOLDER")]
    pub tls: Option<PathBuf>,
    /// The platform's file: regions, limits, where things go (docs/resource-provider.md).
    #[arg(long, env = "PLATFORM_FILE", value_name = "FILE")]
    pub platform: Option<PathBuf>,
    /// Where it is written down who wrote what. Default: standard output.
    #[arg(long, env = "AUDIT_LOG", value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// What clients wait between two polls, in seconds.
    #[arg(long, env = "RETRY_AFTER_SECONDS", value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub retry_after_seconds: u64,
    /// How long requests are taken after the sign to stop, in seconds: until a cluster leads nobody here any more.
    #[arg(long, env = "SERVE_ON_SECONDS", value_name = "SECONDS", default_value_t = 0)]
    pub serve_on_seconds: u64,
    /// Print what Azure Resource Manager is told of the provider, with this URL of ours, and end.
    #[arg(long, value_name = "URL")]
    pub manifest: Option<Url>,
    /// How callers are known.
    #[command(flatten)]
    pub callers: CallerSettings,
    /// What is meant for development.
    #[command(flatten)]
    pub development: DevelopmentSettings,
}

/// How callers are known.
#[derive(Clone, Debug, clap::Args)]
pub struct CallerSettings {
    /// Thumbprints (SHA-1 or SHA-256) of the front door's client certificates, divided by commas.
    #[arg(long, env = "CLIENT_CERTIFICATE_THUMBPRINTS", value_name = "DIGITS", value_delimiter = ',')]
    pub client_certificate_thumbprints: Vec<Thumbprint>,
    /// Where Azure Resource Manager lists its client certificates: `https://…/metadata/authentication?api-version=2015-01-01`.
    #[arg(long, env = "CLIENT_CERTIFICATE_METADATA_URL", value_name = "URL")]
    pub client_certificate_metadata_url: Option<Url>,
    /// Issuers of tokens: `https://login.microsoftonline.com/<tenant>/v2.0`.
    #[arg(long, env = "TOKEN_ISSUERS", value_name = "TEXTS", value_delimiter = ',', requires_all = ["token_audiences", "token_keys_url"])]
    pub token_issuers: Vec<String>,
    /// What tokens are for.
    #[arg(long, env = "TOKEN_AUDIENCES", value_name = "TEXTS", value_delimiter = ',', requires = "token_issuers")]
    pub token_audiences: Vec<String>,
    /// The issuer's keys: `https://login.microsoftonline.com/<tenant>/discovery/v2.0/keys`.
    #[arg(long, env = "TOKEN_KEYS_URL", value_name = "URL", requires = "token_issuers")]
    pub token_keys_url: Option<Url>,
    /// Applications whose tokens are the front door's.
    #[arg(long, env = "FRONT_DOOR_APP_IDS", value_name = "IDS", value_delimiter = ',')]
    pub front_door_app_ids: Vec<String>,
    /// Applications of the platform that may call beside it, and are not believed for whom.
    #[arg(long, env = "APPLICATION_IDS", value_name = "IDS", value_delimiter = ',')]
    pub application_ids: Vec<String>,
    /// Take everybody for the front door: for development, on loopback only.
    #[arg(long, env = "NO_AUTHENTICATION")]
    pub no_authentication: bool,
}

/// What is meant for development.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DevelopmentSettings {
    /// Answer what ARM answers where it stands in front: `register`, and the provider.
    #[arg(long, env = "FRONT_DOOR")]
    pub front_door: bool,
    /// Register a subscription when it first writes.
    #[arg(long, env = "REGISTER_ON_FIRST_USE")]
    pub register_on_first_use: bool,
    /// Make nothing: remember what is made as long as the process lives. For a platform's file with neither `azure` nor
    /// `machine`.
    #[arg(long, env = "DRY_RUN")]
    pub dry_run: bool,
    /// Stop in good order when standard input ends, as on SIGTERM.
    #[arg(long, env = "STOP_ON_STDIN_END")]
    pub stop_on_stdin_end: bool,
}

impl Settings {
    /// Whether what is asked for is safe.
    ///
    /// # Errors
    ///
    /// What is not.
    pub fn check(&self) -> anyhow::Result<()> {
        let callers = &self.callers;
        check_store(self.store.expose_secret())?;
        if !self.role.answers() {
            return Ok(());
        }
        if self.tls.is_none() && !self.listen.ip().is_loopback() {
            bail!("TLS_PATH is needed to listen on {}: without TLS only loopback is served", self.listen);
        }
        if callers.no_authentication && !self.listen.ip().is_loopback() {
            bail!("NO_AUTHENTICATION is for loopback only, and LISTEN_ADDRESS is {}", self.listen);
        }
        if callers.no_authentication && (callers.has_certificates() || callers.has_tokens()) {
            bail!("NO_AUTHENTICATION leaves no use for client certificates and tokens");
        }
        if callers.has_certificates() && self.tls.is_none() {
            bail!("client certificates need TLS: set TLS_PATH");
        }
        let trusted = [
            ("CLIENT_CERTIFICATE_METADATA_URL", &callers.client_certificate_metadata_url),
            ("TOKEN_KEYS_URL", &callers.token_keys_url),
        ];
        for (name, url) in trusted {
            // What stands there says who may call.
            if url.as_ref().is_some_and(|url| !is_safe(url)) {
                bail!("{name} wants https, for whatever is not on this machine");
            }
        }
        if callers.has_tokens() && callers.front_door_app_ids.is_empty() && callers.application_ids.is_empty() {
            bail!("TOKEN_ISSUERS without FRONT_DOOR_APP_IDS or APPLICATION_IDS lets nobody in");
        }
        if !callers.no_authentication && !callers.has_certificates() && !callers.has_tokens() {
            bail!(
                "nobody could call: set CLIENT_CERTIFICATE_METADATA_URL, CLIENT_CERTIFICATE_THUMBPRINTS or \
                 TOKEN_ISSUERS, or for development NO_AUTHENTICATION"
            );
        }
        Ok(())
    }

    /// What the API is told.
    pub fn api(&self, platform: &PlatformFile) -> ApiSettings {
        ApiSettings {
            rules: platform.rules.clone(),
            regions: platform.regions(),
            switches: platform.switches.clone(),
            limits: platform.limits,
            retry_after_seconds: self.retry_after_seconds,
            is_front_door: self.development.front_door,
            registers_on_first_use: self.development.register_on_first_use,
            gen1_delete_requires_no_children: platform.gen1_delete_requires_no_children,
        }
    }
}

/// Refuses a PostgreSQL on another machine whose certificate is not looked at: the
/// driver's own default goes on without TLS.
fn check_store(url: &str) -> anyhow::Result<()> {
    let Some(url) = url.strip_prefix("postgres").and_then(|_| Url::parse(url).ok()) else { return Ok(()) };
    let option = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let host = option("host").or_else(|| url.host_str().map(str::to_owned)).unwrap_or_default();
    let is_socket = host.is_empty() || host.starts_with('/') || host.starts_with("%2F");
    let is_here = is_socket || is_loopback(&host);
    if is_here || matches!(option("sslmode").as_deref(), Some("verify-full" | "verify-ca")) {
        return Ok(());
    }
    bail!("STORE_URL: a PostgreSQL on another machine wants `sslmode=verify-full` (or verify-ca), and has it not")
}

impl CallerSettings {
    /// Whether clients are known by certificates, and so asked for them.
    pub fn has_certificates(&self) -> bool {
        !self.client_certificate_thumbprints.is_empty() || self.client_certificate_metadata_url.is_some()
    }

    fn has_tokens(&self) -> bool {
        !self.token_issuers.is_empty()
    }

    /// Those who may call.
    pub fn callers(&self, client: &reqwest::Client) -> Callers {
        if self.no_authentication {
            return Callers::Anybody;
        }
        let certificates = self.has_certificates().then(|| {
            let metadata = self.client_certificate_metadata_url.clone();
            AllowedCertificates::new(self.client_certificate_thumbprints.clone(), metadata)
        });
        let tokens = self.token_keys_url.clone().map(|keys| {
            let settings = TokenSettings {
                issuers: self.token_issuers.clone(),
                audiences: self.token_audiences.clone(),
                keys,
                front_doors: self.front_door_app_ids.clone(),
                applications: self.application_ids.clone(),
            };
            Box::new(Tokens::new(settings, client.clone()))
        });
        Callers::Known { certificates, tokens }
    }
}

/// Reads an address to listen on; what a name stands for may change.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8443")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Result<Settings, String> {
        let all = ["resource-provider"].iter().chain(arguments);
        let settings = Settings::try_parse_from(all).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn what_is_not_safe_does_not_start() {
        let thumbprint = "AB".repeat(20);
        let certificates = ["--client-certificate-thumbprints", &thumbprint];
        let tokens = ["--token-issuers", "i", "--token-audiences", "a", "--token-keys-url", "https://k.example/"];
        for (arguments, why) in [
            (vec![], "nobody could call"),
            (vec!["--no-authentication", "--listen", "0.0.0.0:1"], "TLS_PATH is needed"),
            (vec!["--no-authentication", "--listen", "0.0.0.0:1", "--tls", "t"], "for loopback only"),
            ([&["--no-authentication"], &certificates[..]].concat(), "leaves no use"),
            (certificates.to_vec(), "need TLS"),
            (tokens.to_vec(), "lets nobody in"),
            (
                [&tokens[..5], &["http://k.example/", "--front-door-app-ids", "arm"]].concat(),
                "TOKEN_KEYS_URL wants https",
            ),
            (tokens[..2].to_vec(), "--token-audiences"),
            (vec!["--client-certificate-thumbprints", "AB"], "not a thumbprint"),
            (vec!["--no-authentication", "--store", "postgres://u:p@db.example/x"], "sslmode=verify-full"),
            (vec!["--role", "worker", "--store", "postgres://db.example/x?sslmode=require"], "sslmode=verify-full"),
            (vec!["--retry-after-seconds", "0"], "0 is not in 1..=600"),
            (vec!["--listen", "localhost:8443"], "expected an IP address and a port"),
        ] {
            let error = settings(&arguments).expect_err(why);
            assert!(error.contains(why), "{arguments:?}: {error}");
        }
        assert!(settings(&["--role", "worker", "--listen", "0.0.0.0:1"]).is_ok(), "a worker answers nobody");
        assert!(settings(&["--no-authentication"]).is_ok());
        for store in
            ["postgres:///x?host=/run/pg", "postgres://127.0.0.1/x", "postgres://db.example/x?sslmode=verify-full"]
        {
            assert!(settings(&["--no-authentication", "--store", store]).is_ok(), "{store}");
        }
        assert!(settings(&[&certificates[..], &["--tls", "t", "--listen", "0.0.0.0:1"]].concat()).is_ok());
        assert!(settings(&[&tokens[..], &["--front-door-app-ids", "arm"]].concat()).is_ok());
    }

    #[test]
    fn the_store_is_not_shown() {
        let settings =
            settings(&["--no-authentication", "--store", "postgres://me:secret@localhost/provider"]).unwrap();
        assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
    }
}
