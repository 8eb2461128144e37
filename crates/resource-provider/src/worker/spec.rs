//! The connector as the cluster is to have it.
//!
//! Of the resource that is worked on, what is wanted; of the others, what was good
//! last: what is wanted of those is the business of their own operations, which may
//! wait behind this one. Nor is anybody asked where the FHIR services of the others
//! are: one that is gone holds up its own destination only.

use arm::ErrorCode;
use arm::desired::Properties;
use arm::gen1::{IomtConnector, IomtMapping};
use arm::gen2::fhir_destination::FhirServiceId;
use arm::gen2::{FhirDestination, FhirTarget, IngestionEndpoint, IotConnector};
use arm::infrastructure::{ConnectorNames, DestinationNames};
use arm::mapping_content::MappingKind;
use arm::state::ResourceState;

use super::scene::{Scene, missing, stored};
use super::steps::StepError;
use crate::documents::{ConnectionDefinition, FhirAddress, ResourceDocument};
use crate::ports::{ConnectorSpec, DestinationSpec, FhirServices, Platform, PortError};
use crate::store::Store;

/// A mapping's blob, and what the mapping means.
type Mapping = (String, String);

impl Scene {
    /// The connector, with the destinations that are made or being made. None for
    /// one that could do nothing: a Gen1 connector without both of its mappings.
    pub async fn connector_spec(&self, store: &Store, platform: &Platform) -> Result<Option<ConnectorSpec>, StepError> {
        let fhir_services = platform.fhir_services.as_ref();
        let mut connector = self.connector().clone();
        if connector.id != self.subject.id {
            connector.revert();
        }
        let id = connector.resource_id();
        let children = store.descendants(&id).await?.into_iter().filter_map(|child| self.as_it_is_to_be(child));
        let children: Vec<ResourceDocument> = children.collect();
        Ok(match &connector.properties {
            Properties::IotConnector(properties) => {
                let mut destinations = Vec::new();
                for child in &children {
                    if let Properties::FhirDestination(properties) = &child.properties {
                        destinations.push(destination(child, properties, fhir_services).await?);
                    }
                }
                Some(self.of_gen2(&connector, properties, destinations)?)
            }
            Properties::IomtConnector(properties) => match mappings(&children) {
                [Some(device), Some(fhir)] => {
                    let service = address(&connector, fhir_services).await?;
                    let service = service.ok_or_else(|| missing("the FHIR service above the connector"))?;
                    let host = self.host_of_hubs(platform.cluster.event_hubs_suffix())?;
                    Some(self.of_gen1(&connector, properties, (device, fhir), (host, service))?)
                }
                _ => None,
            },
            _ => return Err(missing("the connector").into()),
        })
    }

    /// A child of the connector; none when it is being removed, or was never made.
    fn as_it_is_to_be(&self, mut child: ResourceDocument) -> Option<ResourceDocument> {
        let is_made = if child.id == self.subject.id {
            child.clone_from(&self.subject);
            true
        } else {
            child.revert()
        };
        (is_made && child.state != ResourceState::Deprovisioning).then_some(child)
    }

    fn of_gen2(
        &self,
        connector: &ResourceDocument,
        properties: &IotConnector,
        destinations: Vec<DestinationSpec>,
    ) -> Result<ConnectorSpec, PortError> {
        let Some(ingest) = &connector.ingest_definition else { return Err(missing("what the connector reads")) };
        let ConnectionDefinition::EventHub(endpoint) = &ingest.connection_definition;
        let infrastructure = &connector.infrastructure;
        Ok(ConnectorSpec {
            name: ConnectorNames(&connector.id).workload(),
            endpoint: endpoint.clone(),
            has_own_hub: false,
            epoch: ingest.epoch,
            internal_hub: stored(&infrastructure.event_hub_name, "the connector's hub")?.to_owned(),
            storage_account: self.storage_account()?.to_owned(),
            internal_identity: self.internal_identity()?.clone(),
            certificate: infrastructure.certificate.clone(),
            device_mapping: stored(&infrastructure.mapping_blob, "the mapping's blob")?.to_owned(),
            device_mapping_hash: properties.device_mapping.hash(),
            destinations,
            is_suspended: false,
        })
    }

    /// The host of the workspace's namespace.
    fn host_of_hubs(&self, suffix: &str) -> Result<String, PortError> {
        let namespace = self.place()?.event_hub_namespace_resource_id.rsplit('/').next().unwrap_or_default();
        Ok(format!("{namespace}.{suffix}"))
    }

    /// Its own hub is its source, and the FHIR service above it its destination.
    fn of_gen1(
        &self,
        connector: &ResourceDocument,
        properties: &IomtConnector,
        ((device_mapping, device_mapping_hash), (fhir_mapping, fhir_mapping_hash)): (Mapping, Mapping),
        (host, service): (String, FhirAddress),
    ) -> Result<ConnectorSpec, PortError> {
        let infrastructure = &connector.infrastructure;
        Ok(ConnectorSpec {
            name: ConnectorNames(&connector.id).workload(),
            endpoint: IngestionEndpoint {
                event_hub_name: stored(&infrastructure.device_hub_name, "the hub that devices send to")?.to_owned(),
                consumer_group: None,
                fully_qualified_event_hub_namespace: host,
            },
            has_own_hub: true,
            epoch: 1,
            internal_hub: stored(&infrastructure.event_hub_name, "the connector's hub")?.to_owned(),
            storage_account: self.storage_account()?.to_owned(),
            internal_identity: self.internal_identity()?.clone(),
            certificate: None,
            device_mapping,
            device_mapping_hash,
            destinations: vec![DestinationSpec {
                name: DestinationNames(&connector.id).workload(),
                consumer_group: stored(&infrastructure.consumer_group, "the consumer group")?.to_owned(),
                fhir_url: service.url,
                fhir_audience: service.audience,
                resolution: properties.resource_identity_resolution_type,
                fhir_mapping,
                fhir_mapping_hash,
            }],
            is_suspended: false,
        })
    }
}

/// The device and the FHIR mapping among the children of a Gen1 connector.
fn mappings(children: &[ResourceDocument]) -> [Option<Mapping>; 2] {
    let mut mappings = [None, None];
    for child in children {
        if let (Properties::IomtMapping(mapping), Some(blob)) = (&child.properties, &child.infrastructure.mapping_blob)
        {
            let position = match IomtMapping::kind_of_name(child.resource_id().own_name()) {
                MappingKind::Device => 0,
                MappingKind::Fhir => 1,
            };
            mappings[position] = Some((blob.clone(), mapping.content.hash()));
        }
    }
    mappings
}

/// The resource id of the FHIR service of a destination or Gen1 connector; none of
/// a destination that is given the URL.
fn fhir_service(document: &ResourceDocument) -> Result<Option<String>, PortError> {
    let id = document.resource_id();
    match &document.properties {
        Properties::FhirDestination(FhirDestination { target: FhirTarget::FhirServiceResourceId(text), .. }) => {
            let service = FhirServiceId::read(text, &id).map_err(|error| gone(error.code))?;
            Ok(Some(service.path))
        }
        Properties::IomtConnector(_) => Ok(id.fhir_service()),
        _ => Ok(None),
    }
}

fn gone(code: ErrorCode) -> PortError {
    PortError::permanent(code, "the FHIR service of a destination is not there any more")
}

/// Where it is, as far as that is known from before.
pub fn known_address(document: &ResourceDocument) -> Result<Option<FhirAddress>, PortError> {
    let Some(service) = fhir_service(document)? else { return Ok(None) };
    let known = document.infrastructure.fhir_service.clone();
    Ok(known.filter(|known| known.resource_id.eq_ignore_ascii_case(&service)))
}

/// Where it is now, as the directory says; none when it is not there.
pub async fn look_up(
    document: &ResourceDocument,
    fhir_services: &dyn FhirServices,
) -> Result<Option<FhirAddress>, PortError> {
    let Some(resource_id) = fhir_service(document)? else { return Ok(None) };
    let found = fhir_services.get(&resource_id).await?;
    Ok(found.map(|found| FhirAddress { resource_id, url: found.url, audience: found.audience }))
}

/// Where it is: the directory is asked only when nothing is known.
async fn address(
    document: &ResourceDocument,
    fhir_services: &dyn FhirServices,
) -> Result<Option<FhirAddress>, PortError> {
    match known_address(document)? {
        Some(known) => Ok(Some(known)),
        None => look_up(document, fhir_services).await,
    }
}

async fn destination(
    document: &ResourceDocument,
    properties: &FhirDestination,
    fhir_services: &dyn FhirServices,
) -> Result<DestinationSpec, PortError> {
    let (fhir_url, fhir_audience) = match &properties.target {
        FhirTarget::FhirServerUrl(url) => (url.clone(), None),
        FhirTarget::FhirServiceResourceId(_) => {
            let found = address(document, fhir_services).await?;
            let found = found.ok_or_else(|| gone(ErrorCode::FhirServiceNotFound))?;
            (found.url, found.audience)
        }
    };
    let infrastructure = &document.infrastructure;
    Ok(DestinationSpec {
        name: DestinationNames(&document.id).workload(),
        consumer_group: stored(&infrastructure.consumer_group, "the destination's consumer group")?.to_owned(),
        fhir_url,
        fhir_audience,
        resolution: properties.resource_identity_resolution_type,
        fhir_mapping: stored(&infrastructure.mapping_blob, "the mapping's blob")?.to_owned(),
        fhir_mapping_hash: properties.fhir_mapping.hash(),
    })
}
