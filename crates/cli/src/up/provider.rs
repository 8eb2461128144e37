//! The resource provider in the place of the functions: it makes connectors, and
//! what they need, when it is asked to.
//!
//! ```text
//! PUT --> resource-provider --> hubs, mappings, processes of normalize and group-convert
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::Arguments;
use super::apps;
use super::stack::Ports;
use super::supervisor::Program;

/// Where it keeps what is its own, in the state folder.
const FOLDER: &str = "provider";
/// What the provider is told, in there.
const PLATFORM_FILE: &str = "platform.json";
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
        let tls = arguments.provider_tls.as_deref().map(readable_tls).transpose()?;
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
        check_addresses(&state.join(FOLDER), &platform)?;
        let text = serde_json::to_string_pretty(&platform).context("the platform's file")?;
        apps::write(&state.join(FOLDER).join(PLATFORM_FILE), &text)
    }

    /// The process.
    pub fn program(&self, state: &Path, bin: &Path) -> Program {
        let file = |name: &str| state.join(FOLDER).join(name).display().to_string();
        let environment = [
            ("ROLE", "all".to_owned()),
            ("LISTEN_ADDRESS", format!("127.0.0.1:{}", self.port)),
            ("HEALTH_ADDRESS", format!("127.0.0.1:{}", self.health_port)),
            ("STORE_URL", format!("sqlite://{}", file("store.db"))),
            ("PLATFORM_FILE", file(PLATFORM_FILE)),
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
            "The resource provider runs. It stands in for Azure Resource Manager too: it \
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

/// A folder with a certificate and its key; that they are there is seen before anything
/// is started.
fn readable_tls(folder: &Path) -> anyhow::Result<PathBuf> {
    for name in ["tls.crt", "tls.key"] {
        let file = folder.join(name);
        std::fs::File::open(&file).with_context(|| format!("--provider-tls: cannot read `{}`", file.display()))?;
    }
    folder.canonicalize().with_context(|| format!("cannot use `{}`", folder.display()))
}

/// Connectors keep the addresses that they were made with. Elsewhere they would read and
/// write what is another stack's.
fn check_addresses(folder: &Path, platform: &Value) -> anyhow::Result<()> {
    let has_connectors = std::fs::read_dir(folder.join("connectors")).is_ok_and(|mut files| files.next().is_some());
    let before = std::fs::read_to_string(folder.join(PLATFORM_FILE)).ok();
    let before: Option<Value> = before.and_then(|text| serde_json::from_str(&text).ok());
    let Some(before) = before.filter(|_| has_connectors) else { return Ok(()) };
    let addresses = |platform: &Value| {
        let urls = platform["fhirServices"].as_object().into_iter().flatten();
        let urls: BTreeSet<String> =
            urls.filter_map(|(_, service)| service["url"].as_str().map(str::to_owned)).collect();
        let urls: Vec<String> = urls.into_iter().collect();
        format!("Event Hubs at port {} and FHIR at {}", platform["machine"]["eventHubsPort"], urls.join(", "))
    };
    let (before, now) = (addresses(&before), addresses(platform));
    if before != now {
        bail!(
            "the connectors of this state have {before}, and this would be {now}: free those ports (--event-hubs-port, \
             --fhir-port, --fhir-url), or choose another folder with --state"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_keep_their_addresses() {
        let folder = tempfile::tempdir().unwrap();
        let platform = |port: u16, fhir: &str| json!({ "machine": { "eventHubsPort": port }, "fhirServices": { "a": { "url": fhir }, "b": { "url": fhir } } });
        let first = platform(5672, "http://127.0.0.1:8080/fhir");
        apps::write(&folder.path().join(PLATFORM_FILE), &first.to_string()).unwrap();
        let other = platform(5673, "http://127.0.0.1:8080/fhir");
        // None has been made yet.
        check_addresses(folder.path(), &other).unwrap();
        apps::write(&folder.path().join("connectors/iotn-1.json"), "{}").unwrap();
        check_addresses(folder.path(), &first).unwrap();
        for (elsewhere, named) in [(other, "port 5673"), (platform(5672, "http://fhir.example"), "http://fhir.example")]
        {
            let refused = check_addresses(folder.path(), &elsewhere).unwrap_err().to_string();
            assert!(refused.contains(named) && refused.contains("port 5672"), "{refused}");
        }
    }
}
