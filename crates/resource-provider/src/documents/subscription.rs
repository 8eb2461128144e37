//! The document of a subscription (resource-provider.md 2.14).

use arm::state::SubscriptionState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What ARM last said of a subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionDocument {
    /// Where it stands.
    pub state: SubscriptionState,
    /// Everything else, kept and given back.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl SubscriptionDocument {
    /// Whether the subscription has registered a feature of ours.
    pub fn has_feature(&self, feature: &str) -> bool {
        let own = |name: &str| {
            // ARM writes it as `namespace/feature` or alone.
            let name = name.to_lowercase();
            let namespace = format!("{}/", arm::NAMESPACE.to_lowercase());
            name.strip_prefix(&namespace).map_or_else(|| name.clone(), str::to_owned)
        };
        let features = self.rest.get("properties").and_then(|properties| properties.get("registeredFeatures"));
        features.and_then(Value::as_array).into_iter().flatten().any(|registered| {
            let text = |member: &str| registered.get(member).and_then(Value::as_str);
            text("name").is_some_and(|name| own(name) == own(feature))
                && text("state").is_some_and(|state| state.eq_ignore_ascii_case("Registered"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_counts_when_it_is_registered() {
        let has = |features: Value, feature: &str| {
            let body = serde_json::json!({ "state": "Registered", "properties": { "registeredFeatures": features } });
            serde_json::from_value::<SubscriptionDocument>(body).is_ok_and(|document| document.has_feature(feature))
        };
        let registered = serde_json::json!([
            { "name": "other", "state": "Registered" },
            { "name": "Microsoft.HealthcareApis/iotConnector", "state": "Registered" },
            { "name": "soon", "state": "Pending" },
        ]);
        for (feature, expected) in [
            ("IotConnector", true),
            ("microsoft.healthcareapis/iotconnector", true),
            ("other", true),
            ("soon", false),
            ("another", false),
        ] {
            assert_eq!(has(registered.clone(), feature), expected, "{feature}");
        }
        assert!(!has(Value::Null, "other") && !has(serde_json::json!([{ "name": 1 }]), "other"));
    }
}
