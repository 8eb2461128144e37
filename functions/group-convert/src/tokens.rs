//! As whom the FHIR server is opened, and the tokens for it
//! (docs/identities.md).

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use azure::{CredentialSettings, ExternalIdentity, TokenCredential};
use fhir_client::auth::{AccessToken, CachedTokens, ClientCredentials, TokenEndpoint, TokenError};
use fhir_client::client::ClientOptions;
use secrecy::{ExposeSecret, SecretString};
use settings::{Checks, non_blank};
use tokio::sync::Mutex;

use crate::settings::FhirSettings;

/// As whom the FHIR server is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FhirAuthentication {
    ExternalIdentity,
    ManagedIdentity,
    ClientCredentials,
    /// The server wants no token.
    None,
}

impl FhirAuthentication {
    /// What the setting says. Without it: client credentials when there is an
    /// authority, else the external identity when there is one, since the
    /// server is the customer's (resource-provider.md 4.10), else the managed
    /// identity when it is asked for (fhir-conversion.md 8.4).
    fn check(settings: &FhirSettings, has_external: bool, checks: &mut Checks) -> FhirAuthentication {
        let wanted = checks.optional(
            "FhirService__AuthenticationType",
            settings.authentication.clone(),
            "one of `ExternalIdentity`, `ManagedIdentity`, `ClientCredentials`, `None`",
            |text| match text.to_ascii_lowercase().as_str() {
                "externalidentity" => Some(Self::ExternalIdentity),
                "managedidentity" => Some(Self::ManagedIdentity),
                "clientcredentials" => Some(Self::ClientCredentials),
                "none" => Some(Self::None),
                _ => None,
            },
        );
        let asks_for_identity = checks.flag("FhirClient__UseManagedIdentity", settings.managed_identity.clone(), false);
        let has_authority = non_blank(settings.authority.clone()).is_some();
        wanted.unwrap_or(match (asks_for_identity, has_authority) {
            (true, _) | (false, false) if has_external => Self::ExternalIdentity,
            (true, _) => Self::ManagedIdentity,
            (false, true) => Self::ClientCredentials,
            (false, false) => Self::None,
        })
    }
}

/// The tokens for the server, if it wants any. Checks them without a usable URL
/// of the server, `fhir`, too.
pub fn tokens(
    settings: FhirSettings,
    fhir: Option<&ClientOptions>,
    (internal, external): (Option<String>, Option<ExternalIdentity>),
    checks: &mut Checks,
) -> Option<Arc<CachedTokens>> {
    let authentication = FhirAuthentication::check(&settings, external.is_some(), checks);
    let audience = fhir.map(|fhir| fhir.base_url.as_str().trim_end_matches('/').to_owned());
    let resource = non_blank(settings.resource.clone()).or(audience).unwrap_or_default();
    let identity = match (authentication, external) {
        (FhirAuthentication::None, _) => return None,
        (FhirAuthentication::ClientCredentials, _) => return client_credentials(settings, &resource, checks),
        (FhirAuthentication::ManagedIdentity, _) => CredentialSettings::ManagedIdentity { client_id: internal },
        (FhirAuthentication::ExternalIdentity, Some(identity)) => {
            CredentialSettings::ExternalIdentity(Box::new(identity))
        }
        (FhirAuthentication::ExternalIdentity, None) => {
            let problem = "app setting `FhirService__AuthenticationType` is `ExternalIdentity`; expected \
                           `ExternalIdentity__ClientId` with its client id";
            checks.problem(problem.to_owned());
            return None;
        }
    };
    match identity_tokens(identity, &resource) {
        Ok(tokens) => Some(tokens),
        Err(error) => {
            checks.problem(format!("the identity for the FHIR server cannot be used: {error}"));
            None
        }
    }
}

fn client_credentials(settings: FhirSettings, resource: &str, checks: &mut Checks) -> Option<Arc<CachedTokens>> {
    let expected = "an absolute http or https URL of an authority or token endpoint";
    let authority = checks.required("FhirService__Authority", settings.authority, expected);
    let endpoint = checks.optional("FhirService__Authority", Some(authority), expected, |text| {
        TokenEndpoint::from_authority(text).ok()
    })?;
    let client_id =
        checks.required("FhirService__ClientId", settings.client_id, "the client id of an app registration");
    let secret = checks.secret(settings.client_secret);
    if secret.is_none() {
        checks.problem("app setting `FhirService__ClientSecret` is not set; expected the client's secret".to_owned());
    }
    let scope = endpoint.scope(resource);
    let secret = secret.unwrap_or_else(|| SecretString::from(String::new()));
    match ClientCredentials::new(endpoint, client_id, secret) {
        Ok(credentials) => Some(Arc::new(CachedTokens::new(Arc::new(credentials), scope))),
        Err(error) => {
            checks.problem(format!("the settings `FhirService__…` cannot be used: {error}"));
            None
        }
    }
}

/// A token that comes again although it has so long to live was forgotten
/// because the server refused it.
const KEPT_AFTER_REFUSAL: Duration = Duration::from_secs(360);

/// The tokens of an identity. Credentials keep theirs until shortly before
/// their end, whatever a server says of them; so one that was refused is asked
/// for anew of a new credential.
fn identity_tokens(
    identity: CredentialSettings,
    resource: &str,
) -> Result<Arc<CachedTokens>, Box<dyn Error + Send + Sync>> {
    let scope = match resource.strip_suffix("/.default") {
        Some(_) => resource.to_owned(),
        None => format!("{}/.default", resource.trim_end_matches('/')),
    };
    let state = Arc::new(Mutex::new((identity.credential()?, None::<SecretString>)));
    let identity = Arc::new(identity);
    let ask = move |scope: String| {
        let (state, identity) = (state.clone(), identity.clone());
        async move {
            let mut state = state.lock().await;
            let mut token = identity_token(&state.0, &scope).await?;
            let is_same = |last: &SecretString| last.expose_secret() == token.secret.expose_secret();
            if token.lifetime > KEPT_AFTER_REFUSAL && state.1.as_ref().is_some_and(is_same) {
                state.0 = identity.credential().map_err(no_token)?;
                token = identity_token(&state.0, &scope).await?;
            }
            state.1 = Some(token.secret.clone());
            Ok(token)
        }
    };
    Ok(Arc::new(CachedTokens::new(Arc::new(ask), scope)))
}

async fn identity_token(credential: &Arc<dyn TokenCredential>, scope: &str) -> Result<AccessToken, TokenError> {
    let token = credential.get_token(&[scope], None).await.map_err(no_token)?;
    let lifetime = Duration::try_from(token.expires_on - azure::now()).unwrap_or_default();
    Ok(AccessToken { secret: SecretString::from(token.token.secret().to_owned()), lifetime })
}

fn no_token(error: impl Into<Box<dyn Error + Send + Sync>>) -> TokenError {
    TokenError::Unreachable { what: "the identity gives none", source: Some(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_opened_as_the_type_says_or_as_the_external_identity() {
        let check = |pairs: &[(&str, &str)], has_external: bool| {
            let raw: FhirSettings =
                settings::read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap();
            FhirAuthentication::check(&raw, has_external, &mut Checks::default())
        };
        let managed = ("FhirClient__UseManagedIdentity", "true");
        let authority = ("FhirService__Authority", "https://login.example/tenant");
        let of = |kind| ("FhirService__AuthenticationType", kind);
        assert_eq!(check(&[], false), FhirAuthentication::None);
        assert_eq!(check(&[], true), FhirAuthentication::ExternalIdentity);
        assert_eq!(check(&[managed], false), FhirAuthentication::ManagedIdentity);
        assert_eq!(check(&[managed], true), FhirAuthentication::ExternalIdentity);
        assert_eq!(check(&[authority], true), FhirAuthentication::ClientCredentials);
        assert_eq!(check(&[managed, authority], false), FhirAuthentication::ManagedIdentity);
        assert_eq!(check(&[managed, of("managedidentity")], true), FhirAuthentication::ManagedIdentity);
        assert_eq!(check(&[authority, of("None")], true), FhirAuthentication::None);
        assert_eq!(check(&[authority, of("ExternalIdentity")], true), FhirAuthentication::ExternalIdentity);
    }
}
