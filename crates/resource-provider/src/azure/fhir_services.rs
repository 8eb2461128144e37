//! [`FhirServices`]: the customer's, of both generations (resource-provider.md
//! 4.4), by their resources.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use arm::resource_id::folded;
use arm::{ErrorCode, Location, ResourceId};
use async_trait::async_trait;
use serde_json::Value;

use super::AzurePorts;
use super::failure::Failure;
use super::resource_manager::{Target, state};
use crate::ports::{FhirService, FhirServices, PortError};

const VERSION: &str = "2024-03-31";

/// How long a service that is ready is not asked about again: a template writes
/// many destinations at once, and a worker applies a connector with all of its.
const REMEMBERED: Duration = Duration::from_secs(30);

/// More than are asked about in that time.
const REMEMBERED_MAX: usize = 10_000;

/// Services that are ready, by their ids in lower case.
#[derive(Debug, Default)]
pub struct Remembered(HashMap<String, (Instant, FhirService)>);

impl Remembered {
    fn get(&self, id: &str) -> Option<FhirService> {
        self.0.get(id).filter(|(at, _)| at.elapsed() < REMEMBERED).map(|(_, service)| service.clone())
    }

    fn put(&mut self, id: String, service: FhirService) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(id, (Instant::now(), service));
    }
}

/// The base URL of a service, which its names make; none for another resource.
fn url_of(id: &str, domain: &str) -> Option<String> {
    let id = folded(id);
    let segments: Vec<&str> = id.trim_start_matches('/').split('/').collect();
    match segments[..] {
        ["subscriptions", _, "resourcegroups", _, "providers", _, "workspaces", workspace, "fhirservices", service] => {
            Some(format!("https://{workspace}-{service}.fhir.{domain}"))
        }
        ["subscriptions", _, "resourcegroups", _, "providers", _, "services", service] => {
            Some(format!("https://{service}.{domain}"))
        }
        _ => None,
    }
}

fn failed(failure: Failure) -> PortError {
    failure.port(ErrorCode::ServiceUnavailable)
}

#[async_trait]
impl FhirServices for AzurePorts {
    async fn get(&self, path: &str) -> Result<Option<FhirService>, PortError> {
        let Some(url) = url_of(path, &self.settings.fhir_domain) else { return Ok(None) };
        let key = folded(path);
        let known = self.fhir_services.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if known.is_some() {
            return Ok(known);
        }
        let target = Target { id: path, version: VERSION };
        let Some(found) = self.resource_manager.get(target).await.map_err(failed)? else { return Ok(None) };
        let text = |pointer: &str| found.pointer(pointer).and_then(Value::as_str);
        let service = FhirService {
            location: Location::new(text("/location").unwrap_or_default()),
            is_ready: state(&found) == "Succeeded",
            url,
            audience: text("/properties/authenticationConfiguration/audience").map(str::to_owned),
        };
        if service.is_ready {
            self.fhir_services.lock().unwrap_or_else(PoisonError::into_inner).put(key, service.clone());
        }
        Ok(Some(service))
    }

    async fn has_any(&self, workspace: &ResourceId) -> Result<bool, PortError> {
        for kind in ["fhirservices", "dicomservices"] {
            let id = format!("{workspace}/{kind}");
            let listed = self.resource_manager.list(Target { id: &id, version: VERSION }, None).await;
            if !listed.map_err(failed)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_the_address() {
        let below = "/subscriptions/s/resourceGroups/g/providers/Microsoft.HealthcareApis";
        let cases = [
            ("workspaces/Ws1/fhirservices/F1", Some("https://ws1-f1.fhir.azurehealthcareapis.com")),
            ("services/F1", Some("https://f1.azurehealthcareapis.com")),
            ("workspaces/ws1/dicomservices/d1", None),
        ];
        for (path, expected) in cases {
            let url = url_of(&format!("{below}/{path}"), "azurehealthcareapis.com");
            assert_eq!(url.as_deref(), expected, "{path}");
        }
    }
}
