//! As whom the customer's hub and FHIR server are opened (docs/identities.md).

use azure::credentials::CredentialSettings;
use azure::external_identity::VaultCertificate;
use azure::{CertificateUri, ConnectionString, ExternalIdentity};
use serde::Deserialize;
use url::Url;

use crate::function::credential;
use crate::{Checks, non_blank};

/// The settings as they are; flatten this into a function's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ExternalIdentitySettings {
    /// `ExternalIdentity__ClientId`: which identity.
    #[serde(rename = "externalidentity__clientid")]
    pub client_id: Option<String>,
    /// `ExternalIdentity__TenantId`: its tenant.
    #[serde(rename = "externalidentity__tenantid")]
    pub tenant_id: Option<String>,
    /// `ExternalIdentity__CertificateUri`: the certificate it shows; without
    /// it, workload identity.
    #[serde(rename = "externalidentity__certificateuri")]
    pub certificate_uri: Option<String>,
    /// `ExternalIdentity__AuthorityHost`: where its tokens come from.
    #[serde(rename = "externalidentity__authorityhost")]
    pub authority_host: Option<String>,
    /// `AZURE_AUTHORITY_HOST`, which stands in for it.
    #[serde(rename = "azure_authority_host")]
    pub default_authority_host: Option<String>,
    /// `InternalIdentity__AuthenticationType`: as whom the key vault is opened.
    #[serde(rename = "internalidentity__authenticationtype")]
    pub internal_authentication: Option<String>,
}

impl ExternalIdentitySettings {
    /// The identity, when there is one. `internal` is the client id of the
    /// internal identity.
    pub fn check(self, internal: &Option<String>, checks: &mut Checks) -> Option<ExternalIdentity> {
        let expected = "`https://<vault>/certificates/<name>`, with a version behind it only if no other is wanted";
        let uri: Option<CertificateUri> =
            checks.optional("ExternalIdentity__CertificateUri", self.certificate_uri.clone(), expected, |text| {
                text.parse().ok()
            });
        let authority_host = checks.optional(
            "ExternalIdentity__AuthorityHost",
            non_blank(self.authority_host).or(non_blank(self.default_authority_host)),
            "an absolute URL with https",
            |text| Url::parse(text).ok().filter(|url| url.scheme() == "https"),
        );
        let internal =
            credential("InternalIdentity__AuthenticationType", self.internal_authentication, internal, checks);
        let tenant_id = non_blank(self.tenant_id);
        let Some(client_id) = non_blank(self.client_id) else {
            if tenant_id.is_some() || non_blank(self.certificate_uri).is_some() {
                let problem = "app setting `ExternalIdentity__ClientId` is not set; expected the client id of the \
                               identity that the other settings `ExternalIdentity__…` are about";
                checks.problem(problem.to_owned());
            }
            return None;
        };
        if uri.is_some() && tenant_id.is_none() {
            let problem = "app setting `ExternalIdentity__TenantId` is not set; expected the identity's tenant, since \
                           it shows a certificate";
            checks.problem(problem.to_owned());
        }
        if uri.as_ref().is_some_and(|uri| internal.is_development() && !uri.is_loopback()) {
            let problem = "app setting `InternalIdentity__AuthenticationType` is `Development`; expected another, since \
                           the key vault is not on this machine";
            checks.problem(problem.to_owned());
        }
        let certificate = uri.map(|uri| VaultCertificate::new(uri, internal));
        Some(ExternalIdentity { client_id, tenant_id, authority_host, certificate })
    }
}

/// What opens a hub natively.
#[derive(Clone, Debug)]
pub enum HubAccess {
    /// Tokens of an identity.
    Credential(CredentialSettings),
    /// A key or signature.
    ConnectionString(ConnectionString),
}

/// What opens a hub in the native front: what the type says; without it a
/// connection string when there is one, else the external identity when there
/// is one, else the managed identity. The names of the settings, type and
/// connection string, begin with `prefix`. None when a problem was found.
pub fn hub_access(
    prefix: &str,
    (authentication, connection): (Option<String>, Option<String>),
    external: Option<&ExternalIdentity>,
    client_id: &Option<String>,
    checks: &mut Checks,
) -> Option<HubAccess> {
    let name = format!("{prefix}__AuthenticationType");
    let string = format!("{prefix}__ConnectionString");
    let wanted = non_blank(authentication).map(|text| text.trim().to_ascii_lowercase());
    let connection = match non_blank(connection) {
        Some(text) => Some(connection_string(&string, &text, checks)?),
        None => None,
    };
    match (wanted.as_deref(), connection, external) {
        (None | Some("connectionstring"), Some(connection), _) => Some(HubAccess::ConnectionString(connection)),
        (Some("connectionstring"), None, _) => {
            checks.problem(format!("app setting `{name}` is `ConnectionString`; expected `{string}` with one"));
            None
        }
        (None | Some("externalidentity"), _, Some(identity)) => {
            Some(HubAccess::Credential(CredentialSettings::ExternalIdentity(Box::new(identity.clone()))))
        }
        (Some("externalidentity"), _, None) => {
            checks.problem(format!(
                "app setting `{name}` is `ExternalIdentity`; expected `ExternalIdentity__ClientId` with its client id"
            ));
            None
        }
        (wanted, _, _) => Some(HubAccess::Credential(credential(&name, wanted.map(str::to_owned), client_id, checks))),
    }
}

/// How the Functions host opens the customer's hub.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct HostInputSettings {
    /// `InputEventHub`: the connection string as the host reads it; the native
    /// front takes it too.
    #[serde(rename = "inputeventhub")]
    pub connection_string: Option<String>,
    /// `InputEventHub__fullyQualifiedNamespace`.
    #[serde(rename = "inputeventhub__fullyqualifiednamespace")]
    pub namespace: Option<String>,
}

impl HostInputSettings {
    /// Checks that the Functions host can open the hub, which it does by
    /// itself: a certificate of the external identity it cannot use, and of the
    /// connection strings it reads its own setting only. `own` are the native
    /// front's `InputEventHub__AuthenticationType` and `…__ConnectionString`.
    /// Gives what to warn of.
    pub fn check(
        &self,
        own: (&Option<String>, &Option<String>),
        external: Option<&ExternalIdentity>,
        checks: &mut Checks,
    ) -> Option<&'static str> {
        let is_set = |value: &Option<String>| non_blank(value.clone()).is_some();
        let host_can = is_set(&self.connection_string) || is_set(&self.namespace);
        if is_set(own.1) && !host_can {
            checks.problem(
                "app setting `InputEventHub__ConnectionString` is for the native front; expected the connection string \
                 as `InputEventHub`, where the Functions host reads it"
                    .to_owned(),
            );
        }
        external.and_then(|identity| identity.certificate.as_ref())?;
        let is_wanted = own.0.as_ref().is_some_and(|text| text.trim().eq_ignore_ascii_case("ExternalIdentity"));
        if is_wanted || !host_can {
            checks.problem(
                "app setting `ExternalIdentity__CertificateUri` cannot open the customer's hub in the Functions front: \
                 the host opens it, and not with a certificate; expected `InputEventHub` or \
                 `InputEventHub__fullyQualifiedNamespace` and no `InputEventHub__AuthenticationType`, or the native front"
                    .to_owned(),
            );
            return None;
        }
        Some(
            "The Functions host opens the customer's hub by `InputEventHub…`, not as the external identity with its \
             certificate",
        )
    }
}

/// Reads a connection string; what is wrong with it is said without it.
fn connection_string(name: &str, text: &str, checks: &mut Checks) -> Option<ConnectionString> {
    match text.trim().parse() {
        Ok(connection) => Some(connection),
        Err(error) => {
            checks.problem(format!("app setting `{name}` cannot be used: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Raw {
        #[serde(flatten)]
        external: ExternalIdentitySettings,
        #[serde(rename = "inputeventhub__authenticationtype")]
        authentication: Option<String>,
        #[serde(rename = "inputeventhub__connectionstring")]
        connection_string: Option<String>,
        #[serde(flatten)]
        host: HostInputSettings,
    }

    fn raw(pairs: &[(&str, &str)]) -> Raw {
        crate::read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap()
    }

    /// What opens the hub natively, or the problems.
    fn access(pairs: &[(&str, &str)]) -> String {
        let (raw, mut checks) = (raw(pairs), Checks::default());
        let external = raw.external.check(&None, &mut checks);
        let texts = (raw.authentication, raw.connection_string);
        let access = hub_access("InputEventHub", texts, external.as_ref(), &None, &mut checks);
        let shown = access.map(|access| match access {
            HubAccess::ConnectionString(connection) => connection.to_string(),
            HubAccess::Credential(CredentialSettings::ExternalIdentity(identity)) => match identity.certificate {
                Some(certificate) => format!("{} with {}", identity.client_id, certificate.uri),
                None => identity.client_id,
            },
            HubAccess::Credential(other) => format!("{other:?}"),
        });
        checks.finish(shown).unwrap_or_else(|error| error.to_string())
    }

    const STRING: &str = "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=s3cret;EntityPath=e";
    const SHOWN: &str = "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=…;EntityPath=e";
    const URI: &str = "https://v1.vault.azure.net/certificates/mi-c1";

    #[test]
    fn the_hub_is_opened_as_the_type_says_or_as_what_is_there() {
        let string = ("InputEventHub__ConnectionString", STRING);
        let of = |kind| ("InputEventHub__AuthenticationType", kind);
        let client = ("ExternalIdentity__ClientId", "c1");
        let tenant = ("ExternalIdentity__TenantId", "t1");
        let certificate = ("ExternalIdentity__CertificateUri", URI);
        let managed = "ManagedIdentity { client_id: None }";
        assert_eq!(access(&[]), managed);
        assert_eq!(access(&[string]), SHOWN);
        assert_eq!(access(&[string, client]), SHOWN);
        assert_eq!(access(&[client]), "c1");
        assert_eq!(access(&[client, tenant, certificate]), format!("c1 with {URI}"));
        assert_eq!(access(&[client, string, of("ExternalIdentity")]), "c1");
        assert_eq!(access(&[client, string, of("connectionstring")]), SHOWN);
        assert_eq!(access(&[client, of("ManagedIdentity")]), managed);
    }

    #[test]
    fn what_is_missing_is_named_and_no_secret() {
        let kinds = "one of `ManagedIdentity`, `WorkloadIdentity`, `DeveloperTools`, `Development`";
        let cases: [(&[(&str, &str)], String); 8] = [
            (&[("InputEventHub__AuthenticationType", "ConnectionString")],
             "app setting `InputEventHub__AuthenticationType` is `ConnectionString`; expected \
              `InputEventHub__ConnectionString` with one".to_owned()),
            (&[("InputEventHub__AuthenticationType", "ExternalIdentity")],
             "app setting `InputEventHub__AuthenticationType` is `ExternalIdentity`; expected \
              `ExternalIdentity__ClientId` with its client id".to_owned()),
            (&[("InputEventHub__AuthenticationType", "mystery")],
             format!("app setting `InputEventHub__AuthenticationType` is `mystery`; expected {kinds}")),
            (&[("InputEventHub__ConnectionString", "AccountKey=s3cret")],
             "app setting `InputEventHub__ConnectionString` cannot be used: the connection string has no `Endpoint`; \
              expected `Endpoint=sb://…`".to_owned()),
            (&[("ExternalIdentity__CertificateUri", URI)],
             "app setting `ExternalIdentity__ClientId` is not set; expected the client id of the identity that the \
              other settings `ExternalIdentity__…` are about".to_owned()),
            (&[("ExternalIdentity__ClientId", "c1"), ("ExternalIdentity__CertificateUri", URI)],
             "app setting `ExternalIdentity__TenantId` is not set; expected the identity's tenant, since it shows a \
              certificate".to_owned()),
            (&[("ExternalIdentity__ClientId", "c1"), ("ExternalIdentity__AuthorityHost", "http://login")],
             "app setting `ExternalIdentity__AuthorityHost` is `http://login`; expected an absolute URL with https".to_owned()),
            (&[("ExternalIdentity__ClientId", "c1"), ("ExternalIdentity__TenantId", "t1"),
               ("ExternalIdentity__CertificateUri", URI), ("InternalIdentity__AuthenticationType", "Development")],
             "app setting `InternalIdentity__AuthenticationType` is `Development`; expected another, since the key \
              vault is not on this machine".to_owned()),
        ];
        for (pairs, expected) in cases {
            assert_eq!(access(pairs), expected, "{pairs:?}");
        }
    }

    /// What the start of the Functions front says: `-` for nothing.
    fn in_host(pairs: &[(&str, &str)]) -> String {
        let (raw, mut checks) = (raw(pairs), Checks::default());
        let external = raw.external.check(&None, &mut checks);
        let own = (&raw.authentication, &raw.connection_string);
        let warning = raw.host.check(own, external.as_ref(), &mut checks).unwrap_or("-");
        checks.finish(Some(warning.to_owned())).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_host_cannot_open_the_hub_with_a_certificate() {
        let workload = [("ExternalIdentity__ClientId", "c1")];
        assert_eq!(in_host(&workload), "-");
        let certificate =
            [workload[0], ("ExternalIdentity__TenantId", "t1"), ("ExternalIdentity__CertificateUri", URI)];
        let refused = in_host(&certificate);
        assert!(refused.contains("`ExternalIdentity__CertificateUri` cannot open the customer's hub"), "{refused}");
        let namespace = ("InputEventHub__fullyQualifiedNamespace", "ns1.servicebus.windows.net");
        let with_namespace = [certificate.as_slice(), &[namespace]].concat();
        assert!(in_host(&with_namespace).starts_with("The Functions host opens the customer's hub by"));
        let wanted = [with_namespace.as_slice(), &[("InputEventHub__AuthenticationType", "ExternalIdentity")]].concat();
        assert_eq!(in_host(&wanted), refused);
    }

    #[test]
    fn the_host_reads_its_own_connection_string() {
        let native = ("InputEventHub__ConnectionString", STRING);
        let said = in_host(&[native]);
        assert!(said.starts_with("app setting `InputEventHub__ConnectionString` is for the native front"), "{said}");
        assert_eq!(in_host(&[native, ("InputEventHub", STRING)]), "-");
        assert_eq!(in_host(&[("InputEventHub", STRING)]), "-");
    }
}
