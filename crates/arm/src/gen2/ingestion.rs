//! The customer's hub (resource-provider.md 4.3, 4.12).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::typed;
use crate::error::{ArmError, ErrorCode};

/// Where device events come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestionEndpoint {
    /// The hub.
    pub event_hub_name: String,
    /// Whose positions are used; none means `$Default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<String>,
    /// The host name of the namespace, without a dot at the end.
    pub fully_qualified_event_hub_namespace: String,
}

/// As a body says it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    event_hub_name: Option<String>,
    consumer_group: Option<String>,
    fully_qualified_event_hub_namespace: Option<String>,
}

const TARGET: &str = "properties.ingestionEndpointConfiguration";

impl IngestionEndpoint {
    /// Reads `ingestionEndpointConfiguration`, which is required. What kind of
    /// endpoint it is follows from its members: with `eventHubName` a hub, and
    /// nothing else is known yet. `suffixes` are those that a namespace may end
    /// in; none allows any.
    ///
    /// # Errors
    ///
    /// `InvalidIngestionEndpoint`, with the member.
    pub fn read(value: Option<&Value>, suffixes: &[String]) -> Result<IngestionEndpoint, ArmError> {
        let Some(value) = value else {
            return Err(ArmError::at(
                ErrorCode::InvalidIngestionEndpoint,
                TARGET,
                "`ingestionEndpointConfiguration` is required.",
            ));
        };
        let asked: Asked = typed(value, TARGET)?;
        if value.get("iotHubName").is_some_and(|name| !name.is_null()) {
            let message = "`iotHubName` is not supported: give the name and host of the IoT Hub's Event Hub-compatible \
                           endpoint as `eventHubName` and `fullyQualifiedEventHubNamespace`.";
            let target = format!("{TARGET}.iotHubName");
            return Err(ArmError::at(ErrorCode::InvalidIngestionEndpoint, target, message));
        }
        let event_hub_name = asked.event_hub_name.unwrap_or_default();
        if !is_entity_name(&event_hub_name, 256) {
            return Err(wrong("eventHubName"));
        }
        let consumer_group = asked.consumer_group.filter(|group| !group.is_empty());
        let fits = |group: &String| group.eq_ignore_ascii_case(DEFAULT_GROUP) || is_entity_name(group, 50);
        if consumer_group.as_ref().is_some_and(|group| !fits(group)) {
            return Err(wrong("consumerGroup"));
        }
        let namespace = asked.fully_qualified_event_hub_namespace.unwrap_or_default();
        let namespace = namespace.strip_suffix('.').unwrap_or(&namespace).to_owned();
        let allowed = |suffix: &String| {
            let suffix = suffix.trim_start_matches('.').to_ascii_lowercase();
            namespace.to_ascii_lowercase().strip_suffix(&suffix).is_some_and(|name| name.ends_with('.'))
        };
        if !is_host_name(&namespace) || !(suffixes.is_empty() || suffixes.iter().any(allowed)) {
            return Err(wrong("fullyQualifiedEventHubNamespace"));
        }
        Ok(IngestionEndpoint { event_hub_name, consumer_group, fully_qualified_event_hub_namespace: namespace })
    }

    /// Whether both are one stream: then its position goes on, and otherwise
    /// reading begins anew (resource-provider.md 4.12).
    pub fn is_same_stream(&self, other: &IngestionEndpoint) -> bool {
        let stream = |endpoint: &IngestionEndpoint| {
            let group = endpoint.consumer_group.as_deref().unwrap_or(DEFAULT_GROUP);
            [&endpoint.fully_qualified_event_hub_namespace, &endpoint.event_hub_name, group].map(str::to_lowercase)
        };
        stream(self) == stream(other)
    }
}

/// The consumer group that every hub has.
const DEFAULT_GROUP: &str = "$Default";

/// The wording of the public service.
fn wrong(member: &str) -> ArmError {
    let message = format!("`{member}` is null, empty, or formatted incorrectly.");
    ArmError::at(ErrorCode::InvalidIngestionEndpoint, format!("{TARGET}.{member}"), message)
}

/// A name of something in Event Hubs: letters, digits, `.`, `-`, `_`, with a
/// letter or digit at both ends.
fn is_entity_name(text: &str, length_max: usize) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    let ends = [bytes.first(), bytes.last()].into_iter().flatten().all(u8::is_ascii_alphanumeric);
    (1..=length_max).contains(&bytes.len()) && bytes.iter().all(inner) && ends
}

/// A DNS name of two labels at least, without scheme, port or path.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()].into_iter().flatten().all(u8::is_ascii_alphanumeric);
        (1..=63).contains(&bytes.len())
            && ends
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    text.len() <= 253 && text.split('.').count() >= 2 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The endpoint, or the member that is wrong.
    fn read(hub: &str, group: Option<&str>, namespace: &str) -> Result<IngestionEndpoint, String> {
        let value = json!({
            "eventHubName": hub, "consumerGroup": group, "fullyQualifiedEventHubNamespace": namespace,
        });
        let read = IngestionEndpoint::read(Some(&value), &[]);
        read.map_err(|error| error.target.unwrap().rsplit('.').next().unwrap().to_owned())
    }

    #[test]
    fn what_the_seeds_write_is_taken() {
        let endpoint = read("EventHub", Some("consumerGroupA"), "myeventhub.servicesbus.windows.net.").unwrap();
        assert_eq!(endpoint.fully_qualified_event_hub_namespace, "myeventhub.servicesbus.windows.net");
        for group in [None, Some(""), Some("$Default"), Some("$default")] {
            let endpoint = read("h", group, "a.b").unwrap();
            assert!(endpoint.is_same_stream(&read("H", None, "A.B.").unwrap()), "{group:?}");
        }
        assert!(!endpoint.is_same_stream(&read("EventHub", None, "myeventhub.servicesbus.windows.net").unwrap()));
    }

    #[test]
    fn each_member_has_a_form() {
        let long = "a".repeat(51);
        for (hub, group, namespace, wrong) in [
            ("", None, "a.b", "eventHubName"),
            ("-a", None, "a.b", "eventHubName"),
            ("a/b", None, "a.b", "eventHubName"),
            ("h", Some("a b"), "a.b", "consumerGroup"),
            ("h", Some(long.as_str()), "a.b", "consumerGroup"),
            ("h", None, "", "fullyQualifiedEventHubNamespace"),
            ("h", None, "a", "fullyQualifiedEventHubNamespace"),
            ("h", None, "sb://a.b", "fullyQualifiedEventHubNamespace"),
            ("h", None, "a.b:5671", "fullyQualifiedEventHubNamespace"),
            ("h", None, "a.b/", "fullyQualifiedEventHubNamespace"),
            ("h", None, "a..b", "fullyQualifiedEventHubNamespace"),
            ("h", None, "-a.b", "fullyQualifiedEventHubNamespace"),
        ] {
            assert_eq!(read(hub, group, namespace), Err(wrong.to_owned()), "{hub} {group:?} {namespace}");
        }
    }

    #[test]
    fn other_kinds_of_endpoints_are_not_known() {
        let beside = json!({ "iotHubName": "h", "eventHubName": "h", "fullyQualifiedEventHubNamespace": "a.b" });
        for value in [None, Some(json!({ "iotHubName": "h" })), Some(beside), Some(json!({}))] {
            let error = IngestionEndpoint::read(value.as_ref(), &[]).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidIngestionEndpoint);
        }
        let error = IngestionEndpoint::read(Some(&json!({ "eventHubName": 3 })), &[]).unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties.ingestionEndpointConfiguration.eventHubName"));
    }

    #[test]
    fn suffixes_can_be_asked_for() {
        let value = json!({ "eventHubName": "h", "fullyQualifiedEventHubNamespace": "a.ServiceBus.windows.net" });
        let allowed = |suffix: &str| IngestionEndpoint::read(Some(&value), &[suffix.to_owned()]).is_ok();
        assert!(allowed("servicebus.windows.net") && allowed(".servicebus.windows.net"));
        assert!(!allowed("bus.windows.net") && !allowed("servicebus.chinacloudapi.cn"));
    }
}
