//! A certificate with its private key, and what it signs.
//!
//! OpenSSL reads and signs: it is in the graph already, and the one well-kept
//! reader of PKCS#12 (docs/decisions/0008-external-identity.md).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer};
use openssl::x509::X509;
use serde_json::json;

/// How long an assertion holds: it is shown at once.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(600);

/// A certificate, its key and its issuers.
pub struct Certificate {
    key: PKey<Private>,
    leaf: X509,
    issuers: Vec<X509>,
}

/// Why a certificate can't be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// Neither form that a vault gives.
    #[error("the certificate is neither PEM nor PKCS#12 in base64 without a password")]
    Form,
    /// Only the public half is there.
    #[error("the certificate comes without its private key")]
    NoKey,
    /// The key belongs to something else.
    #[error("no certificate belongs to the private key")]
    OtherKey,
    /// The token endpoint takes RSA only.
    #[error("the certificate's key is not an RSA key")]
    NotRsa,
    /// It can't be used for signing.
    #[error("the certificate's key cannot sign")]
    Signing,
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("thumbprint", &self.thumbprint())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads what a vault has as the value of a certificate's secret.
    pub fn read(value: &str) -> Result<Certificate, InvalidCertificate> {
        let (key, certificates) = match value.contains("-----BEGIN ") {
            true => read_pem(value)?,
            false => read_pkcs12(value)?,
        };
        if key.id() != Id::RSA {
            return Err(InvalidCertificate::NotRsa);
        }
        let (own, issuers): (Vec<X509>, Vec<X509>) = certificates
            .into_iter()
            .partition(|certificate| certificate.public_key().is_ok_and(|public| public.public_eq(&key)));
        let leaf = own.into_iter().next().ok_or(InvalidCertificate::OtherKey)?;
        Ok(Certificate { key, leaf, issuers })
    }

    /// Its SHA-256, in hexadecimal: what portals show.
    pub fn thumbprint(&self) -> String {
        let digest = self.leaf.digest(MessageDigest::sha256());
        digest.map(|digest| digest.iter().map(|byte| format!("{byte:02X}")).collect()).unwrap_or_default()
    }

    /// When it ends, as OpenSSL writes it.
    pub fn not_after(&self) -> String {
        self.leaf.not_after().to_string()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        Asn1Time::days_from_now(0).is_ok_and(|now| self.leaf.not_after() < now)
    }

    /// The JWT by which the client proves who it is: signed with PS256, naming
    /// the certificate by `x5t#S256` and holding it with its issuers (`x5c`),
    /// which managed identities' certificates need: they are known by their
    /// issuer and subject.
    pub fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        id: &str,
        now: SystemTime,
    ) -> Result<String, InvalidCertificate> {
        let ders: Result<Vec<Vec<u8>>, ErrorStack> =
            std::iter::once(&self.leaf).chain(&self.issuers).map(|certificate| certificate.to_der()).collect();
        let ders = ders.map_err(|_| InvalidCertificate::Signing)?;
        let digest = self.leaf.digest(MessageDigest::sha256()).map_err(|_| InvalidCertificate::Signing)?;
        let header = json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(digest),
            "x5c": ders.iter().map(|der| BASE64_STANDARD.encode(der)).collect::<Vec<_>>(),
        });
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": id,
            "iat": now.as_secs(),
            "nbf": now.as_secs(),
            "exp": (now + ASSERTION_LIFETIME).as_secs(),
        });
        let encode = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(signed.as_bytes()).map_err(|_| InvalidCertificate::Signing)?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        signer.set_rsa_padding(Padding::PKCS1_PSS)?;
        signer.set_rsa_mgf1_md(MessageDigest::sha256())?;
        signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        signer.sign_oneshot_to_vec(text)
    }
}

type KeyAndCertificates = (PKey<Private>, Vec<X509>);

fn read_pem(value: &str) -> Result<KeyAndCertificates, InvalidCertificate> {
    if !value.contains("PRIVATE KEY-----") {
        return Err(InvalidCertificate::NoKey);
    }
    // With a callback, so that an encrypted key is refused instead of asked for on a terminal.
    let key = PKey::private_key_from_pem_callback(value.as_bytes(), |_| Ok(0)).map_err(|_| InvalidCertificate::Form)?;
    let certificates = X509::stack_from_pem(value.as_bytes()).map_err(|_| InvalidCertificate::Form)?;
    Ok((key, certificates))
}

fn read_pkcs12(value: &str) -> Result<KeyAndCertificates, InvalidCertificate> {
    let der = BASE64_STANDARD.decode(value.trim()).map_err(|_| InvalidCertificate::Form)?;
    let parsed = Pkcs12::from_der(&der).and_then(|pkcs12| pkcs12.parse2("")).map_err(|_| InvalidCertificate::Form)?;
    let key = parsed.pkey.ok_or(InvalidCertificate::NoKey)?;
    let issuers = parsed.ca.into_iter().flatten();
    Ok((key, parsed.cert.into_iter().chain(issuers).collect()))
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::rsa::Rsa;
    use openssl::sign::Verifier;
    use openssl::x509::X509Name;
    use serde_json::Value;

    use super::*;

    fn rsa() -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
    }

    fn certificate(subject: &str, key: &PKey<Private>, days: u32) -> X509 {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", subject).unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(days).unwrap()).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    fn pem(key: &PKey<Private>, certificates: &[&X509]) -> String {
        let mut pem = key.private_key_to_pem_pkcs8().unwrap();
        certificates.iter().for_each(|certificate| pem.extend(certificate.to_pem().unwrap()));
        String::from_utf8(pem).unwrap()
    }

    fn pkcs12(key: &PKey<Private>, leaf: &X509) -> String {
        let built = Pkcs12::builder().name("c").pkey(key).cert(leaf).build2("").unwrap();
        BASE64_STANDARD.encode(built.to_der().unwrap())
    }

    #[test]
    fn reads_both_forms_and_finds_the_keys_own_certificate() {
        let key = rsa();
        let (leaf, issuer) = (certificate("leaf", &key, 1), certificate("issuer", &rsa(), 1));
        for value in [pem(&key, &[&leaf]), pem(&key, &[&issuer, &leaf]), pkcs12(&key, &leaf)] {
            let read = Certificate::read(&value).unwrap();
            assert_eq!(read.leaf.to_der().unwrap(), leaf.to_der().unwrap());
            assert!(!read.has_ended());
        }
        assert!(Certificate::read(&pem(&key, &[&certificate("old", &key, 0)])).is_ok());
    }

    #[test]
    fn says_what_is_wrong_and_prints_no_key() {
        let key = rsa();
        let leaf = certificate("leaf", &key, 1);
        let public = String::from_utf8(leaf.to_pem().unwrap()).unwrap();
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let elliptic = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
        let encrypted = key.private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"x").unwrap();
        let locked = Pkcs12::builder().name("c").pkey(&key).cert(&leaf).build2("password").unwrap();
        let cases = [
            ("", InvalidCertificate::Form),
            ("not base64", InvalidCertificate::Form),
            ("AAAA", InvalidCertificate::Form),
            (&BASE64_STANDARD.encode(locked.to_der().unwrap()), InvalidCertificate::Form),
            (&String::from_utf8(encrypted).unwrap(), InvalidCertificate::Form),
            (&public, InvalidCertificate::NoKey),
            (&pem(&rsa(), &[&leaf]), InvalidCertificate::OtherKey),
            (&pem(&elliptic, &[&certificate("ec", &elliptic, 1)]), InvalidCertificate::NotRsa),
        ];
        for (value, expected) in cases {
            assert_eq!(Certificate::read(value).map(|_| ()), Err(expected));
        }
        let printed = format!("{:?}", Certificate::read(&pem(&key, &[&leaf])).unwrap());
        assert!(
            printed.starts_with("Certificate { thumbprint: \"") && !printed.to_lowercase().contains("key"),
            "{printed}"
        );
    }

    #[test]
    fn signs_what_the_token_endpoint_checks() {
        let key = rsa();
        let (leaf, issuer) = (certificate("leaf", &key, 1), certificate("issuer", &rsa(), 1));
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let read = Certificate::read(&pem(&key, &[&leaf, &issuer])).unwrap();
        let jwt = read.assertion("client", "https://login/t/token", "id1", now).unwrap();

        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let public = leaf.public_key().unwrap();
        let mut verifier = Verifier::new(MessageDigest::sha256(), &public).unwrap();
        verifier.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(verifier.verify_oneshot(&signature, signed.as_bytes()).unwrap());

        let part =
            |text: &str| -> Value { serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap() };
        let (header, claims) = signed.split_once('.').unwrap();
        let der = leaf.to_der().unwrap();
        assert_eq!(part(header)["x5t#S256"], BASE64_URL_SAFE_NO_PAD.encode(openssl::sha::sha256(&der)));
        assert_eq!(part(header)["x5c"][0], BASE64_STANDARD.encode(der));
        assert_eq!(part(header)["x5c"][1], BASE64_STANDARD.encode(issuer.to_der().unwrap()));
        let expected = json!({
            "aud": "https://login/t/token", "iss": "client", "sub": "client", "jti": "id1",
            "iat": 1_000, "nbf": 1_000, "exp": 1_600,
        });
        assert_eq!(part(claims), expected);
    }
}
