//! A container's environment, as a kubelet and a container runtime make it:
//!
//! ```text
//! image, PATH, HOSTNAME, HOME  <  the API server and the namespace's services  <  envFrom  <  env
//! ```

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod, Service};

use super::RenderError;
use super::expansion::expand;
use super::fields::{Place, field, resource};
use super::image::Image;
use super::objects::{Content, Objects};

/// What images say when they say nothing else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names and values.
pub(crate) type Environment = BTreeMap<String, String>;

/// What is rendered from.
pub(crate) struct Sources<'s> {
    pub(crate) pod: &'s Pod,
    pub(crate) place: &'s Place,
    pub(crate) objects: &'s Objects,
    /// Host and port of the API server.
    pub(crate) api_server: (&'s str, &'s str),
}

impl Sources<'_> {
    /// The environment that the pod gives a container: what its values,
    /// commands and arguments may refer to as `$(NAME)`.
    pub(crate) fn environment(&self, container: &Container) -> Result<Environment, RenderError> {
        let services = self.services();
        let mut given = Environment::new();
        for source in container.env_from.iter().flatten() {
            let mut content = Content::new();
            if let Some(map) = &source.config_map_ref {
                content.extend(self.objects.config_map(&map.name, map.optional)?);
            }
            if let Some(secret) = &source.secret_ref {
                content.extend(self.objects.secret(&secret.name, secret.optional)?);
            }
            let prefix = source.prefix.as_deref().unwrap_or_default();
            for (key, value) in content {
                given.insert(format!("{prefix}{key}"), text(value)?);
            }
        }
        for variable in container.env.iter().flatten() {
            let value = match &variable.value_from {
                Some(source) => self.value(container, source)?,
                None => {
                    let written = variable.value.as_deref().unwrap_or_default();
                    Some(expand(written, |name| given.get(name).or_else(|| services.get(name)).map(String::as_str)))
                }
            };
            if let Some(value) = value {
                given.insert(variable.name.clone(), value);
            }
        }
        let mut all = services;
        all.extend(given);
        Ok(all)
    }

    /// None for an optional reference to what is not there.
    fn value(&self, container: &Container, source: &EnvVarSource) -> Result<Option<String>, RenderError> {
        if let Some(reference) = &source.config_map_key_ref {
            let mut content = self.objects.config_map(&reference.name, reference.optional)?;
            let missing = || RenderError::Key(reference.key.clone(), reference.name.clone());
            return one(content.remove(&reference.key), reference.optional, missing);
        }
        if let Some(reference) = &source.secret_key_ref {
            let mut content = self.objects.secret(&reference.name, reference.optional)?;
            let missing = || RenderError::Key(reference.key.clone(), reference.name.clone());
            return one(content.remove(&reference.key), reference.optional, missing);
        }
        if let Some(reference) = &source.field_ref {
            return field(self.pod, self.place, &reference.field_path).map(Some);
        }
        if let Some(reference) = &source.resource_field_ref {
            return resource(std::slice::from_ref(container), Some(&container.name), self.place, reference).map(Some);
        }
        Err(RenderError::Unsupported("this kind of `valueFrom`".to_owned()))
    }

    /// Where the API server is, and the services of the namespace unless the
    /// pod does not want to know.
    fn services(&self) -> Environment {
        let mut all = Environment::new();
        let (host, port) = self.api_server;
        add_service(&mut all, "kubernetes", host, &[(Some("https".to_owned()), port.to_owned())]);
        if self.pod.spec.as_ref().and_then(|spec| spec.enable_service_links) == Some(false) {
            return all;
        }
        for service in &self.objects.services {
            if let Some((name, address, ports)) = with_address(service).filter(|(name, ..)| *name != "kubernetes") {
                add_service(&mut all, name, address, &ports);
            }
        }
        all
    }
}

/// What the program itself sees: beside what the pod gives, what image and
/// runtime add.
pub(crate) fn with_image(given: &Environment, image: &Image, hostname: &str, home: &str) -> Environment {
    let mut all: Environment = image.environment.iter().cloned().collect();
    all.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    all.insert("HOSTNAME".to_owned(), hostname.to_owned());
    all.extend(given.clone());
    all.entry("HOME".to_owned()).or_insert_with(|| home.to_owned());
    all
}

/// Names and numbers.
type Ports = Vec<(Option<String>, String)>;

fn with_address(service: &Service) -> Option<(&str, &str, Ports)> {
    let spec = service.spec.as_ref()?;
    let address = spec.cluster_ip.as_deref().filter(|address| !address.is_empty() && *address != "None")?;
    let ports = spec.ports.iter().flatten().map(|port| (port.name.clone(), port.port.to_string())).collect();
    Some((service.metadata.name.as_deref()?, address, ports))
}

/// The variables of one service, in the form of Docker's links too.
fn add_service(all: &mut Environment, name: &str, address: &str, ports: &[(Option<String>, String)]) {
    let name = upper(name);
    all.insert(format!("{name}_SERVICE_HOST"), address.to_owned());
    for (index, (port_name, port)) in ports.iter().enumerate() {
        if let Some(port_name) = port_name {
            all.insert(format!("{name}_SERVICE_PORT_{}", upper(port_name)), port.clone());
        }
        let url = format!("tcp://{address}:{port}");
        if index == 0 {
            all.insert(format!("{name}_SERVICE_PORT"), port.clone());
            all.insert(format!("{name}_PORT"), url.clone());
        }
        let link = format!("{name}_PORT_{port}_TCP");
        all.insert(format!("{link}_PROTO"), "tcp".to_owned());
        all.insert(format!("{link}_PORT"), port.clone());
        all.insert(format!("{link}_ADDR"), address.to_owned());
        all.insert(link, url);
    }
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn one(
    found: Option<Vec<u8>>,
    optional: Option<bool>,
    missing: impl FnOnce() -> RenderError,
) -> Result<Option<String>, RenderError> {
    match found {
        Some(value) => text(value).map(Some),
        None if optional == Some(true) => Ok(None),
        None => Err(missing()),
    }
}

fn text(value: Vec<u8>) -> Result<String, RenderError> {
    String::from_utf8(value).map_err(|_| RenderError::Unsupported("a variable that is not text".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rendered(env: Value, env_from: Value) -> Result<Environment, RenderError> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"containers": [{"name": "c", "env": env, "envFrom": env_from}]},
        }))
        .unwrap();
        let objects = Objects::of(
            vec![serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {"A": "a", "B": "$(A)"}})).unwrap()],
            vec![serde_json::from_value(json!({"metadata": {"name": "s"}, "data": {"K": "a2V5"}})).unwrap()],
        );
        let place =
            Place { pod_ip: "10.244.0.2".to_owned(), host_ip: "10.244.0.1".to_owned(), allocatable: BTreeMap::new() };
        let sources = Sources { pod: &pod, place: &place, objects: &objects, api_server: ("127.0.0.1", "6443") };
        sources.environment(&pod.spec.as_ref().unwrap().containers[0])
    }

    #[test]
    fn renders_what_a_kubelet_renders() {
        let env = json!([
            {"name": "PLAIN", "value": "x"},
            {"name": "EXPANDED", "value": "$(PLAIN)/$(A)/$(LATER)/$$(PLAIN)/$(KUBERNETES_SERVICE_HOST)"},
            {"name": "LATER", "value": "y"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "K"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "K", "optional": true}}},
            {"name": "EMPTY"},
            {"name": "B", "value": "over"},
        ]);
        let from = json!([{"configMapRef": {"name": "m"}}, {"prefix": "X_", "secretRef": {"name": "s"}}]);
        let rendered = rendered(env, from).unwrap();
        let expected = [
            ("EXPANDED", Some("x/a/$(LATER)/$(PLAIN)/127.0.0.1")),
            ("KEY", Some("key")),
            ("IP", Some("10.244.0.2")),
            ("NONE", None),
            ("EMPTY", Some("")),
            ("B", Some("over")),
            ("X_K", Some("key")),
            ("KUBERNETES_SERVICE_PORT", Some("6443")),
        ];
        for (name, value) in expected {
            assert_eq!(rendered.get(name).map(String::as_str), value, "{name}");
        }
    }

    #[test]
    fn says_what_is_missing() {
        let reference =
            |kind: &str, name: &str, key: &str| json!([{"name": "V", "valueFrom": {kind: {"name": name, "key": key}}}]);
        let cases = [
            (reference("configMapKeyRef", "none", "A"), "configmap \"none\" not found"),
            (reference("secretKeyRef", "none", "A"), "secret \"none\" not found"),
            (reference("secretKeyRef", "s", "none"), "couldn't find key none in s"),
        ];
        for (env, expected) in cases {
            assert_eq!(rendered(env, json!([])).unwrap_err().to_string(), expected);
        }
    }
}
