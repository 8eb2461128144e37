//! The app settings of normalize (docs/settings.md).

use azure::HubOutput;
use secrecy::SecretString;
use serde::Deserialize;
use settings::{
    Checks, ExternalIdentitySettings, Function, FunctionSettings, HostInputSettings, HubTexts, NativeOptions,
    NativeSettings, NormalizationHubSettings, SettingsError, SourceTexts, check_different, non_blank,
};

use crate::function::NAME;

/// The settings as they are.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "template__devicecontent")]
    device_mapping: Option<String>,
    #[serde(flatten)]
    output: NormalizationHubSettings,
    #[serde(rename = "inputeventhub__eventhubnamespacefqdn")]
    input_namespace: Option<String>,
    #[serde(rename = "inputeventhub__eventhubname")]
    input_hub: Option<String>,
    #[serde(rename = "inputeventhub__eventhubconsumergroup")]
    input_group: Option<String>,
    #[serde(rename = "inputeventhub__authenticationtype")]
    input_authentication: Option<String>,
    #[serde(rename = "inputeventhub__customendpoint")]
    input_endpoint: Option<String>,
    #[serde(rename = "inputeventhub__connectionstring")]
    input_connection_string: Option<String>,
    #[serde(rename = "ingest__token")]
    ingest_token: Option<String>,
    #[serde(flatten)]
    host_input: HostInputSettings,
    #[serde(flatten)]
    external: ExternalIdentitySettings,
    #[serde(flatten)]
    native: NativeSettings,
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
    /// The customer's hub, when the process reads it itself.
    pub native: Option<NativeOptions>,
}

impl Settings {
    /// Reads and checks all settings; every problem is reported at once.
    pub fn read(pairs: impl Iterator<Item = (String, String)>) -> Result<Settings, SettingsError> {
        let raw: Raw = settings::read(pairs)?;
        let mut checks = Checks::default();
        let is_native = raw.function.is_native();
        let written = [raw.output.named(), raw.function.dead_letters.named()];
        let function = Function::check(raw.function, ("Template__DeviceContent", raw.device_mapping), &mut checks);
        let client_id = function.as_ref().and_then(|function| function.client_id.clone());
        let external = raw.external.check(&client_id, &mut checks);
        let producer = raw.output.check(&client_id, &mut checks);
        let ingest_token = checks.secret(raw.ingest_token);
        let positions = raw.native.check(&client_id, &mut checks);
        let connection_string = non_blank(raw.input_connection_string);
        let warning = match is_native {
            true => None,
            false => {
                let own = (&raw.input_authentication, &connection_string);
                raw.host_input.check(own, external.as_ref(), &mut checks)
            }
        };
        let input = SourceTexts {
            hub: HubTexts {
                namespace: raw.input_namespace,
                hub: raw.input_hub,
                authentication: raw.input_authentication,
                custom_endpoint: raw.input_endpoint,
            },
            consumer_group: raw.input_group,
            connection_string: connection_string.or(raw.host_input.connection_string),
            external,
        };
        let host_namespace = raw.host_input.namespace.filter(|_| !is_native);
        let read = input.named("InputEventHub", &host_namespace);
        check_different([read].into_iter().chain(written), &mut checks);
        let native =
            is_native.then(|| input.check(("InputEventHub", NAME), &client_id, positions, &mut checks)).flatten();
        let settings = function.zip(producer).map(|(function, producer)| {
            let output = HubOutput::new(producer);
            Settings { function, output, ingest_token, warning, native }
        });
        checks.finish(settings)
    }
}

#[cfg(test)]
mod error_page;

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
        Settings::read(pairs).map(|settings| format!("{:?}", settings.function.front)).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn reads_good_settings() {
        assert_eq!(problems(&[]), "Host { port: 7001 }");
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
            "none of the app settings `DeadLetters__Folder`, `DeadLetters__BlobStorageContainerUri` and \
             `DeadLetters__EventHubName` is set; expected one",
            "app setting `Compatibility__Profile` is `old`; expected `default` or `reference`",
            "app setting `NormalizationEventHub__AuthenticationType` is `ConnectionString`; expected one of \
             `ManagedIdentity`, `WorkloadIdentity`, `DeveloperTools`, `Development`",
        ];
        assert_eq!(problems, expected.join("\n"));
    }

    /// In both fronts, whatever names the customer's hub.
    #[test]
    fn a_hub_that_is_written_to_and_read_is_refused() {
        const STRING: &str =
            "Endpoint=sb://LOCALHOST;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=NormalizedData";
        let same = |one: &str, other: &str| {
            format!(
                "the settings `{one}__…` and `{other}__…` name one hub, `localhost/normalizeddata`; expected two: what is \
                 written there would be read again"
            )
        };
        let native = [("FUNCTIONS_CUSTOMHANDLER_PORT", ""), ("CheckpointStorage__Folder", "positions")];
        let local = ("InputEventHub__EventHubNamespaceFQDN", "LocalHost.");
        let by_name = [local, ("InputEventHub__EventHubName", "NORMALIZEDDATA")];
        let endpoint = [
            ("InputEventHub__AuthenticationType", "Development"),
            ("InputEventHub__CustomEndpoint", "amqp://127.0.0.1"),
        ];
        let read_again = same("InputEventHub", "NormalizationEventHub");
        assert_eq!(problems(&[native, by_name, endpoint].concat()), read_again);
        assert_eq!(problems(&by_name), read_again);
        assert_eq!(problems(&[native.as_slice(), &[("InputEventHub__ConnectionString", STRING)]].concat()), read_again);
        assert_eq!(problems(&[("InputEventHub", STRING)]), read_again);
        let of_host = [("InputEventHub__fullyQualifiedNamespace", "localhost"), by_name[1]];
        assert_eq!(problems(&of_host), read_again);
        let letters = [
            ("DeadLetters__Folder", ""),
            ("DeadLetters__EventHubNamespaceFQDN", "localhost"),
            ("DeadLetters__EventHubName", "normalizeddata"),
            ("DeadLetters__AuthenticationType", "Development"),
            ("DeadLetters__CustomEndpoint", "amqp://127.0.0.1:5672"),
        ];
        assert_eq!(problems(&letters), same("NormalizationEventHub", "DeadLetters"));
        // One name in two namespaces is two hubs.
        let other = [("InputEventHub__EventHubNamespaceFQDN", "contoso.servicebus.windows.net"), by_name[1]];
        assert_eq!(problems(&other), "Host { port: 7001 }");
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
