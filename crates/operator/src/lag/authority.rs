//! The authority of the lag server's own certificates, and their renewal.
//!
//! ```text
//! key, in the Secret --every RENEW_AFTER--> certificates of authority, server and client
//! ```
//!
//! The key stays; what it signs, its own certificate too, ends after 90 days.
//! All certificates of the authority have its name and its key, so whoever trusts
//! an older one takes a server's newer one as well: connectors may be told later,
//! and replicas need not agree on when.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use https_server::{Clients, acceptor};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::civil::Date;
use k8s_openapi::jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a certificate holds.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// After how long there are new ones: connectors have two months to be told,
/// which takes them five minutes.
const RENEW_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often it is looked whether they are due.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// A certificate authority of our own. Who trusts it trusts nobody else by it:
/// its key never leaves the Secret and the processes that read it.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// What an authority has given out at one time, PEM.
#[derive(Clone)]
pub struct Issued {
    /// Of the authority itself.
    pub authority: String,
    /// Certificate and key of the server.
    pub server: (String, String),
    /// Certificate and key for a client.
    pub client: (String, String),
    since: SystemTime,
}

/// Without keys.
impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("since", &self.since).finish_non_exhaustive()
    }
}

/// Certificates in the making go wrong only by a bug, or a clock that is none.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Of the key or a certificate.
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// Of the time.
    #[error("the clock has a time that no certificate has")]
    Clock(#[from] k8s_openapi::jiff::Error),
}

fn named(name: &str) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn authority() -> Result<CertificateParams, IssueError> {
    let mut params = named("iot-connector-operator lag")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// From the day before, for clocks that are behind, to a day after its life.
fn limit(params: &mut CertificateParams, now: SystemTime) -> Result<(), IssueError> {
    let day = |time: SystemTime| -> Result<_, IssueError> {
        let date: Date = Timestamp::try_from(time)?.to_zoned(TimeZone::UTC).date();
        Ok(date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs()))
    };
    (params.not_before, params.not_after) = (day(now - DAY)?, day(now + LIFE + DAY)?);
    Ok(())
}

impl Authority {
    /// A new one.
    pub fn make() -> Result<Authority, IssueError> {
        Ok(Authority { issuer: Issuer::new(authority()?, KeyPair::generate()?) })
    }

    /// The one that has this key, PEM.
    pub fn of(key: &str) -> Result<Authority, IssueError> {
        Ok(Authority { issuer: Issuer::new(authority()?, KeyPair::from_pem(key)?) })
    }

    /// Its key, PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Certificates from `now` on, for a server of that name.
    pub fn issue(&self, server: &str, now: SystemTime) -> Result<Issued, IssueError> {
        let mut own = authority()?;
        limit(&mut own, now)?;
        // Else it would follow from the key, and be that of the one before.
        own.serial_number =
            Some(SerialNumber::from(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()));
        let mut served = named("iot-connector-operator")?;
        served.subject_alt_names = CertificateParams::new(vec![server.to_owned()])?.subject_alt_names;
        served.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut client = named("keda")?;
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(Issued {
            authority: own.self_signed(self.issuer.key())?.pem(),
            server: self.sign(served, now)?,
            client: self.sign(client, now)?,
            since: now,
        })
    }

    fn sign(&self, mut params: CertificateParams, now: SystemTime) -> Result<(String, String), IssueError> {
        limit(&mut params, now)?;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

impl Issued {
    fn is_due(&self, now: SystemTime) -> bool {
        // A clock that went back makes nothing due: what was given out holds longer.
        now.duration_since(self.since).is_ok_and(|age| age >= RENEW_AFTER)
    }
}

/// Keeps certificates newer than they need to be.
pub struct Renewal {
    /// Whose they are.
    pub authority: Authority,
    /// The name of the server.
    pub server: String,
    /// Those that are used now.
    pub issued: Issued,
    /// Where the server's goes, unless it has one from elsewhere.
    pub acceptor: Option<watch::Sender<TlsAcceptor>>,
    /// Where all go, for connectors to be told.
    pub told: watch::Sender<Issued>,
}

impl Renewal {
    /// Looks again and again; never ends.
    pub async fn keep(mut self) -> anyhow::Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.look(SystemTime::now()) {
                // Those at hand hold for two months more.
                tracing::warn!(error = format!("{error:#}"), "The certificates of the lag server cannot be renewed");
            }
        }
    }

    fn look(&mut self, now: SystemTime) -> anyhow::Result<()> {
        if !self.issued.is_due(now) {
            return Ok(());
        }
        let issued = self.authority.issue(&self.server, now).context("cannot issue certificates")?;
        if let Some(sender) = &self.acceptor {
            sender.send_replace(acceptor(&issued.server.0, &issued.server.1, Clients::Anonymous)?);
        }
        self.told.send_replace(issued.clone());
        self.issued = issued;
        tracing::info!("Renewed the certificates of the lag server");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::client::WebPkiServerVerifier;
    use tokio_rustls::rustls::client::danger::ServerCertVerifier;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    /// Whether who trusts one authority takes the server of another at a time.
    fn takes(trusted: &Issued, shown: &Issued, at: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(der(&trusted.authority)).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let now = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
        let name = ServerName::try_from("localhost").unwrap();
        verifier.verify_server_cert(&der(&shown.server.0), &[], &name, &[], now).is_ok()
    }

    #[test]
    fn certificates_end_and_are_renewed_before_that() {
        let begun = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let authority = Authority::make().unwrap();
        // A replica that reads the key has another certificate of the same authority.
        let other = Authority::of(&authority.key()).unwrap().issue("localhost", begun + DAY).unwrap();
        let first = authority.issue("localhost", begun).unwrap();
        for (day, expected) in [(0, true), (89, true), (92, false)] {
            assert_eq!(takes(&first, &first, begun + DAY * day), expected, "day {day}");
        }
        assert!(takes(&first, &other, begun + DAY * 2) && takes(&other, &first, begun + DAY * 2));
        let stranger = Authority::make().unwrap().issue("localhost", begun).unwrap();
        assert!(!takes(&first, &stranger, begun) && !takes(&stranger, &first, begun));

        let (acceptor, mut served) =
            watch::channel(super::acceptor(&first.server.0, &first.server.1, Clients::Anonymous).unwrap());
        let (told, connectors) = watch::channel(first.clone());
        let mut renewal = Renewal {
            authority,
            server: "localhost".to_owned(),
            issued: first.clone(),
            acceptor: Some(acceptor),
            told,
        };
        for day in [0, 29] {
            renewal.look(begun + DAY * day).unwrap();
            assert!(!served.has_changed().unwrap(), "day {day}");
        }
        renewal.look(begun - DAY * 365).unwrap();
        assert!(!served.has_changed().unwrap(), "the clock went back");
        renewal.look(begun + DAY * 30).unwrap();
        assert!(served.has_changed().unwrap());
        served.mark_unchanged();
        let second = connectors.borrow().clone();
        assert_ne!((&second.authority, &second.client.0), (&first.authority, &first.client.0));
        // Who was not told yet goes on, and who was told takes a replica that did not renew yet.
        assert!(takes(&first, &second, begun + DAY * 60) && takes(&second, &first, begun + DAY * 60));
        assert!(takes(&second, &second, begun + DAY * 119) && !takes(&second, &second, begun + DAY * 122));
        renewal.look(begun + DAY * 59).unwrap();
        assert!(!served.has_changed().unwrap(), "not due again yet");
    }
}
