//! The app settings of normalize (docs/settings.md).

use azure::{HubConfig, HubOutput, HubProducer};
use secrecy::SecretString;
use serde::Deserialize;
use settings::function::credential;
use settings::{Checks, ExternalIdentitySettings, Function, FunctionSettings, InputAccessSettings, SettingsError};
use url::Url;

/// The settings as they are.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "template__devicecontent")]
    device_mapping: Option<String>,
    #[serde(rename = "normalizationeventhub__eventhubnamespacefqdn")]
    namespace: Option<String>,
    #[serde(rename = "normalizationeventhub__eventhubname")]
    hub: Option<String>,
    #[serde(rename = "normalizationeventhub__authenticationtype")]
    authentication: Option<String>,
    #[serde(rename = "normalizationeventhub__customendpoint")]
    custom_endpoint: Option<String>,
    #[serde(rename = "ingest__token")]
    ingest_token: Option<String>,
    #[serde(flatten)]
    input: InputAccessSettings,
    #[serde(flatten)]
    external: ExternalIdentitySettings,
    #[serde(flatten)]
    function: FunctionSettings,
}

/// Everything normalize needs to start, checked.
#[derive(Debug)]
pub struct Settings {
    /// What both functions need; the mapping is the device mapping,
    /// `Template__DeviceContent`.
    pub function: Function,
    /// The internal hub, `NormalizationEventHub__…`.
    pub output: HubOutput,
    /// `Ingest__Token`: who may post events; nobody when it is not set.
    pub ingest_token: Option<SecretString>,
    /// What is not as somebody may think it is; to be logged.
    pub warning: Option<&'static str>,
}

impl Settings {
    /// Reads and checks all settings; every problem is reported at once.
    pub fn read(pairs: impl Iterator<Item = (String, String)>) -> Result<Settings, SettingsError> {
        let raw: Raw = settings::read(pairs)?;
        let mut checks = Checks::default();
        let function = Function::check(raw.function, ("Template__DeviceContent", raw.device_mapping), &mut checks);
        let namespace = checks.required(
            "NormalizationEventHub__EventHubNamespaceFQDN",
            raw.namespace,
            "a host name such as `contoso.servicebus.windows.net`",
        );
        let hub = checks.required("NormalizationEventHub__EventHubName", raw.hub, "the name of the internal hub");
        let client_id = function.as_ref().and_then(|function| function.client_id.clone());
        let external = raw.external.check(&client_id, &mut checks);
        let warning = raw.input.check_host(external.as_ref(), &mut checks);
        let authentication = "NormalizationEventHub__AuthenticationType";
        let credential = credential(authentication, raw.authentication, &client_id, &mut checks);
        let custom_endpoint = checks.optional(
            "NormalizationEventHub__CustomEndpoint",
            raw.custom_endpoint,
            "an address such as `amqp://127.0.0.1:5672`",
            |text| Url::parse(text).ok(),
        );
        let hub = HubConfig { custom_endpoint, ..HubConfig::new(namespace, hub) };
        let producer = HubProducer::new(hub, &credential);
        if let Err(error) = &producer {
            checks.problem(format!("the settings `NormalizationEventHub__…` cannot be used: {error}"));
        }
        let ingest_token = checks.secret(raw.ingest_token);
        let settings = function.zip(producer.ok()).map(|(function, producer)| {
            let output = HubOutput::new(producer);
            Settings { function, output, ingest_token, warning }
        });
        checks.finish(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(changes: &[(&str, &str)]) -> String {
        let good = [
            ("FUNCTIONS_CUSTOMHANDLER_PORT", "7001"),
            ("Template__DeviceContent", "devicecontent.json"),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost"),
            ("NormalizationEventHub__EventHubName", "normalizeddata"),
            ("NormalizationEventHub__AuthenticationType", "Development"),
            ("NormalizationEventHub__CustomEndpoint", "amqp://127.0.0.1:5672"),
            ("DeadLetters__Folder", "dead-letters"),
            ("Ingest__Token", "s3cret"),
        ];
        // Later pairs win, as in a map.
        let all: std::collections::BTreeMap<_, _> = good.iter().chain(changes).copied().collect();
        let pairs = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Settings::read(pairs)
            .map(|settings| format!("port {}", settings.function.port))
            .unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn reads_good_settings() {
        assert_eq!(problems(&[]), "port 7001");
    }

    #[test]
    fn names_every_bad_setting_at_once_and_no_secret() {
        let problems = problems(&[
            ("FUNCTIONS_CUSTOMHANDLER_PORT", "x"),
            ("Template__DeviceContent", " "),
            ("NormalizationEventHub__AuthenticationType", "ConnectionString"),
            ("Compatibility__Profile", "old"),
            ("DeadLetters__Folder", ""),
        ]);
        let expected = [
            "app setting `FUNCTIONS_CUSTOMHANDLER_PORT` is `x`; expected a port number",
            "app setting `Template__DeviceContent` is not set; expected the name of a blob, or the path of a file",
            "app setting `DeadLetters__Folder` is not set; expected the path of a folder",
            "app setting `Compatibility__Profile` is `old`; expected `default` or `reference`",
            "app setting `NormalizationEventHub__AuthenticationType` is `ConnectionString`; expected one of \
             `ManagedIdentity`, `WorkloadIdentity`, `DeveloperTools`, `Development`",
        ];
        assert_eq!(problems, expected.join("\n"));
    }

    #[test]
    fn a_certificate_that_the_host_cannot_use_is_said() {
        let certificate = [
            ("ExternalIdentity__ClientId", "c1"),
            ("ExternalIdentity__TenantId", "t1"),
            ("ExternalIdentity__CertificateUri", "https://v1.vault.azure.net/certificates/mi-c1"),
        ];
        let problem = problems(&certificate);
        assert!(problem.contains("cannot open the customer's hub in the Functions front"), "{problem}");
    }

    #[test]
    fn takes_a_made_up_token_only_to_this_machine() {
        let problem = problems(&[("NormalizationEventHub__CustomEndpoint", "amqp://10.0.0.1:5672")]);
        assert!(problem.contains("without TLS must be on loopback"), "{problem}");
        let problem = problems(&[("NormalizationEventHub__CustomEndpoint", "")]);
        assert!(problem.contains("needs a custom endpoint on loopback"), "{problem}");
    }
}
