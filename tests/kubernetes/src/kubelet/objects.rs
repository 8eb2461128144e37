//! The ConfigMaps, Secrets and Services that a pod's environment and volumes
//! are made of, as they are now.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, Volume};
use kube::api::ListParams;
use kube::{Api, Client};

use super::RenderError;

/// All that a pod refers to and that is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    pub(crate) services: Vec<Service>,
}

impl Objects {
    /// Reads what `pod` refers to.
    pub(crate) async fn gather(client: &Client, pod: &Pod) -> Result<Objects, kube::Error> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let names = Names::of(pod);
        let mut objects = Objects::default();
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        for name in names.config_maps {
            if let Some(found) = config_maps.get_opt(&name).await? {
                objects.config_maps.insert(name, found);
            }
        }
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        for name in names.secrets {
            if let Some(found) = secrets.get_opt(&name).await? {
                objects.secrets.insert(name, found);
            }
        }
        let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
        objects.services = services.list(&ListParams::default()).await?.items;
        Ok(objects)
    }

    /// All keys of a ConfigMap; none when it may be absent and is.
    pub(crate) fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Content, RenderError> {
        let found = self.config_maps.get(name).map(|map| {
            let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
            let bytes = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
            text.chain(bytes).collect()
        });
        present(found, optional, || RenderError::ConfigMap(name.to_owned()))
    }

    /// All keys of a Secret; none when it may be absent and is.
    pub(crate) fn secret(&self, name: &str, optional: Option<bool>) -> Result<Content, RenderError> {
        let found = self
            .secrets
            .get(name)
            .map(|secret| secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect());
        present(found, optional, || RenderError::Secret(name.to_owned()))
    }
}

/// Keys and what they hold.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

fn present(
    found: Option<Content>,
    optional: Option<bool>,
    missing: impl FnOnce() -> RenderError,
) -> Result<Content, RenderError> {
    match found {
        Some(content) => Ok(content),
        None if optional == Some(true) => Ok(Content::new()),
        None => Err(missing()),
    }
}

/// What a pod names.
#[derive(Default)]
struct Names {
    config_maps: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Names {
    fn of(pod: &Pod) -> Names {
        let mut names = Names::default();
        let Some(spec) = &pod.spec else { return names };
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            for source in container.env_from.iter().flatten() {
                names.config_maps.extend(source.config_map_ref.iter().map(|map| map.name.clone()));
                names.secrets.extend(source.secret_ref.iter().map(|secret| secret.name.clone()));
            }
            for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
                names.config_maps.extend(source.config_map_key_ref.iter().map(|map| map.name.clone()));
                names.secrets.extend(source.secret_key_ref.iter().map(|secret| secret.name.clone()));
            }
        }
        spec.volumes.iter().flatten().for_each(|volume| names.volume(volume));
        names
    }

    fn volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|map| map.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|secret| secret.secret_name.clone()));
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for source in sources {
            self.config_maps.extend(source.config_map.iter().map(|map| map.name.clone()));
            self.secrets.extend(source.secret.iter().map(|secret| secret.name.clone()));
        }
    }
}

#[cfg(test)]
impl Objects {
    pub(crate) fn of(config_maps: Vec<ConfigMap>, secrets: Vec<Secret>) -> Objects {
        let name = |metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            metadata.name.clone().unwrap_or_default()
        };
        Objects {
            config_maps: config_maps.into_iter().map(|map| (name(&map.metadata), map)).collect(),
            secrets: secrets.into_iter().map(|secret| (name(&secret.metadata), secret)).collect(),
            services: Vec::new(),
        }
    }
}
