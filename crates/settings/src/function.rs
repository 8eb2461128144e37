//! The settings that both functions have.

use azure::{CredentialSettings, MappingBlob};
use delivery::EitherSource;
use folder::MappingFile;
use serde::Deserialize;

use crate::dead_letters::{DeadLetterSettings, EitherDeadLetters};
use crate::telemetry::{TelemetryOptions, TelemetrySettings};
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
    /// `Telemetry__…`: what is told of the function.
    #[serde(flatten)]
    pub telemetry: TelemetrySettings,
    /// `Compatibility__…`.
    #[serde(flatten)]
    pub compatibility: CompatibilitySettings,
}

impl FunctionSettings {
    /// Whether the process is to read its hub itself: no host says where it
    /// wants the handler.
    pub fn is_native(&self) -> bool {
        [&self.port, &self.old_port].into_iter().all(|port| non_blank(port.clone()).is_none())
    }
}

/// How events come to a function (design.md D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// The Functions host posts them to this port.
    Host {
        /// `FUNCTIONS_CUSTOMHANDLER_PORT`.
        port: u16,
    },
    /// The process reads its hub itself.
    Native,
}

/// What both functions need to start, checked.
#[derive(Debug)]
pub struct Function {
    /// How events come.
    pub front: Front,
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
    /// What is told of the function.
    pub telemetry: TelemetryOptions,
}

impl Function {
    /// Checks the settings. `template` is the setting that names the mapping,
    /// and its value. None when a problem was found, which `checks` then has.
    pub fn check(
        settings: FunctionSettings,
        (template, mapping): (&str, Option<String>),
        checks: &mut Checks,
    ) -> Option<Function> {
        let front = front(settings.port, settings.old_port, checks);
        let client_id = non_blank(settings.client_id);
        let mapping = settings.templates.check((template, mapping), &client_id, checks);
        let dead_letters = settings.dead_letters.check(&client_id, checks);
        let answer_fates = checks.flag("Answer__Fates", settings.answer_fates, false);
        let switches = switches(settings.compatibility, checks);
        let telemetry = settings.telemetry.check(checks);
        Some(Function {
            front,
            mapping: mapping?,
            dead_letters: dead_letters?,
            answer_fates,
            switches,
            client_id,
            telemetry,
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

/// The host's when it says where it wants the handler, under either name.
fn front(port: Option<String>, old_port: Option<String>, checks: &mut Checks) -> Front {
    let named = non_blank(port).map(|port| ("FUNCTIONS_CUSTOMHANDLER_PORT", port));
    let named = named.or(non_blank(old_port).map(|port| ("FUNCTIONS_HTTPWORKER_PORT", port)));
    let Some((name, value)) = named else { return Front::Native };
    let port = value.parse().unwrap_or_else(|_| {
        checks.problem(format!("app setting `{name}` is `{value}`; expected a port number"));
        0
    });
    Front::Host { port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_says_where_it_wants_the_handler_under_either_name() {
        let cases = [
            (None, None, Ok(Front::Native)),
            (Some(" "), None, Ok(Front::Native)),
            (None, Some("81"), Ok(Front::Host { port: 81 })),
            (Some("82"), Some("81"), Ok(Front::Host { port: 82 })),
            (Some("x"), None, Err("app setting `FUNCTIONS_CUSTOMHANDLER_PORT` is `x`; expected a port number")),
        ];
        for (name, old_name, expected) in cases {
            let mut checks = Checks::default();
            let front = front(name.map(str::to_owned), old_name.map(str::to_owned), &mut checks);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(checks.finish(Some(front)).map_err(|error| error.to_string()), expected);
        }
    }
}
