//! What `fieldRef` and `resourceFieldRef` name: fields of a pod and resources
//! of its containers, as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::RenderError;

/// Where a pod is: what its object does not say yet when its containers start.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) pod_ip: String,
    pub(crate) host_ip: String,
    /// What containers get that have no limits.
    pub(crate) allocatable: BTreeMap<String, Quantity>,
}

/// The field at `path`.
pub(crate) fn field(pod: &Pod, place: &Place, path: &str) -> Result<String, RenderError> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => metadata.labels.as_ref(),
            "metadata.annotations" => metadata.annotations.as_ref(),
            _ => return Err(RenderError::Field(path.to_owned())),
        };
        return Ok(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let text = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "metadata.labels" => Some(lines(metadata.labels.as_ref())),
        "metadata.annotations" => Some(lines(metadata.annotations.as_ref())),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.hostIP" | "status.hostIPs" => Some(place.host_ip.clone()),
        "status.podIP" | "status.podIPs" => Some(place.pod_ip.clone()),
        _ => return Err(RenderError::Field(path.to_owned())),
    };
    Ok(text.unwrap_or_default())
}

/// A request or limit of a container of the pod, divided and rounded up.
pub(crate) fn resource(
    containers: &[Container],
    own: Option<&str>,
    place: &Place,
    selector: &ResourceFieldSelector,
) -> Result<String, RenderError> {
    let unknown = || RenderError::Field(selector.resource.clone());
    let name = selector.container_name.as_deref().or(own).ok_or_else(unknown)?;
    let container = containers.iter().find(|container| container.name == name).ok_or_else(unknown)?;
    let (kind, resource) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let quantity = match kind {
        // A container without a limit may have all of the node.
        "limits" => limits.and_then(|limits| limits.get(resource)).or_else(|| place.allocatable.get(resource)),
        "requests" => requests.and_then(|requests| requests.get(resource)),
        _ => return Err(unknown()),
    };
    let thousandths = quantity.map_or(Some(0), thousandths).ok_or_else(unknown)?;
    let divisor = selector.divisor.as_ref().and_then(thousandths_of_divisor).unwrap_or(1000);
    Ok((thousandths + divisor - 1).div_euclid(divisor).to_string())
}

/// Divisor 0 is how "no divisor" comes back from the API server.
fn thousandths_of_divisor(divisor: &Quantity) -> Option<i128> {
    thousandths(divisor).filter(|divisor| *divisor > 0)
}

/// A quantity such as `100m`, `1.5` or `64Mi`, in thousandths.
fn thousandths(quantity: &Quantity) -> Option<i128> {
    let text = quantity.0.trim();
    let (number, suffix) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "M" => 1000 * 1000 * 1000,
        "G" => 1000 * 1000 * 1000 * 1000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(factor)? / scale)
}

/// Labels or annotations as a downward API file holds them.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut text = String::new();
    for (key, value) in map.into_iter().flatten() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{key}={value:?}");
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_fields_and_resources() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "1", "b/c": "x \"y\""}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {
                "requests": {"cpu": "1500m", "memory": "64Mi"}, "limits": {"memory": "0.5Gi"}}}]},
        }))
        .unwrap();
        let place = Place {
            pod_ip: "10.244.0.2".to_owned(),
            host_ip: "10.244.0.1".to_owned(),
            allocatable: BTreeMap::from([("cpu".to_owned(), Quantity("8".to_owned()))]),
        };
        let fields = [
            ("metadata.name", "p"),
            ("metadata.labels['b/c']", "x \"y\""),
            ("metadata.labels", "a=\"1\"\nb/c=\"x \\\"y\\\"\""),
            ("metadata.annotations['none']", ""),
            ("spec.nodeName", "n"),
            ("status.podIP", "10.244.0.2"),
        ];
        for (path, expected) in fields {
            assert_eq!(field(&pod, &place, path).unwrap(), expected, "{path}");
        }
        assert!(field(&pod, &place, "spec.unknown").is_err());
        let containers = &pod.spec.as_ref().unwrap().containers;
        let resources = [
            ("requests.cpu", "0", "2"),
            ("requests.cpu", "1m", "1500"),
            ("requests.memory", "1Mi", "64"),
            ("limits.memory", "1", "536870912"),
            ("limits.cpu", "1", "8"),
        ];
        for (name, divisor, expected) in resources {
            let selector = ResourceFieldSelector {
                resource: name.to_owned(),
                divisor: Some(Quantity(divisor.to_owned())),
                ..ResourceFieldSelector::default()
            };
            assert_eq!(resource(containers, Some("c"), &place, &selector).unwrap(), expected, "{name}");
        }
    }
}
