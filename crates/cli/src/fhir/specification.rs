//! What a FHIR server is to be: from a file, from flags, or from a file with
//! flags over it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ValueEnum;
use custom_resources::fhir::{Image, Ingress, ServedVersion, ServerIdentity, ServerIdentityType, Tls};
use custom_resources::fhir_parts::Authentication;
use custom_resources::{Fhir, FhirSpec};

/// The flags.
#[derive(Debug, clap::Args)]
pub struct SpecificationArguments {
    /// Its name; not needed with a file.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// A file with a resource of kind Fhir, YAML or JSON; `-` for standard input. Flags win over it.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The version of FHIR.
    #[arg(long, value_name = "VERSION")]
    fhir_version: Option<Version>,
    /// The image: `contoso.azurecr.io/fhir-server:4.0`, or with `@sha256:…`.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// How many pods.
    #[arg(long, value_name = "NUMBER")]
    replicas: Option<i64>,
    /// Whose tokens are taken.
    #[arg(long, value_name = "URL", requires = "audience")]
    authority: Option<String>,
    /// What tokens must be for.
    #[arg(long, value_name = "URI")]
    audience: Option<String>,
    /// Let everybody read and write everything; for tests.
    #[arg(long, conflicts_with_all = ["authority", "audience"])]
    no_authentication: bool,
    /// The domain of an Ingress.
    #[arg(long, value_name = "HOST", requires = "tls_secret")]
    domain: Option<String>,
    /// The Secret of the domain's certificate.
    #[arg(long, value_name = "NAME", requires = "domain")]
    tls_secret: Option<String>,
    /// The client id of the workload identity as which the server opens its database.
    #[arg(long, value_name = "ID")]
    identity_client_id: Option<String>,
}

/// As on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "lower")]
enum Version {
    Stu3,
    R4,
    R4B,
    R5,
}

impl SpecificationArguments {
    /// The resource to apply.
    pub fn read(&self) -> anyhow::Result<Fhir> {
        let mut fhir = match &self.file {
            Some(file) => from_file(file)?,
            None => Fhir::new("", FhirSpec::default()),
        };
        if let Some(name) = &self.name {
            fhir.metadata.name = Some(name.clone());
        }
        if fhir.metadata.name.as_ref().is_none_or(String::is_empty) {
            bail!("the FHIR server has no name: give one, or `metadata.name` in the file");
        }
        self.lay_over(&mut fhir.spec)?;
        Ok(fhir)
    }

    fn lay_over(&self, spec: &mut FhirSpec) -> anyhow::Result<()> {
        if let Some(version) = self.fhir_version {
            spec.fhir_version = match version {
                Version::Stu3 => ServedVersion::Stu3,
                Version::R4 => ServedVersion::R4,
                Version::R4B => ServedVersion::R4B,
                Version::R5 => ServedVersion::R5,
            };
        }
        if let Some(text) = &self.image {
            let pull_policy = spec.image.take().and_then(|image| image.pull_policy);
            spec.image = Some(Image { pull_policy, ..image(text)? });
        }
        spec.replicas = self.replicas.or(spec.replicas);
        if self.no_authentication {
            spec.authentication = Some(Authentication { enabled: Some(false), ..Authentication::default() });
        }
        if let Some(audience) = &self.audience {
            let authentication = spec.authentication.get_or_insert_default();
            authentication.audience = Some(audience.clone());
            authentication.authority = self.authority.clone().or(authentication.authority.take());
        }
        if let (Some(domain), Some(secret)) = (&self.domain, &self.tls_secret) {
            let ingress = Ingress { enabled: true, ..spec.ingress.take().unwrap_or_default() };
            let tls = Some(Tls { secret_name: Some(secret.clone()) });
            spec.ingress = Some(Ingress { domain: Some(domain.clone()), tls, ..ingress });
        }
        if let Some(client_id) = &self.identity_client_id {
            let identity = spec.identity.take().unwrap_or_default();
            let (kind, client_id) = (ServerIdentityType::WorkloadIdentity, Some(client_id.clone()));
            spec.identity = Some(ServerIdentity { kind, client_id, ..identity });
        }
        Ok(())
    }
}

fn from_file(file: &PathBuf) -> anyhow::Result<Fhir> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
        false => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
    };
    let value = custom_resources::values::read(&text).with_context(|| format!("{}", file.display()))?;
    let (version, kind) = (value["apiVersion"].as_str(), value["kind"].as_str());
    if (version, kind) != (Some("iotconnector.health/v1alpha1"), Some("Fhir")) {
        bail!("{}: expected apiVersion `iotconnector.health/v1alpha1` and kind `Fhir`", file.display());
    }
    let mut fhir: Fhir = serde_json::from_value(value).with_context(|| format!("{} is not a Fhir", file.display()))?;
    // The operator's to write.
    fhir.status = None;
    Ok(fhir)
}

/// Repository with tag or digest. A colon before the last slash is a port.
fn image(text: &str) -> anyhow::Result<Image> {
    let own = |text: &str| Some(text.to_owned());
    let image = match (text.split_once('@'), text.rsplit_once(':')) {
        (Some((repository, digest)), _) => {
            Image { repository: own(repository), digest: own(digest), ..Image::default() }
        }
        (None, Some((repository, tag))) if !tag.contains('/') => {
            Image { repository: own(repository), tag: own(tag), ..Image::default() }
        }
        _ => bail!("the image `{text}` has no tag and no digest: what runs would change by itself"),
    };
    Ok(image)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: SpecificationArguments,
    }

    fn spec(line: &str) -> Result<serde_json::Value, String> {
        let line = Line::try_parse_from(std::iter::once("iotc").chain(line.split_whitespace()));
        let fhir = line.map_err(|error| error.to_string())?.arguments.read().map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(fhir.spec).unwrap())
    }

    #[test]
    fn reads_flags() {
        let cases = [
            ("f1 --no-authentication", serde_json::json!({"fhirVersion": "R4", "authentication": {"enabled": false}})),
            (
                "f1 --fhir-version r5 --replicas 2 --image localhost:5000/fhir:1 --authority https://a --audience b",
                serde_json::json!({
                    "fhirVersion": "R5",
                    "replicas": 2,
                    "image": {"repository": "localhost:5000/fhir", "tag": "1"},
                    "authentication": {"authority": "https://a", "audience": "b"},
                }),
            ),
            (
                "f1 --domain f.example.com --tls-secret t --identity-client-id c",
                serde_json::json!({
                    "fhirVersion": "R4",
                    "ingress": {"enabled": true, "domain": "f.example.com", "tls": {"secretName": "t"}},
                    "identity": {"type": "WorkloadIdentity", "clientId": "c"},
                }),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(spec(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn says_what_is_missing() {
        let cases = [
            ("", "required"),
            ("f1 --image fhir", "has no tag and no digest"),
            ("f1 --domain f.example.com", "--tls-secret"),
            ("f1 --authority https://a", "--audience"),
        ];
        for (line, expected) in cases {
            let error = spec(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn reads_a_file_under_flags() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "apiVersion: iotconnector.health/v1alpha1\nkind: Fhir\nmetadata: {name: f1}\nspec: {replicas: 1, image: {repository: r, tag: a, pullPolicy: Always}}\n";
        std::fs::write(file.path(), text).unwrap();
        let line = format!("--file {} --image r:b --replicas 3", file.path().display());
        let expected = serde_json::json!({
            "fhirVersion": "R4", "replicas": 3, "image": {"repository": "r", "tag": "b", "pullPolicy": "Always"},
        });
        assert_eq!(spec(&line), Ok(expected));
        std::fs::write(file.path(), text.replace("Fhir", "Pod")).unwrap();
        assert!(spec(&line).unwrap_err().contains("expected apiVersion"));
    }
}
