//! What a connector becomes on this machine: functions and their environment
//! (resource-provider.md 4.11, in the local form).

use std::collections::BTreeMap;

use arm::gen2::Resolution;
use serde::{Deserialize, Serialize};

use super::blobs::Accounts;
use crate::ports::{ConnectorSpec, DestinationSpec};

/// Where workloads find what they need.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where the hubs are: `127.0.0.1:5672`.
    pub event_hubs: String,
    /// The mappings and positions.
    pub accounts: Accounts,
    /// How long a window of measurements lasts, in seconds.
    pub window_seconds: u32,
}

/// Which of our two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// Makes measurements of events.
    Normalize,
    /// Makes Observations of measurements.
    GroupConvert,
}

impl Function {
    /// The name of its file.
    pub fn program(self) -> &'static str {
        match self {
            Function::Normalize => "normalize",
            Function::GroupConvert => "group-convert",
        }
    }
}

/// A function that is to run. It holds no key: what opens a hub of ours that is
/// not open is asked for when the process starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// What it is called.
    pub name: String,
    /// What runs.
    pub function: Function,
    /// Its app settings.
    pub environment: BTreeMap<String, String>,
    /// The hub of devices that it reads with a key.
    pub device_hub: Option<String>,
}

/// The functions of a connector: one that normalizes, and one for each
/// destination.
pub fn workloads(spec: &ConnectorSpec, surroundings: &Surroundings) -> Vec<Workload> {
    let mut workloads = vec![normalize(spec, surroundings)];
    workloads.extend(spec.destinations.iter().map(|destination| convert(spec, destination, surroundings)));
    workloads
}

fn normalize(spec: &ConnectorSpec, surroundings: &Surroundings) -> Workload {
    let (account, endpoint) = (&spec.storage_account, &spec.endpoint);
    let accounts = &surroundings.accounts;
    let container = format!("{}-e{}", spec.name, spec.epoch);
    let mut environment = common(spec, &spec.name, surroundings);
    environment.extend([
        ("InputEventHub__EventHubName", endpoint.event_hub_name.to_lowercase()),
        (
            "InputEventHub__EventHubConsumerGroup",
            endpoint.consumer_group.as_deref().unwrap_or("$Default").to_lowercase(),
        ),
        ("CheckpointStorage__Folder", accounts.positions(account, &container).display().to_string()),
        ("Template__DeviceContent", accounts.mapping(account, &spec.device_mapping).display().to_string()),
    ]);
    // Not by its name, which of another hub than ours the customer chooses.
    let device_hub = spec.has_own_hub.then(|| endpoint.event_hub_name.clone());
    if device_hub.is_none() {
        environment.extend([
            ("InputEventHub__AuthenticationType", "Development".to_owned()),
            ("InputEventHub__EventHubNamespaceFQDN", endpoint.fully_qualified_event_hub_namespace.to_lowercase()),
            ("InputEventHub__CustomEndpoint", format!("amqp://{}", surroundings.event_hubs)),
        ]);
    }
    Workload { name: spec.name.clone(), function: Function::Normalize, environment: owned(environment), device_hub }
}

fn convert(spec: &ConnectorSpec, destination: &DestinationSpec, surroundings: &Surroundings) -> Workload {
    let (account, accounts, name) = (&spec.storage_account, &surroundings.accounts, &destination.name);
    let mut environment = common(spec, name, surroundings);
    environment.extend([
        ("NormalizationEventHub__EventHubConsumerGroup", destination.consumer_group.clone()),
        ("CheckpointStorage__Folder", accounts.positions(account, name).display().to_string()),
        ("Template__FhirMapping", accounts.mapping(account, &destination.fhir_mapping).display().to_string()),
        ("EventBatching__FlushTimespan", surroundings.window_seconds.to_string()),
        ("FhirService__Url", destination.fhir_url.clone()),
        ("ResourceIdentity__ResourceIdentityServiceType", resolution(destination.resolution).to_owned()),
    ]);
    let (name, environment) = (name.clone(), owned(environment));
    Workload { name, function: Function::GroupConvert, environment, device_hub: None }
}

fn common(spec: &ConnectorSpec, name: &str, surroundings: &Surroundings) -> Vec<(&'static str, String)> {
    let dead_letters = surroundings.accounts.dead_letters(&spec.storage_account, name);
    vec![
        ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
        ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
        ("NormalizationEventHub__EventHubName", spec.internal_hub.clone()),
        ("NormalizationEventHub__CustomEndpoint", format!("amqp://{}", surroundings.event_hubs)),
        ("DeadLetters__Folder", dead_letters.display().to_string()),
        ("Connector__Name", spec.name.clone()),
        // One of each: after a crash it goes on at once with what was its own.
        ("Process__Name", name.to_owned()),
        ("Process__StopOnStdinEnd", "true".to_owned()),
    ]
}

fn resolution(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Create => "Create",
        Resolution::Lookup => "Lookup",
        Resolution::LookupWithEncounter => "LookupWithEncounter",
    }
}

fn owned(environment: Vec<(&'static str, String)>) -> BTreeMap<String, String> {
    environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use arm::gen2::IngestionEndpoint;

    use super::*;
    use crate::documents::InternalIdentity;

    fn spec(hub: &str, has_own_hub: bool) -> ConnectorSpec {
        ConnectorSpec {
            name: "iotn-1".to_owned(),
            endpoint: IngestionEndpoint {
                event_hub_name: hub.to_owned(),
                consumer_group: None,
                fully_qualified_event_hub_namespace: "contoso.servicebus.windows.net".to_owned(),
            },
            has_own_hub,
            epoch: 2,
            internal_hub: "nd-1".to_owned(),
            storage_account: "ioc1".to_owned(),
            internal_identity: InternalIdentity {
                name: String::new(),
                resource_id: String::new(),
                client_id: String::new(),
                principal_id: String::new(),
            },
            certificate: None,
            device_mapping: "iotn-1/devicemapping.json".to_owned(),
            device_mapping_hash: "sha256:1".to_owned(),
            destinations: vec![DestinationSpec {
                name: "iotd-1".to_owned(),
                consumer_group: "dst-1".to_owned(),
                fhir_url: "http://127.0.0.1:8080/fhir".to_owned(),
                fhir_audience: None,
                resolution: Resolution::Create,
                fhir_mapping: "iotd-1/fhirmapping.json".to_owned(),
                fhir_mapping_hash: "sha256:2".to_owned(),
            }],
            is_suspended: false,
        }
    }

    fn rendered(hub: &str, has_own_hub: bool) -> String {
        let accounts = Accounts("/state".into());
        let surroundings = Surroundings { event_hubs: "127.0.0.1:5672".to_owned(), accounts, window_seconds: 1 };
        let mut text = String::new();
        for workload in workloads(&spec(hub, has_own_hub), &surroundings) {
            text += &format!("{} {:?} {:?}\n", workload.name, workload.function, workload.device_hub);
            for (name, value) in workload.environment {
                text += &format!("  {name}={value}\n");
            }
        }
        text
    }

    #[test]
    fn a_connector_is_a_function_that_normalizes_and_one_for_each_destination() {
        assert_eq!(
            rendered("Telemetry", false),
            "iotn-1 Normalize None
  CheckpointStorage__Folder=/state/ioc1/positions/iotn-1-e2
  Connector__Name=iotn-1
  DeadLetters__Folder=/state/ioc1/dead-letters/iotn-1
  InputEventHub__AuthenticationType=Development
  InputEventHub__CustomEndpoint=amqp://127.0.0.1:5672
  InputEventHub__EventHubConsumerGroup=$default
  InputEventHub__EventHubName=telemetry
  InputEventHub__EventHubNamespaceFQDN=contoso.servicebus.windows.net
  NormalizationEventHub__AuthenticationType=Development
  NormalizationEventHub__CustomEndpoint=amqp://127.0.0.1:5672
  NormalizationEventHub__EventHubName=nd-1
  NormalizationEventHub__EventHubNamespaceFQDN=localhost
  Process__Name=iotn-1
  Process__StopOnStdinEnd=true
  Template__DeviceContent=/state/ioc1/mappings/iotn-1/devicemapping.json
iotd-1 GroupConvert None
  CheckpointStorage__Folder=/state/ioc1/positions/iotd-1
  Connector__Name=iotn-1
  DeadLetters__Folder=/state/ioc1/dead-letters/iotd-1
  EventBatching__FlushTimespan=1
  FhirService__Url=http://127.0.0.1:8080/fhir
  NormalizationEventHub__AuthenticationType=Development
  NormalizationEventHub__CustomEndpoint=amqp://127.0.0.1:5672
  NormalizationEventHub__EventHubConsumerGroup=dst-1
  NormalizationEventHub__EventHubName=nd-1
  NormalizationEventHub__EventHubNamespaceFQDN=localhost
  Process__Name=iotd-1
  Process__StopOnStdinEnd=true
  ResourceIdentity__ResourceIdentityServiceType=Create
  Template__FhirMapping=/state/ioc1/mappings/iotd-1/fhirmapping.json
"
        );
    }

    #[test]
    fn the_hub_of_devices_is_opened_by_a_key_that_is_not_kept() {
        let text = rendered("dd-1", true);
        assert!(text.starts_with("iotn-1 Normalize Some(\"dd-1\")\n"), "{text}");
        assert!(!text.contains("InputEventHub__AuthenticationType") && !text.contains("SharedAccessKey"), "{text}");
    }

    /// Its key would be that of another's connector.
    #[test]
    fn a_hub_of_the_customer_is_none_of_ours_whatever_its_name() {
        let text = rendered("dd-1", false);
        assert!(text.starts_with("iotn-1 Normalize None\n"), "{text}");
        assert!(text.contains("  InputEventHub__AuthenticationType=Development\n"), "{text}");
    }
}
