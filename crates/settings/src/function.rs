//! The settings that both functions have.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use azure::{CredentialSettings, MappingBlob};
use delivery::EitherSource;
use folder::MappingFile;
use serde::Deserialize;

use crate::dead_letters::{DeadLetterSettings, EitherDeadLetters};
use crate::{Checks, CompatibilitySettings, Switches, non_blank, switches};

/// Where a mapping lies: a file, or a blob.
pub type MappingPlace = EitherSource<MappingFile, MappingBlob>;

/// The settings as they are; flatten this into a function's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FunctionSettings {
    /// `FUNCTIONS_CUSTOMHANDLER_PORT`, set by the Functions host.
    #[serde(rename = "functions_customhandler_port")]
    pub port: Option<String>,
    /// `FUNCTIONS_HTTPWORKER_PORT`, its older name.
    #[serde(rename = "functions_httpworker_port")]
    pub old_port: Option<String>,
    /// `DeadLetters__…`: where what is rejected goes.
    #[serde(flatten)]
    pub dead_letters: DeadLetterSettings,
    /// `Answer__Fates`: whether answers hold the fates of the batch.
    #[serde(rename = "answer__fates")]
    pub answer_fates: Option<String>,
    /// `TemplateStorage__…`: where mapping blobs are.
    #[serde(flatten)]
    pub templates: TemplateSettings,
    /// `InternalIdentity__ClientId`: which user-assigned identity to use.
    #[serde(rename = "internalidentity__clientid")]
    pub client_id: Option<String>,
    /// `Telemetry__PrometheusPort`.
    #[serde(rename = "telemetry__prometheusport")]
    pub prometheus_port: Option<String>,
    /// `Telemetry__PrometheusAddress`.
    #[serde(rename = "telemetry__prometheusaddress")]
    pub prometheus_address: Option<String>,
    /// `Telemetry__ShapesPerMinute`.
    #[serde(rename = "telemetry__shapesperminute")]
    pub shapes_a_minute: Option<String>,
    /// `Compatibility__…`.
    #[serde(flatten)]
    pub compatibility: CompatibilitySettings,
}

/// What both functions need to start, checked.
#[derive(Debug)]
pub struct Function {
    /// Where the host wants the handler.
    pub port: u16,
    /// Where the mapping lies.
    pub mapping: MappingPlace,
    /// Where what is rejected goes.
    pub dead_letters: EitherDeadLetters,
    /// Whether answers hold the fates of the batch.
    pub answer_fates: bool,
    /// Where we differ from the reference connector.
    pub switches: Switches,
    /// Which user-assigned identity to use, if not the only one.
    pub client_id: Option<String>,
    /// Where `GET /metrics` is answered, if anywhere.
    pub prometheus: Option<SocketAddr>,
    /// How many shapes of unmatched events are logged a minute at most.
    pub shapes_a_minute: u32,
}

impl Function {
    /// Checks the settings. `template` is the setting that names the mapping,
    /// and its value. None when a problem was found, which `checks` then has.
    pub fn check(
        settings: FunctionSettings,
        (template, mapping): (&str, Option<String>),
        checks: &mut Checks,
    ) -> Option<Function> {
        let port = port(settings.port, settings.old_port, checks);
        let client_id = non_blank(settings.client_id);
        let mapping = settings.templates.check((template, mapping), &client_id, checks);
        let dead_letters = settings.dead_letters.check(&client_id, checks);
        let answer_fates = checks.flag("Answer__Fates", settings.answer_fates, false);
        let switches = switches(settings.compatibility, checks);
        let prometheus = prometheus(settings.prometheus_address, settings.prometheus_port, checks);
        let shapes = checks.number("Telemetry__ShapesPerMinute", settings.shapes_a_minute, 0..=1000, 10);
        Some(Function {
            port,
            mapping: mapping?,
            dead_letters: dead_letters?,
            answer_fates,
            switches,
            client_id,
            prometheus,
            shapes_a_minute: u32::try_from(shapes).unwrap_or(u32::MAX),
        })
    }
}

/// Where mapping blobs are, `TemplateStorage__…`; without a container mappings
/// are files.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TemplateSettings {
    #[serde(rename = "templatestorage__blobstoragecontaineruri")]
    container: Option<String>,
    #[serde(rename = "templatestorage__authenticationtype")]
    authentication: Option<String>,
}

impl TemplateSettings {
    /// Where the mapping lies that the setting `template` names; none when a
    /// problem was found.
    pub fn check(
        self,
        (template, mapping): (&str, Option<String>),
        client_id: &Option<String>,
        checks: &mut Checks,
    ) -> Option<MappingPlace> {
        let mapping = checks.required(template, mapping, "the name of a blob, or the path of a file");
        let container = checks.url("TemplateStorage__BlobStorageContainerUri", self.container);
        let credential = credential("TemplateStorage__AuthenticationType", self.authentication, client_id, checks);
        let Some(container) = container else { return Some(EitherSource::First(MappingFile::new(mapping))) };
        // A container with a SAS in its URL needs no credential, and must not be given one.
        let credential = match container.query() {
            Some(_) => Ok(None),
            None => credential.credential().map(Some),
        };
        match credential.and_then(|credential| MappingBlob::new(&container, &mapping, credential)) {
            Ok(blob) => Some(EitherSource::Second(blob)),
            Err(error) => {
                checks.problem(format!("`TemplateStorage__BlobStorageContainerUri` cannot be used: {error}"));
                None
            }
        }
    }
}

/// Reads an `…__AuthenticationType`; the managed identity when it says nothing.
pub fn credential(
    name: &str,
    value: Option<String>,
    client_id: &Option<String>,
    checks: &mut Checks,
) -> CredentialSettings {
    let client_id = client_id.clone();
    let managed = CredentialSettings::ManagedIdentity { client_id: client_id.clone() };
    let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
        "managedidentity" => Some(CredentialSettings::ManagedIdentity { client_id }),
        "workloadidentity" => {
            Some(CredentialSettings::WorkloadIdentity { client_id, tenant_id: None, token_file: None })
        }
        "developertools" => Some(CredentialSettings::DeveloperTools),
        "development" => Some(CredentialSettings::Development),
        _ => None,
    };
    const EXPECTED: &str = "one of `ManagedIdentity`, `WorkloadIdentity`, `DeveloperTools`, `Development`";
    checks.optional(name, value, EXPECTED, parse).unwrap_or(managed)
}

/// Where metrics are shown: nowhere without a port, and on loopback unless an
/// address is given, since whoever reaches it can read it.
fn prometheus(address: Option<String>, port: Option<String>, checks: &mut Checks) -> Option<SocketAddr> {
    const ADDRESS: &str = "an IP address such as `0.0.0.0`";
    let parse = |text: &str| text.parse::<IpAddr>().ok();
    let address = checks.optional("Telemetry__PrometheusAddress", address, ADDRESS, parse);
    let parse = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let port = checks.optional("Telemetry__PrometheusPort", port, "a port number from 1 to 65535", parse)?;
    Some(SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port))
}

/// The port under its name, else under its older one.
fn port(port: Option<String>, old_port: Option<String>, checks: &mut Checks) -> u16 {
    let named = port.map(|port| ("FUNCTIONS_CUSTOMHANDLER_PORT", port));
    let Some((name, value)) = named.or(old_port.map(|port| ("FUNCTIONS_HTTPWORKER_PORT", port))) else {
        checks.problem(
            "app setting `FUNCTIONS_CUSTOMHANDLER_PORT` is not set; the Functions host sets it, see docs/functions.md"
                .to_owned(),
        );
        return 0;
    };
    value.parse().unwrap_or_else(|_| {
        checks.problem(format!("app setting `{name}` is `{value}`; expected a port number"));
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_metrics_on_loopback_unless_told_otherwise() {
        let cases = [
            (None, None, Ok(None)),
            (Some("0.0.0.0"), None, Ok(None)),
            (None, Some("9464"), Ok(Some("127.0.0.1:9464"))),
            (Some("0.0.0.0"), Some("9464"), Ok(Some("0.0.0.0:9464"))),
            (Some("::"), Some("9464"), Ok(Some("[::]:9464"))),
            (
                Some("pod"),
                Some("9464"),
                Err("app setting `Telemetry__PrometheusAddress` is `pod`; expected an IP address such as `0.0.0.0`"),
            ),
            (
                None,
                Some("0"),
                Err("app setting `Telemetry__PrometheusPort` is `0`; expected a port number from 1 to 65535"),
            ),
        ];
        for (address, port, expected) in cases {
            let mut checks = Checks::default();
            let at = prometheus(address.map(str::to_owned), port.map(str::to_owned), &mut checks);
            let shown = checks.finish(Some(at)).map(|at| at.map(|at| at.to_string())).map_err(|e| e.to_string());
            assert_eq!(shown, expected.map(|at| at.map(str::to_owned)).map_err(str::to_owned));
        }
    }

    #[test]
    fn finds_the_port_under_both_names() {
        let not_set = "app setting `FUNCTIONS_CUSTOMHANDLER_PORT` is not set; \
                       the Functions host sets it, see docs/functions.md";
        let cases = [
            (None, None, Err(not_set)),
            (None, Some("81"), Ok(81)),
            (Some("82"), Some("81"), Ok(82)),
            (Some("x"), None, Err("app setting `FUNCTIONS_CUSTOMHANDLER_PORT` is `x`; expected a port number")),
        ];
        for (name, old_name, expected) in cases {
            let mut checks = Checks::default();
            let port = port(name.map(str::to_owned), old_name.map(str::to_owned), &mut checks);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(checks.finish(Some(port)).map_err(|error| error.to_string()), expected);
        }
    }
}
