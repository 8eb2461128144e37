//! The resource provider in the place of the functions: it makes connectors, and
//! what they need, when it is asked to.
//!
//! ```text
//! PUT --> resource-provider --> hubs, mappings, processes of normalize and group-convert
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use super::Arguments;
use super::apps;
use super::stack::Ports;
use super::supervisor::Program;

/// Where it keeps what is its own, in the state folder.
const FOLDER: &str = "provider";
/// The region of the FHIR services.
const REGION: &str = "westus2";
/// Any subscription, group and name will do; these are for the example.
const EXAMPLE: &str = "/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/rg1\
    /providers/Microsoft.HealthcareApis/workspaces/ws1?api-version=2024-03-31";

/// Where the provider listens, and what it needs.
#[derive(Debug)]
pub struct ProviderPlan {
    /// Where it answers requests.
    pub port: u16,
    health_port: u16,
    /// Where the hubs are made.
    pub administration_port: u16,
    /// Its certificate and key, where it answers over https.
    tls: Option<PathBuf>,
}

impl ProviderPlan {
    /// Decides on ports, when the provider is wanted.
    pub fn new(arguments: &Arguments, ports: &mut Ports) -> anyhow::Result<Option<ProviderPlan>> {
        if !arguments.with_provider {
            return Ok(None);
        }
        let (port, health_port) = (ports.take(arguments.provider_port)?, ports.take(0)?);
        let unusable = |folder: &PathBuf| format!("cannot use `{}`", folder.display());
        let tls = arguments.provider_tls.as_ref();
        let tls = tls.map(|folder| folder.canonicalize().with_context(|| unusable(folder))).transpose()?;
        Ok(Some(ProviderPlan { port, health_port, administration_port: ports.take(0)?, tls }))
    }

    /// The URL of its API.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Writes the platform's file.
    pub fn lay_out(&self, state: &Path, bin: &Path, (event_hubs_port, fhir_url): (u16, &str)) -> anyhow::Result<()> {
        let below = "/subscriptions/*/resourceGroups/*/providers/Microsoft.HealthcareApis";
        let service = json!({ "location": REGION, "url": fhir_url });
        let platform = json!({
            "machine": {
                "state": state.join(FOLDER),
                "programs": bin,
                "eventHubsPort": event_hubs_port,
                "administrationPort": self.administration_port,
                "administrationToken": state.join("event-hubs").join(local::event_hubs::TOKEN_FILE),
            },
            "fhirServices": {
                (format!("{below}/workspaces/*/fhirservices/*")): service,
                (format!("{below}/services/*")): service,
            },
        });
        let text = serde_json::to_string_pretty(&platform).context("the platform's file")?;
        apps::write(&state.join(FOLDER).join("platform.json"), &text)
    }

    /// The process.
    pub fn program(&self, state: &Path, bin: &Path) -> Program {
        let file = |name: &str| state.join(FOLDER).join(name).display().to_string();
        let environment = [
            ("ROLE", "all".to_owned()),
            ("LISTEN_ADDRESS", format!("127.0.0.1:{}", self.port)),
            ("HEALTH_ADDRESS", format!("127.0.0.1:{}", self.health_port)),
            ("STORE_URL", format!("sqlite://{}", file("store.db"))),
            ("PLATFORM_FILE", file("platform.json")),
            ("AUDIT_LOG", file("audit.log")),
            ("RETRY_AFTER_SECONDS", "1".to_owned()),
            ("NO_AUTHENTICATION", "true".to_owned()),
            ("FRONT_DOOR", "true".to_owned()),
            ("REGISTER_ON_FIRST_USE", "true".to_owned()),
            ("STOP_ON_STDIN_END", "true".to_owned()),
        ];
        let tls = self.tls.as_ref().map(|folder| ("TLS_PATH", folder.display().to_string()));
        let name = "resource-provider";
        let environment = environment.into_iter().chain(tls).map(|(name, value)| (name.to_owned(), value)).collect();
        Program { name, path: bin.join(name), arguments: Vec::new(), environment }
    }

    /// What a user needs to know, once.
    pub fn welcome(&self, (fhir_url, state): (&str, &Path), connection: &str) -> String {
        let (url, state) = (self.url(), state.display());
        format!(
            "The resource provider runs, with no connector yet. It stands in for Azure Resource Manager too: it \
             registers\nsubscriptions by itself and asks nobody who they are. It is for development.\n\
             \n  provider        {url}\
             \n  FHIR server     {fhir_url}: every FHIR service in {REGION}, whatever its name\
             \n  state, logs     {state}\
             \n\nMake a workspace, then a connector and a destination (docs/local-stack.md):\
             \n  curl -X PUT -H 'Content-Type: application/json' -d '{{\"location\":\"{REGION}\"}}' \\\n       \
             '{url}{EXAMPLE}'\
             \n\nThe hub `devicedata` is there for connectors to read; send to it with any Event Hubs SDK:\
             \n  {connection}\
             \n\nCtrl-C ends it.\n"
        )
    }
}
