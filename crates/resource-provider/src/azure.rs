//! What is outside, on Azure: the ports over Resource Manager, Key Vault and
//! Blob storage.
//!
//! ```text
//! AzurePorts --resource_manager--> groups, accounts, identities, hubs, roles, keys, FHIR services
//!            --certificates------> the identity's credential, Key Vault
//!            --blobs-------------> mappings, positions
//! ```
//!
//! Everything ensures: it reads what is there, and creates or changes only what
//! differs. Nothing waits for long. What Azure is still at is an error that can
//! be tried again, with the time that Azure names, so that the worker can see
//! meanwhile whether it is to stop. Errors carry Azure's codes and neither its
//! texts nor any answer.

mod blobs;
mod certificates;
mod clusters;
mod credential;
mod failure;
mod fhir_services;
mod keys;
mod pace;
mod resource_manager;
mod resources;
mod rest;
mod role_assignments;
mod settings;
mod vault;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ::azure::TokenCredential;

use self::clusters::ClusterFacts;
use self::fhir_services::Remembered;
use self::pace::Pace;
use self::resource_manager::ResourceManager;
use self::rest::Rest;
pub use self::settings::{AzureSettings, Endpoint, InvalidEndpoint, KnownCluster};

/// The ports on Azure: [`crate::ports::Azure`], [`crate::ports::Keys`],
/// [`crate::ports::FhirServices`], [`crate::ports::Certificates`] and
/// [`crate::ports::Blobs`].
#[derive(Debug)]
pub struct AzurePorts {
    settings: AzureSettings,
    rest: Rest,
    resource_manager: ResourceManager,
    credential: Arc<dyn TokenCredential>,
    /// How often identities may be made.
    identities: Pace,
    /// What clusters said of themselves, by their ids in lower case.
    clusters: Mutex<HashMap<String, ClusterFacts>>,
    /// FHIR services that were asked about just now.
    fhir_services: Mutex<Remembered>,
}

/// Azure cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum AzureError {
    /// The certificates that are to be trusted, or the system's.
    #[error("no TLS can be made for Azure")]
    Tls(#[source] reqwest::Error),
    /// Resource Manager's address.
    #[error("the address of Resource Manager has no host of its own")]
    Address,
}

impl AzurePorts {
    /// The ports for whoever the credential is of. Asks nobody yet.
    ///
    /// # Errors
    ///
    /// [`AzureError`].
    pub fn new(mut settings: AzureSettings, credential: Arc<dyn TokenCredential>) -> Result<AzurePorts, AzureError> {
        settings.clusters = settings.clusters.into_iter().map(|(id, known)| (id.to_lowercase(), known)).collect();
        let address = settings.resource_manager.address().ok_or(AzureError::Address)?;
        let rest = Rest::new(&settings, credential.clone()).map_err(AzureError::Tls)?;
        let resource_manager = ResourceManager::new(address, &settings, rest.clone());
        let identities = Pace::per_second(settings.identities_per_second);
        Ok(AzurePorts {
            settings,
            rest,
            resource_manager,
            credential,
            identities,
            clusters: Mutex::default(),
            fhir_services: Mutex::default(),
        })
    }
}
