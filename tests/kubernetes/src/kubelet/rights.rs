//! What a container may do, by its own security context and its pod's.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::RenderError;
use super::image::Image;
use super::sandbox::{CAPABILITIES, Rights};

/// Gives the rights of a container, or why it is not run: as a kubelet does, it
/// refuses root to a pod that says it is not root.
pub(crate) fn rights(spec: &PodSpec, container: &Container, image: &Image) -> Result<Rights, RenderError> {
    let pod = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    if own.privileged == Some(true) {
        return Err(RenderError::Unsupported("a privileged container".to_owned()));
    }
    let image_user = image.user.unwrap_or((0, 0));
    let user = own.run_as_user.or(pod.run_as_user).unwrap_or(image_user.0);
    let group = own.run_as_group.or(pod.run_as_group).unwrap_or(image_user.1);
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) && user == 0 {
        return Err(RenderError::Root);
    }
    let mut more_groups = pod.supplemental_groups.unwrap_or_default();
    more_groups.extend(pod.fs_group);
    let named = |name: &String| name.to_lowercase().trim_start_matches("cap_").to_owned();
    let (add, drop) =
        own.capabilities.map(|it| (it.add.unwrap_or_default(), it.drop.unwrap_or_default())).unwrap_or_default();
    let dropped: Vec<String> = drop.iter().map(named).collect();
    let kept = CAPABILITIES.iter().map(|name| (*name).to_owned());
    let mut capabilities: Vec<String> =
        kept.filter(|name| !dropped.contains(name) && !dropped.iter().any(|name| name == "all")).collect();
    capabilities.extend(add.iter().map(named));
    Ok(Rights {
        user,
        group,
        more_groups,
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        capabilities,
        read_only_root: own.read_only_root_filesystem == Some(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rendered(pod: Value, container: Value) -> Result<Rights, String> {
        let spec: PodSpec = serde_json::from_value(json!({
            "securityContext": pod, "containers": [{"name": "c", "securityContext": container}],
        }))
        .unwrap();
        rights(&spec, &spec.containers[0], &Image::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_containers_word_counts_more_than_the_pods() {
        let pod = json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "runAsNonRoot": true});
        let own = json!({"runAsUser": 4, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
        let rights = rendered(pod, own).unwrap();
        assert_eq!((rights.user, rights.group, rights.more_groups), (4, 2, vec![3]));
        assert_eq!(rights.capabilities, ["net_bind_service"]);
    }

    #[test]
    fn refuses_root_where_the_pod_says_not_root() {
        let refused = rendered(json!({"runAsNonRoot": true}), json!({})).unwrap_err();
        assert_eq!(refused, "container has runAsNonRoot and image will run as root");
        assert!(rendered(json!({"runAsNonRoot": true}), json!({"runAsUser": 65532})).is_ok());
    }
}
