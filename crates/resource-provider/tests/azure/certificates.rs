//! From the identity's credential into the vault.

use arm::ErrorCode;
use arm::identity::SystemAssigned;
use local::identity::ClientCertificate;
use resource_provider::documents::Certificate;
use resource_provider::ports::{Certificates, ErrorClass, PortError};

use super::cloud::{Cloud, place, settled};

const LATER: &str = "2098-01-01T00:00:00Z";
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// An identity that has a certificate, to be renewed at a time.
fn identity(cloud: &Cloud, principal: &str, renew_after: &str) -> SystemAssigned {
    let certificate = ClientCertificate::new(principal).unwrap();
    SystemAssigned {
        principal_id: Some(principal.to_owned()),
        tenant_id: Some("t".to_owned()),
        credential_url: Some(cloud.credentials.give(principal, &certificate, renew_after).unwrap()),
    }
}

async fn ensure(cloud: &Cloud, identity: &SystemAssigned) -> Result<Certificate, PortError> {
    let place = place();
    settled(|| cloud.ports.ensure(&place, "mi-c1", identity)).await.map(|ensured| ensured.certificate)
}

fn versions(cloud: &Cloud) -> usize {
    cloud.vault.certificates().get("mi-c1").copied().unwrap_or_default()
}

#[tokio::test]
async fn a_certificate_is_stored_once_and_removed_once() {
    let cloud = Cloud::start().await;
    let identity = identity(&cloud, "p1", LATER);
    let first = ensure(&cloud, &identity).await.unwrap();
    assert_eq!(first.uri, format!("{}/certificates/mi-c1", cloud.vault.url()));
    assert_eq!((first.client_id.as_str(), first.renew_after.as_str()), ("client of p1", LATER));
    assert_eq!(ensure(&cloud, &identity).await.unwrap(), first);
    assert_eq!((versions(&cloud), cloud.credentials.asked()), (1, 1));
    for _ in 0..2 {
        cloud.ports.delete(&place(), "mi-c1").await.unwrap();
        assert_eq!((versions(&cloud), cloud.vault.deleted().len()), (0, 0), "the name is free again");
    }
}

#[tokio::test]
async fn one_that_is_due_is_renewed_and_kept_when_there_is_no_newer_one() {
    let cloud = Cloud::start().await;
    let due = identity(&cloud, "p1", LONG_AGO);
    let first = ensure(&cloud, &due).await.unwrap();
    let ensured = cloud.ports.ensure(&place(), "mi-c1", &due).await.unwrap();
    assert_eq!(
        (ensured.certificate, ensured.not_renewed.is_some()),
        (first.clone(), true),
        "there is no newer one yet"
    );
    cloud.credentials.set_away(true);
    let ensured = cloud.ports.ensure(&place(), "mi-c1", &due).await.unwrap();
    assert_eq!(ensured.certificate, first, "the one at hand is good meanwhile");
    let why = ensured.not_renewed.map(|error| error.code);
    assert_eq!(why, Some(ErrorCode::IdentityCredentialUnavailable), "and it is said");
    cloud.credentials.set_away(false);
    let renewed = identity(&cloud, "p1", LATER);
    let second = ensure(&cloud, &renewed).await.unwrap();
    assert_ne!(second.version, first.version);
    assert_eq!((versions(&cloud), second.uri), (2, first.uri));
}

#[tokio::test]
async fn an_identity_that_was_made_anew_gets_a_certificate_of_its_own() {
    let cloud = Cloud::start().await;
    ensure(&cloud, &identity(&cloud, "p1", LATER)).await.unwrap();
    let other = ensure(&cloud, &identity(&cloud, "p2", LATER)).await.unwrap();
    assert_eq!((versions(&cloud), other.client_id.as_str()), (2, "client of p2"));
}

#[tokio::test]
async fn a_name_that_a_protected_vault_keeps_comes_back() {
    let cloud = Cloud::start().await;
    cloud.vault.set_protected(true);
    ensure(&cloud, &identity(&cloud, "p1", LATER)).await.unwrap();
    cloud.ports.delete(&place(), "mi-c1").await.unwrap();
    assert_eq!(cloud.vault.deleted(), ["mi-c1"]);
    let again = ensure(&cloud, &identity(&cloud, "p2", LATER)).await.unwrap();
    assert_eq!((versions(&cloud), again.client_id.as_str()), (2, "client of p2"));
}

#[tokio::test]
async fn what_is_missing_or_away_is_said_without_the_url() {
    let cloud = Cloud::start().await;
    let good = identity(&cloud, "p1", LATER);
    let check = |error: PortError, code: ErrorCode, is_permanent: bool| {
        assert_eq!((error.code, error.class == ErrorClass::Permanent), (code, is_permanent), "{error}");
        assert!(!error.message.contains("s3cret") && !error.message.contains("p1"), "{error}");
    };
    let none = SystemAssigned { credential_url: None, ..good.clone() };
    check(ensure(&cloud, &none).await.unwrap_err(), ErrorCode::IdentityCredentialUnavailable, true);
    for url in ["https://evil.example/credentials/p1?sid=s3cret", "http://localhost/credentials/p1", "no url"] {
        let evil = SystemAssigned { credential_url: Some(url.to_owned()), ..good.clone() };
        check(ensure(&cloud, &evil).await.unwrap_err(), ErrorCode::IdentityCredentialUnavailable, true);
    }
    let gone =
        SystemAssigned { credential_url: good.credential_url.as_ref().map(|u| u.replace("p1", "p9")), ..good.clone() };
    check(ensure(&cloud, &gone).await.unwrap_err(), ErrorCode::IdentityCredentialUnavailable, true);
    cloud.credentials.set_away(true);
    check(ensure(&cloud, &good).await.unwrap_err(), ErrorCode::IdentityCredentialUnavailable, false);
    cloud.credentials.set_away(false);
    cloud.vault.set_away(true);
    check(ensure(&cloud, &good).await.unwrap_err(), ErrorCode::KeyVaultAccessFailed, false);
    cloud.vault.set_away(false);
    ensure(&cloud, &good).await.unwrap();
}
