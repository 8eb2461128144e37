//! The platform's file: what the resource provider is told beside its
//! [settings](crate::settings), and what of it each part gets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use arm::Location;
use arm::desired::Rules;
use arm::gen2::fhir_destination::FhirServiceId;
use jiff::SignedDuration;
use serde::Deserialize;
use url::Url;

use crate::api::{Limits, Switches};
use crate::azure::AzureSettings;
use crate::front::throttle::ThrottleSettings;
use crate::kubernetes::{ClusterReference, ClusterSettings};
use crate::local::{MachineSettings, NamedFhirServices};
use crate::outside::ProviderIdentity;
use crate::pools::PoolsDocument;
use crate::ports::FhirService;
use crate::worker::WorkerSettings;

/// The regions of the two documents that the provider is made after.
const REGIONS: [&str; 4] = ["West Europe", "West US 2", "North Central US", "UK West"];

/// The platform's file, YAML or JSON.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlatformFile {
    /// Where tracked resources may be made. Default: the regions of the documents
    /// that the provider is made after (resource-provider.md 9, row 35).
    pub regions: Option<Vec<Location>>,
    /// Where and for whom they may be made. Default: wherever, for whoever.
    pub switches: Switches,
    /// How many resources there may be.
    pub limits: Limits,
    /// What resources may be.
    pub rules: Rules,
    /// How often a subscription may write.
    pub throttle: ThrottleSettings,
    /// Whether a Gen1 connector with children is kept from being deleted.
    pub gen1_delete_requires_no_children: bool,
    /// The FHIR services of the platform by their resource ids, where no directory
    /// knows them; `*` stands for any name.
    pub fhir_services: BTreeMap<String, NamedFhirService>,
    /// Whether resource groups of ours are removed whose resource is gone, not only
    /// reported.
    pub removes_orphans: bool,
    /// As whom the provider works in Azure.
    pub identity: ProviderIdentity,
    /// Azure, where things are made there.
    pub azure: Option<AzureSettings>,
    /// Everything on this machine: for development.
    pub machine: Option<MachineSettings>,
    /// Where workspaces are placed.
    pub pools: PoolsDocument,
    /// The clusters that connectors run on.
    pub clusters: Vec<ClusterReference>,
    /// What all connectors share.
    pub connectors: ClusterSettings,
}

/// A FHIR service that is ready.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedFhirService {
    /// Where it is.
    pub location: Location,
    /// Its base URL.
    pub url: Url,
}

impl PlatformFile {
    /// Reads the file; none is as good as an empty one.
    ///
    /// # Errors
    ///
    /// What cannot be read, with its place.
    pub fn read(file: Option<&Path>) -> anyhow::Result<PlatformFile> {
        let Some(file) = file else { return Ok(PlatformFile::default()) };
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        // In one line, for a log.
        let options = serde_saphyr::options! { with_snippet: false };
        let read: PlatformFile = serde_saphyr::from_str_with_options(&text, options)
            .with_context(|| format!("{} is not a platform's file", file.display()))?;
        if let Some(name) = read.fhir_services.keys().find(|name| !FhirServiceId::has_form(name)) {
            bail!(
                "{}: fhirServices: `{name}` is no resource id of a FHIR service; expected /subscriptions/S/resourceGroups/\
                 G/providers/{}/services/NAME or …/workspaces/NAME/fhirservices/NAME, `*` for any name",
                file.display(),
                arm::NAMESPACE
            );
        }
        Ok(read)
    }

    /// What in the file is allowed and perhaps not meant.
    pub fn warning(&self) -> Option<&'static str> {
        (self.azure.is_some() && self.rules.namespace_suffixes.is_empty()).then_some(
            "rules.namespaceSuffixes is empty: connectors show their tokens for Event Hubs to whatever host a customer \
             names",
        )
    }

    /// Where tracked resources may be made.
    pub fn regions(&self) -> Vec<Location> {
        self.regions.clone().unwrap_or_else(|| REGIONS.iter().map(|region| Location::new(*region)).collect())
    }

    /// The directory of the FHIR services that are named.
    pub fn named_fhir_services(&self) -> NamedFhirServices {
        let services = NamedFhirServices::default();
        for (id, NamedFhirService { location, url }) in &self.fhir_services {
            let url = url.as_str().trim_end_matches('/').to_owned();
            services.put(id, FhirService { location: location.clone(), is_ready: true, url, audience: None });
        }
        services
    }

    /// What the worker is told. On a laptop somebody waits, and nobody else's
    /// services are asked.
    pub fn worker(&self) -> WorkerSettings {
        let settings = WorkerSettings { removes_orphans: self.removes_orphans, ..WorkerSettings::default() };
        match &self.machine {
            None => settings,
            // So soon is gone on with what a killed provider has begun.
            Some(_) => {
                WorkerSettings { poll: Duration::from_millis(200), lease: SignedDuration::from_secs(10), ..settings }
            }
        }
    }

    /// The manifest of the first generation's types (resource-provider.md 3.9).
    pub fn manifest(&self, endpoint: &Url) -> serde_json::Value {
        let regions: Vec<String> = self.regions().iter().map(|region| region.as_str().to_owned()).collect();
        arm::manifest::gen1_manifest(endpoint.as_str(), &regions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platforms_file_says_what_it_does_not_know() {
        let read = |text: &str| serde_saphyr::from_str::<PlatformFile>(text);
        let file = read(
            "regions: [westus2]\nlimits: { destinations: 3 }\nrules: { destinations: { allowManualFhirUrl: true } }",
        );
        let file = file.unwrap();
        assert_eq!((file.limits.destinations, file.limits.connectors), (3, 10));
        assert!(file.rules.destinations.manual_url);
        let azure = read("azure: { storageSku: Standard_ZRS }").unwrap().azure.unwrap();
        assert_eq!((azure.storage_sku.as_str(), azure.hub_partitions), ("Standard_ZRS", 4));
        assert_eq!(azure.request_limit, std::time::Duration::from_secs(30), "what is not in the file is as it was");
        for wrong in [
            "region: [westus2]",
            "limits: { workspace: 1 }",
            "throttle: { burst: 0 }",
            "azure: { vaults: 'http://{name}' }",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn on_azure_it_is_said_when_any_host_may_be_a_namespace() {
        for (text, is_said) in [
            ("", false),
            ("azure: {}", true),
            ("azure: {}\nrules: { tagsMax: 3 }", true),
            ("azure: {}\nrules: { namespaceSuffixes: [.servicebus.windows.net] }", false),
        ] {
            let file = if text.is_empty() { PlatformFile::default() } else { serde_saphyr::from_str(text).unwrap() };
            assert_eq!(file.warning().is_some(), is_said, "{text}");
        }
    }

    #[test]
    fn the_pages_file_for_one_machine_can_be_read() {
        let page = include_str!("../../../docs/resource-provider.md");
        let (_, rest) = page.split_once("```yaml\nmachine:").expect("an example");
        let (example, _) = rest.split_once("```").expect("its end");
        let file: PlatformFile = serde_saphyr::from_str(&format!("machine:{example}")).expect("a platform's file");
        assert_eq!(file.machine.as_ref().map(|machine| machine.administration_port), Some(5673));
        assert_eq!(file.fhir_services.len(), 1);
        assert!(file.worker().lease < PlatformFile::default().worker().lease);
    }

    #[test]
    fn names_of_fhir_services_are_resource_ids() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("platform.yaml");
        std::fs::write(&file, "fhirServices: { foo: { location: westus2, url: 'https://f' } }").expect("a file");
        let refused = PlatformFile::read(Some(&file)).expect_err("no id").to_string();
        assert!(refused.contains("`foo` is no resource id"), "{refused}");
    }
}
