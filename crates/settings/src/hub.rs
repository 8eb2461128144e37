//! The settings of a hub that is written to.

use azure::{CredentialSettings, HubConfig, HubProducer};
use serde::Deserialize;
use url::Url;

use crate::function::credential;
use crate::{Checks, NamedHub, non_blank};

/// The internal hub as normalize has it, `NormalizationEventHub__…`; flatten
/// this into a binary's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NormalizationHubSettings {
    #[serde(rename = "normalizationeventhub__eventhubnamespacefqdn")]
    namespace: Option<String>,
    #[serde(rename = "normalizationeventhub__eventhubname")]
    hub: Option<String>,
    #[serde(rename = "normalizationeventhub__authenticationtype")]
    authentication: Option<String>,
    #[serde(rename = "normalizationeventhub__customendpoint")]
    custom_endpoint: Option<String>,
}

impl NormalizationHubSettings {
    /// The settings without their names.
    pub fn texts(self) -> HubTexts {
        HubTexts {
            namespace: self.namespace,
            hub: self.hub,
            authentication: self.authentication,
            custom_endpoint: self.custom_endpoint,
        }
    }

    /// The hub's name, when there is one.
    pub fn named(&self) -> Option<NamedHub> {
        NamedHub::new("NormalizationEventHub", self.namespace.clone(), self.hub.clone())
    }

    /// The internal hub; none when a problem was found.
    pub fn check(self, client_id: &Option<String>, checks: &mut Checks) -> Option<HubProducer> {
        let (config, credential) =
            self.texts().check("NormalizationEventHub", "the name of the internal hub", client_id, checks);
        producer("NormalizationEventHub", config, &credential, checks)
    }
}

/// The settings of one hub as they are, whatever their names begin with.
#[derive(Clone, Debug, Default)]
pub struct HubTexts {
    /// `…__EventHubNamespaceFQDN`.
    pub namespace: Option<String>,
    /// `…__EventHubName`.
    pub hub: Option<String>,
    /// `…__AuthenticationType`.
    pub authentication: Option<String>,
    /// `…__CustomEndpoint`.
    pub custom_endpoint: Option<String>,
}

impl HubTexts {
    /// Whether one of the settings that name a hub is there.
    pub fn is_given(&self) -> bool {
        non_blank(self.namespace.clone()).or(non_blank(self.hub.clone())).is_some()
    }

    /// Checks the settings, whose names begin with `prefix`.
    pub fn check(
        self,
        prefix: &str,
        expected_hub: &str,
        client_id: &Option<String>,
        checks: &mut Checks,
    ) -> (HubConfig, CredentialSettings) {
        let namespace = checks.required(
            &format!("{prefix}__EventHubNamespaceFQDN"),
            self.namespace,
            "a host name such as `contoso.servicebus.windows.net`",
        );
        let hub = checks.required(&format!("{prefix}__EventHubName"), self.hub, expected_hub);
        let credential = credential(&format!("{prefix}__AuthenticationType"), self.authentication, client_id, checks);
        let custom_endpoint = checks.optional(
            &format!("{prefix}__CustomEndpoint"),
            self.custom_endpoint,
            "an address such as `amqp://127.0.0.1:5672`",
            |text| Url::parse(text).ok(),
        );
        (HubConfig { custom_endpoint, ..HubConfig::new(namespace, hub) }, credential)
    }
}

/// A producer for a hub whose settings begin with `prefix`; none when they
/// cannot be used.
pub fn producer(
    prefix: &str,
    config: HubConfig,
    credential: &CredentialSettings,
    checks: &mut Checks,
) -> Option<HubProducer> {
    let producer = HubProducer::new(config, credential);
    if let Err(error) = &producer {
        checks.problem(format!("the settings `{prefix}__…` cannot be used: {error}"));
    }
    producer.ok()
}
