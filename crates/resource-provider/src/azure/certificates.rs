//! [`Certificates`]: the certificate of a connector's external identity, from
//! the identity's credential into the vault (resource-provider.md 4.10).

use arm::ErrorCode;
use arm::identity::SystemAssigned;
use async_trait::async_trait;
use jiff::Timestamp;

use super::AzurePorts;
use super::credential::Credential;
use super::vault::{Stored, Tags};
use crate::documents::{Certificate, ScaleInfo};
use crate::ports::{Certificates, EnsuredCertificate, ErrorClass, PortError};

#[async_trait]
impl Certificates for AzurePorts {
    async fn ensure(
        &self,
        place: &ScaleInfo,
        name: &str,
        identity: &SystemAssigned,
    ) -> Result<EnsuredCertificate, PortError> {
        let vault = self.certificate(place, name);
        let there = vault.get().await?.and_then(|stored| own(stored, identity));
        if let Some((certificate, renew_after)) = &there
            && Timestamp::now() < *renew_after
        {
            return Ok(certificate.clone().into());
        }
        let credential = match (self.fetch(identity).await, there) {
            (Ok(credential), Some((certificate, renew_after))) if credential.renew_after <= renew_after => {
                let message = "the certificate is due, and there is no newer one yet";
                let error = PortError::permanent(ErrorCode::IdentityCredentialUnavailable, message);
                return Ok(EnsuredCertificate { certificate, not_renewed: Some(error) });
            }
            (Ok(credential), _) => credential,
            // The one at hand is good for a while after it is due; whoever looks
            // next tries again.
            (Err(error), Some((certificate, _))) if error.class != ErrorClass::Permanent => {
                return Ok(EnsuredCertificate { certificate, not_renewed: Some(error) });
            }
            (Err(error), _) => return Err(error),
        };
        let tags = Tags {
            principal_id: identity.principal_id.clone().or(credential.principal_id).unwrap_or_default(),
            client_id: credential.client_id,
            tenant_id: credential.tenant_id,
            renew_after: credential.renew_after.to_string(),
        };
        let stored = vault.import(&credential.pkcs12, &tags).await?;
        Ok(certificate(stored, tags).into())
    }

    async fn delete(&self, place: &ScaleInfo, name: &str) -> Result<(), PortError> {
        self.certificate(place, name).delete().await
    }
}

impl AzurePorts {
    async fn fetch(&self, identity: &SystemAssigned) -> Result<Credential, PortError> {
        let message = "the identity has no credential URL";
        let url = identity.credential_url.as_deref();
        let url = url.ok_or_else(|| PortError::permanent(ErrorCode::IdentityCredentialUnavailable, message))?;
        self.credential_at(url).await
    }
}

/// What is stored, if it is of this identity, and when it is to be renewed. One
/// of an identity that was made anew since is not.
fn own(stored: Stored, identity: &SystemAssigned) -> Option<(Certificate, Timestamp)> {
    let tags = stored.tags.clone()?;
    let is_same = identity.principal_id.as_deref().is_none_or(|id| id.eq_ignore_ascii_case(&tags.principal_id));
    let renew_after = tags.renew_after.parse().ok()?;
    is_same.then(|| (certificate(stored, tags), renew_after))
}

fn certificate(stored: Stored, tags: Tags) -> Certificate {
    Certificate {
        uri: stored.uri,
        version: stored.version,
        client_id: tags.client_id,
        tenant_id: tags.tenant_id,
        renew_after: tags.renew_after,
    }
}
