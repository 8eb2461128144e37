//! The certificates of the front door.
//!
//! ```text
//! thumbprints of the settings      --\
//! metadata of ARM, read every hour --+--> AllowedCertificates: is this one of them?
//! ```

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::CertificateDer;
use url::Url;
use x509_parser::parse_x509_certificate;

use super::trusted;

/// How often the metadata is read: ARM shows a new certificate days after it is
/// listed.
const READ_EVERY: Duration = Duration::from_secs(3600);
/// How soon it is tried again.
const TRY_EVERY: Duration = Duration::from_secs(15);
const READ_LIMIT: Duration = Duration::from_secs(10);

/// The certificates that are taken for the front door's.
#[derive(Debug)]
pub struct AllowedCertificates {
    fixed: Vec<Thumbprint>,
    metadata: Option<Url>,
    /// What the metadata listed last; nothing before it was read.
    listed: RwLock<Option<Vec<Listed>>>,
}

/// The digest of a certificate: SHA-1, as Azure prints them, or SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbprint(Vec<u8>);

/// What the metadata says, as far as it concerns us.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    client_certificates: Vec<MetadataCertificate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataCertificate {
    thumbprint: String,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Listed {
    thumbprint: Thumbprint,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

impl std::str::FromStr for Thumbprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Thumbprint, String> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
        let bytes = digits.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        match bytes.collect::<Option<Vec<u8>>>() {
            Some(bytes) if matches!(bytes.len(), 20 | 32) => Ok(Thumbprint(bytes)),
            _ => Err(format!("`{text}` is not a thumbprint; expected 40 or 64 hexadecimal digits")),
        }
    }
}

impl Thumbprint {
    fn is_of(&self, certificate: &[u8]) -> bool {
        let algorithm = if self.0.len() == 20 { &digest::SHA1_FOR_LEGACY_USE_ONLY } else { &digest::SHA256 };
        digest::digest(algorithm, certificate).as_ref() == self.0
    }
}

impl AllowedCertificates {
    /// Those of the settings, and those that the metadata will list.
    pub fn new(fixed: Vec<Thumbprint>, metadata: Option<Url>) -> AllowedCertificates {
        AllowedCertificates { fixed, metadata, listed: RwLock::default() }
    }

    /// Whether a certificate, of which the client has proved to have the key, is
    /// one of them and holds now.
    pub fn allow(&self, certificate: &CertificateDer<'_>) -> bool {
        self.allow_at(certificate, Timestamp::now())
    }

    fn allow_at(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
        let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return false };
        let (from, to) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        if now.as_second() < from || now.as_second() > to {
            return false;
        }
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let is_listed = |listed: &&Listed| {
            listed.not_before.is_none_or(|from| from <= now) && listed.not_after.is_none_or(|to| now <= to)
        };
        let listed = listed.iter().flatten().filter(is_listed).map(|listed| &listed.thumbprint);
        self.fixed.iter().chain(listed).any(|thumbprint| thumbprint.is_of(certificate))
    }

    /// Whether the metadata was read, if it is to be.
    pub fn is_known(&self) -> bool {
        self.metadata.is_none() || self.listed.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Reads the metadata again and again. What was listed holds on while it is
    /// away.
    pub async fn keep(&self, client: &reqwest::Client) {
        let Some(url) = &self.metadata else { return std::future::pending().await };
        loop {
            let wait = match self.read(client, url).await {
                Ok(()) => READ_EVERY,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "The front door's certificates cannot be read");
                    TRY_EVERY
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn read(&self, client: &reqwest::Client, url: &Url) -> anyhow::Result<()> {
        let metadata: Metadata = trusted::read(client, url, READ_LIMIT).await.context("the metadata")?;
        let listed = metadata.client_certificates.into_iter().map(|certificate| {
            let thumbprint = certificate.thumbprint.parse().map_err(anyhow::Error::msg)?;
            Ok(Listed { thumbprint, not_before: certificate.not_before, not_after: certificate.not_after })
        });
        let listed = listed.collect::<anyhow::Result<Vec<Listed>>>()?;
        anyhow::ensure!(!listed.is_empty(), "the metadata lists no certificate");
        *self.listed.write().unwrap_or_else(PoisonError::into_inner) = Some(listed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate of the year 2026.
    fn certificate() -> CertificateDer<'static> {
        let mut parameters = CertificateParams::new(["arm.example".to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn hex(algorithm: &'static digest::Algorithm, certificate: &CertificateDer<'_>) -> String {
        digest::digest(algorithm, certificate).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn those_on_the_list_hold_while_they_are_valid() {
        let (ours, other) = (certificate(), certificate());
        for algorithm in [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA256] {
            let allowed = AllowedCertificates::new(vec![hex(algorithm, &ours).parse().unwrap()], None);
            assert!(allowed.allow_at(&ours, at("2026-06-01T00:00:00Z")));
            assert!(!allowed.allow_at(&other, at("2026-06-01T00:00:00Z")), "it is another");
            assert!(!allowed.allow_at(&ours, at("2025-12-31T00:00:00Z")), "not yet");
            assert!(!allowed.allow_at(&ours, at("2027-01-02T00:00:00Z")), "no more");
        }
    }

    #[test]
    fn a_thumbprint_is_hexadecimal() {
        assert!("AB".repeat(20).parse::<Thumbprint>().is_ok());
        assert_eq!("ab:".repeat(32).parse::<Thumbprint>(), "AB".repeat(32).parse());
        for wrong in ["", "ab", "zz".repeat(20).as_str(), "a".repeat(41).as_str(), "é".repeat(20).as_str()] {
            assert!(wrong.parse::<Thumbprint>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn those_that_the_metadata_lists_hold() {
        let ours = certificate();
        let body = serde_json::json!({ "clientCertificates": [{
            "thumbprint": hex(&digest::SHA1_FOR_LEGACY_USE_ONLY, &ours),
            "notBefore": "2026-03-01T00:00:00Z", "notAfter": "2026-09-01T00:00:00Z", "certificate": "…",
        }] });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/metadata", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().route("/metadata", get(|| async move { axum::Json(body) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let allowed = AllowedCertificates::new(Vec::new(), Some(url.clone()));
        assert!(!allowed.is_known() && !allowed.allow_at(&ours, at("2026-06-01T00:00:00Z")));
        allowed.read(&reqwest::Client::new(), &url).await.unwrap();
        assert!(allowed.is_known() && allowed.allow_at(&ours, at("2026-06-01T00:00:00Z")));
        assert!(!allowed.allow_at(&ours, at("2026-02-01T00:00:00Z")), "not listed yet");
        assert!(!allowed.allow_at(&ours, at("2026-10-01T00:00:00Z")), "not listed any more");
    }
}
