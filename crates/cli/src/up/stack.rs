//! What the stack consists of, and what is asked of it from outside.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use mapping::identifier::resource_id;
use mapping::{Compatibility, DeviceMapping, FhirMapping, Finding};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use url::Url;

use super::provider::ProviderPlan;
use super::supervisor::{Program, Said};
use super::{Arguments, Front, Summary, apps, made};
use crate::output::{note, print};

/// How long the parts may take to start.
const START_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_PERIOD: Duration = Duration::from_millis(25);
/// Partitions of both hubs.
const PARTITIONS: &str = "4";

/// Whose place in the hubs is ours; a hub's `$Default` is left to others, who
/// could not read beside us.
const CONSUMER_GROUP: &str = "iot-connector";

const PROVIDER: &str = "resource-provider";

/// Where everything is and listens.
#[derive(Debug)]
pub struct Plan {
    state: PathBuf,
    bin: PathBuf,
    device_mapping: PathBuf,
    fhir_mapping: PathBuf,
    resource_identity: String,
    fhir_personality: String,
    /// None when the server is the user's own.
    fhir_port: Option<u16>,
    fhir_url: Url,
    event_hubs_port: u16,
    http_port: u16,
    ingest_token: String,
    front: Front,
    /// In the place of the functions.
    provider: Option<ProviderPlan>,
}

impl Plan {
    /// Decides on folders and ports, and writes the files that the parts read.
    pub fn new(arguments: &Arguments, state: &Path) -> anyhow::Result<Plan> {
        let state = made(state)?;
        made(&state.join("logs"))?;
        let executable = std::env::current_exe().context("cannot tell where `iotc` is")?;
        let bin = executable.parent().context("cannot tell where `iotc` is")?.to_owned();
        let wanted = ["normalize", "group-convert"].into_iter().chain(arguments.with_provider.then_some(PROVIDER));
        for program in wanted {
            if !bin.join(program).is_file() {
                let packages = if program == PROVIDER { " -p resource-provider" } else { "" };
                bail!(
                    "`{program}` is not beside `iotc` in `{}`; build it with `cargo build --release{packages}`",
                    bin.display()
                );
            }
            if program != PROVIDER {
                apps::lay_out(&state, program)?;
            }
        }
        let mut ports = Ports::default();
        let fhir_port = if arguments.fhir_url.is_none() { Some(ports.take(arguments.fhir_port)?) } else { None };
        let own = fhir_port.map(|port| Url::parse(&format!("http://127.0.0.1:{port}/fhir"))).transpose()?;
        let fhir_url = arguments.fhir_url.clone().or(own).context("there is no FHIR server")?;
        let event_hubs_port = ports.take(arguments.event_hubs_port)?;
        let provider = ProviderPlan::new(arguments, &mut ports)?;
        if let Some(provider) = &provider {
            provider.lay_out(&state, &bin, (event_hubs_port, fhir_url.as_str()))?;
        }
        Ok(Plan {
            device_mapping: mapping_file(&state, "devicecontent.json", arguments.device_mapping.as_deref())?,
            fhir_mapping: mapping_file(&state, "fhirmapping.json", arguments.fhir_mapping.as_deref())?,
            resource_identity: arguments.resource_identity.clone(),
            fhir_personality: arguments.fhir_personality.clone(),
            fhir_port,
            fhir_url,
            event_hubs_port,
            http_port: ports.take(arguments.http_port)?,
            ingest_token: ingest_token(&state)?,
            front: arguments.front,
            provider,
            bin,
            state,
        })
    }

    /// The folder of the parts' logs.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Where the Event Hubs stand-in listens.
    pub fn event_hubs_address(&self) -> String {
        format!("127.0.0.1:{}", self.event_hubs_port)
    }

    /// The processes, in the order in which data passes them.
    pub fn programs(&self) -> Vec<Program> {
        let mut programs = vec![self.stand_in("event-hubs", "event-hubs", self.event_hubs_arguments(), Vec::new())];
        if let Some(port) = self.fhir_port {
            let arguments = [
                ("--port", port.to_string()),
                ("--state", self.folder("fhir-server")),
                ("--personality", self.fhir_personality.clone()),
            ];
            programs.push(self.stand_in("fhir-server", "fhir-server", flat(&arguments), Vec::new()));
        }
        if let Some(provider) = &self.provider {
            programs.push(provider.program(&self.state, &self.bin));
            return programs;
        }
        for (function, environment) in
            [("normalize", self.normalize_environment()), ("group-convert", self.convert_environment())]
        {
            programs.push(match self.front {
                Front::Host => self.host(function, environment),
                Front::Native => self.native(function, environment),
            });
        }
        programs
    }

    /// What a user needs to know, once.
    pub fn welcome(&self) -> String {
        let connection = format!(
            "Endpoint=sb://localhost:{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=local;\
             UseDevelopmentEmulator=true;EntityPath=devicedata",
            self.event_hubs_port
        );
        if let Some(provider) = &self.provider {
            return provider.welcome((self.fhir_url.as_str(), &self.state), &connection);
        }
        format!(
            "The local stack runs; it is for development: anyone on this machine is let in.\n\
             \n  FHIR server     {}\
             \n  state, logs     {}\
             \n\nSend an event by HTTP (an array is several):\
             \n  curl -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n       \
             -d '{{\"deviceid\":\"d1\",\"measurementdatetime\":\"2020-11-01T12:01:00Z\",\"heartrate\":\"79\"}}' \\\n       \
             http://127.0.0.1:{}/api/ingest\
             \n\nor with any Event Hubs SDK:\
             \n  {connection}\
             \n\nCtrl-C ends it.\n",
            self.fhir_url,
            self.state.display(),
            self.ingest_token,
            self.http_port,
        )
    }

    fn event_hubs_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            ("--port", self.event_hubs_port.to_string()),
            ("--state", self.folder("event-hubs")),
            ("--hub", "devicedata".to_owned()),
            ("--consumer-group", CONSUMER_GROUP.to_owned()),
            ("--partitions", PARTITIONS.to_owned()),
        ];
        arguments.push(match &self.provider {
            // It makes the hubs of measurements.
            Some(provider) => ("--administration-port", provider.administration_port.to_string()),
            None => ("--hub", "normalizeddata".to_owned()),
        });
        flat(&arguments)
    }

    fn host(&self, function: &'static str, mut environment: Vec<(&'static str, String)>) -> Program {
        let handler = self.bin.join(function).display().to_string();
        environment.push(("AzureFunctionsJobHost__customHandler__description__defaultExecutablePath", handler));
        let mut arguments = vec![
            ("--app-root", self.state.join("apps").join(function).display().to_string()),
            ("--state", self.folder("functions-host")),
        ];
        if function == "normalize" {
            arguments.push(("--http-port", self.http_port.to_string()));
        }
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.stand_in(function, "functions-host", flat(&arguments), environment)
    }

    /// The function as a process of its own.
    fn native(&self, name: &'static str, mut environment: Vec<(&'static str, String)>) -> Program {
        environment.push(("Process__StopOnStdinEnd", "true".to_owned()));
        // One of each: after a crash it goes on at once with what was its own.
        environment.push(("Process__Name", name.to_owned()));
        if name == "normalize" {
            environment.push(("Http__Listen", format!("127.0.0.1:{}", self.http_port)));
        }
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Program { name, path: self.bin.join(name), arguments: Vec::new(), environment }
    }

    fn normalize_environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.common_environment();
        environment.extend([
            // The host reads the first, the function the second.
            ("InputEventHub", self.connection_string()),
            ("InputEventHub__ConnectionString", self.connection_string()),
            ("InputEventHub__EventHubName", "devicedata".to_owned()),
            ("InputEventHub__EventHubConsumerGroup", CONSUMER_GROUP.to_owned()),
            ("Template__DeviceContent", self.device_mapping.display().to_string()),
            ("DeadLetters__Folder", self.folder("dead-letters")),
            ("Ingest__Token", self.ingest_token.clone()),
        ]);
        environment
    }

    fn convert_environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.common_environment();
        environment.extend([
            ("NormalizationEventHub", self.connection_string()),
            ("NormalizationEventHub__EventHubConsumerGroup", CONSUMER_GROUP.to_owned()),
            ("EventBatching__FlushTimespan", "1".to_owned()),
            ("Template__FhirMapping", self.fhir_mapping.display().to_string()),
            ("FhirService__Url", self.fhir_url.to_string()),
            ("ResourceIdentity__ResourceIdentityServiceType", self.resource_identity.clone()),
            ("DeadLetters__Folder", self.folder("dead-letters")),
        ]);
        environment
    }

    fn common_environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
            ("NormalizationEventHub__EventHubName", "normalizeddata".to_owned()),
            ("NormalizationEventHub__CustomEndpoint", format!("amqp://127.0.0.1:{}", self.event_hubs_port)),
            ("CheckpointStorage__Folder", self.folder("positions")),
            ("Answer__Fates", "true".to_owned()),
        ]
    }

    fn connection_string(&self) -> String {
        format!(
            "Endpoint=sb://localhost:{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=local;\
             UseDevelopmentEmulator=true",
            self.event_hubs_port
        )
    }

    fn folder(&self, name: &str) -> String {
        self.state.join(name).display().to_string()
    }

    fn stand_in(
        &self,
        name: &'static str,
        which: &str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Program {
        let mut all = vec!["stand-in".to_owned(), which.to_owned()];
        all.extend(arguments);
        Program { name, path: self.bin.join("iotc"), arguments: all, environment }
    }
}

/// The stack from outside.
#[derive(Debug)]
pub struct Stack {
    fhir: Url,
    http: reqwest::Client,
}

impl Stack {
    /// Waits until every part answers.
    pub async fn ready(plan: &Plan, heard: &mut mpsc::Receiver<Said>) -> anyhow::Result<Stack> {
        let wait = async {
            let last = plan.provider.as_ref().map_or(plan.http_port, |provider| provider.port);
            let ports = [Some(plan.event_hubs_port), plan.fhir_port, Some(last)];
            for port in ports.into_iter().flatten() {
                while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                    tokio::time::sleep(LOOK_PERIOD).await;
                }
            }
        };
        let mut wait = std::pin::pin!(tokio::time::timeout(START_PATIENCE, wait));
        loop {
            tokio::select! {
                ready = &mut wait => {
                    ready.with_context(|| format!("the stack does not start, see {}", plan.logs().display()))?;
                    break;
                }
                said = heard.recv() => match said {
                    Some(Said::GivenUp { name }) => bail!("{name} does not start, see {}", plan.logs().display()),
                    Some(_) => {}
                    None => bail!("all parts of the stack stopped, see {}", plan.logs().display()),
                }
            }
        }
        let mut fhir = plan.fhir_url.clone();
        if let Ok(mut segments) = fhir.path_segments_mut() {
            segments.pop_if_empty().push("");
        }
        Ok(Stack { fhir, http: reqwest::Client::new() })
    }

    /// Registers devices, each with a patient, as a hospital would have; with
    /// `samples` those of the samples too. What is there stays as it is.
    pub async fn register(&self, devices: &[String], samples: bool) -> anyhow::Result<()> {
        let of_samples = apps::SAMPLE_DEVICES.iter().filter(|_| samples).map(|device| (*device).to_owned());
        for device in of_samples.chain(devices.iter().cloned()) {
            let patient_identifier = format!("patient-of-{device}");
            let patient = resource_id("", &patient_identifier);
            self.put_if_absent("Patient", &patient, json!({ "identifier": [{ "value": patient_identifier }] })).await?;
            let reference = json!({ "reference": format!("Patient/{patient}") });
            let body = json!({ "identifier": [{ "value": device }], "patient": reference });
            self.put_if_absent("Device", &resource_id("", &device), body).await?;
        }
        Ok(())
    }

    async fn put_if_absent(&self, kind: &str, id: &str, mut body: Value) -> anyhow::Result<()> {
        let url = self.fhir.join(&format!("{kind}/{id}"))?;
        if self.http.get(url.clone()).send().await?.status().is_success() {
            return Ok(());
        }
        body["resourceType"] = kind.into();
        body["id"] = id.into();
        let request = self.http.put(url).header("content-type", "application/fhir+json").body(body.to_string());
        let status = request.send().await?.status();
        if !status.is_success() {
            bail!("the FHIR server answered {status} to the registration of a {kind}");
        }
        Ok(())
    }

    /// An Observation of a type, as it stands on the server, for people.
    pub async fn observation(&self, code: &str) -> anyhow::Result<String> {
        let all = self.observations().await?;
        let of_code = |observation: &&Value| observation["code"]["text"] == code;
        let observation = all.iter().find(of_code).or(all.first()).context("there is no Observation on the server")?;
        Ok(serde_json::to_string_pretty(observation)?)
    }

    /// Compares what the server holds with the counts.
    pub async fn check(&self, summary: &Summary) -> anyhow::Result<()> {
        let observations = self.observations().await?.len();
        let saved = summary.convert.created + summary.convert.merged + summary.convert.unchanged;
        if observations == 0 || observations > saved {
            bail!("the server holds {observations} Observations for {saved} measurements saved");
        }
        Ok(print(&format_args!("{observations} Observations can be read back from {}", self.fhir))?)
    }

    async fn observations(&self) -> anyhow::Result<Vec<Value>> {
        let mut url = Some(self.fhir.join("Observation?_count=200")?);
        let mut found = Vec::new();
        while let Some(page) = url.take() {
            let text = self.http.get(page).send().await?.error_for_status()?.text().await?;
            let bundle: Value = serde_json::from_str(&text)?;
            let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
            found.extend(entries.iter().map(|entry| entry["resource"].clone()));
            let links = bundle["link"].as_array().map(Vec::as_slice).unwrap_or_default();
            let next = links.iter().find(|link| link["relation"] == "next").and_then(|link| link["url"].as_str());
            url = next.map(Url::parse).transpose()?;
        }
        Ok(found)
    }
}

fn mapping_file(state: &Path, name: &str, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        let unusable = || format!("cannot use the mapping `{}`", path.display());
        let text = std::fs::read(path).with_context(unusable)?;
        check_mapping(path, &text, name.starts_with("device"));
        return path.canonicalize().with_context(unusable);
    }
    let path = state.join("samples").join(name);
    let text = if name.starts_with("device") { apps::SAMPLE_DEVICE_MAPPING } else { apps::SAMPLE_FHIR_MAPPING };
    apps::write(&path, text)?;
    Ok(path)
}

/// Names everything that is wrong with a mapping as `file:line:column`. The
/// stack starts all the same: events wait, and a mapping is read again with
/// each batch.
fn check_mapping(path: &Path, text: &[u8], is_device: bool) {
    let compatibility = Compatibility::default();
    let findings = match is_device {
        true => DeviceMapping::load_partial(text, &compatibility).1,
        false => FhirMapping::load_partial(text, &compatibility).1,
    };
    let show = |finding: &Finding| match finding.place {
        Some(place) => format!("{}:{}:{}: {}", path.display(), place.line, place.column, finding.message),
        None => format!("{}: {}", path.display(), finding.message),
    };
    for finding in &findings {
        let severity = if finding.is_error() { "error" } else { "warning" };
        note(format_args!("{severity}: {}", show(finding)));
    }
    if findings.iter().any(Finding::is_error) {
        note("\nhint: correct the file; events wait until then\n");
    }
}

/// The token for ingest: made once, kept with the state.
fn ingest_token(state: &Path) -> anyhow::Result<String> {
    let path = state.join("ingest-token");
    if let Ok(token) = std::fs::read_to_string(&path) {
        return Ok(token);
    }
    let token = uuid::Uuid::new_v4().simple().to_string();
    // For nobody else to read.
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(token.as_bytes()));
    written.with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(token)
}

/// Ports that are free now.
#[derive(Debug, Default)]
pub struct Ports {
    /// Held until all are chosen, so that none is given twice.
    held: Vec<TcpListener>,
}

impl Ports {
    /// A port: the wanted one, or another when that is taken.
    pub fn take(&mut self, wanted: u16) -> anyhow::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted));
        let listener = listener.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("no port is free")?;
        let port = listener.local_addr()?.port();
        self.held.push(listener);
        Ok(port)
    }
}

fn flat(arguments: &[(&str, String)]) -> Vec<String> {
    arguments.iter().flat_map(|(name, value)| [(*name).to_owned(), value.clone()]).collect()
}
