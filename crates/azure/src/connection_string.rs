//! The connection string of a hub: where it is, and the key that opens it.
//!
//! ```text
//! Endpoint=sb://ns1.servicebus.windows.net/;SharedAccessKeyName=read;SharedAccessKey=…;EntityPath=devicedata
//! Endpoint=sb://ns1.servicebus.windows.net/;SharedAccessSignature=SharedAccessSignature sr=…;EntityPath=devicedata
//! Endpoint=sb://localhost:5672;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true
//! ```
//!
//! No error quotes any part of it, and neither `Debug` nor `Display` shows the
//! key or signature.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url, form_urlencoded};

/// A connection string, read and checked.
#[derive(Clone)]
pub struct ConnectionString {
    /// In lower case.
    host: String,
    port: Option<u16>,
    hub: Option<String>,
    proof: Proof,
    is_emulator: bool,
}

/// What the string opens the hub with.
#[derive(Clone)]
enum Proof {
    Key { name: String, key: SecretString },
    Signature { token: SecretString, expires: SystemTime },
}

/// A shared access signature, ready to be shown.
#[derive(Clone)]
pub struct SasToken {
    /// `SharedAccessSignature sr=…`.
    pub token: SecretString,
    /// When it ends.
    pub expires: SystemTime,
}

/// Why a connection string can't be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConnectionString {
    /// Not `name=value`.
    #[error("part {0} of the connection string is not `name=value`")]
    NotAPair(usize),
    /// A name that stands there twice.
    #[error("the connection string has `{0}` twice")]
    Twice(&'static str),
    /// The string of an IoT hub, which has no events in it.
    #[error(
        "this is the connection string of an IoT hub itself; expected the Event Hubs-compatible one of its built-in \
         endpoint"
    )]
    IotHub,
    /// Another service's.
    #[error("the connection string has no `Endpoint`; expected `Endpoint=sb://…`")]
    NoEndpoint,
    /// Not an address.
    #[error("`Endpoint` of the connection string is not `sb://` and a host")]
    Endpoint,
    /// Nothing to open the hub with.
    #[error(
        "the connection string needs `SharedAccessKeyName` and `SharedAccessKey`, or `SharedAccessSignature` alone"
    )]
    Proof,
    /// Not a signature that ends some time.
    #[error("`SharedAccessSignature` of the connection string is not `SharedAccessSignature sr=…&sig=…&se=…&skn=…`")]
    Signature,
    /// Neither true nor false.
    #[error("`UseDevelopmentEmulator` of the connection string is neither `true` nor `false`")]
    Emulator,
    /// Events and tokens would cross a network in clear.
    #[error("`UseDevelopmentEmulator=true` means plain text, which is for loopback addresses only")]
    PlainText,
}

const NAMES: [&str; 6] = [
    "Endpoint",
    "SharedAccessKeyName",
    "SharedAccessKey",
    "SharedAccessSignature",
    "EntityPath",
    "UseDevelopmentEmulator",
];

impl FromStr for ConnectionString {
    type Err = InvalidConnectionString;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut values: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        for (index, part) in text.split(';').enumerate() {
            if part.trim().is_empty() {
                continue;
            }
            // Only the first `=` separates: keys end in one.
            let (name, value) = part.split_once('=').ok_or(InvalidConnectionString::NotAPair(index + 1))?;
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("HostName") {
                return Err(InvalidConnectionString::IotHub);
            }
            let Some(known) = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)) else { continue };
            if values[known].is_some() {
                return Err(InvalidConnectionString::Twice(NAMES[known]));
            }
            values[known] = Some(value).filter(|value| !value.is_empty());
        }
        let [endpoint, key_name, key, signature, hub, emulator] = values;
        let (host, port) = host_and_port(endpoint.ok_or(InvalidConnectionString::NoEndpoint)?)?;
        let is_emulator = match emulator.map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(InvalidConnectionString::Emulator),
        };
        if is_emulator && !is_loopback(&host) {
            return Err(InvalidConnectionString::PlainText);
        }
        let proof = match (key_name, key, signature) {
            (Some(name), Some(key), None) => Proof::Key { name: name.to_owned(), key: key.into() },
            (None, None, Some(signature)) => Proof::Signature { expires: expiry(signature)?, token: signature.into() },
            _ => return Err(InvalidConnectionString::Proof),
        };
        Ok(Self { host, port, hub: hub.map(str::to_owned), proof, is_emulator })
    }
}

fn host_and_port(endpoint: &str) -> Result<(String, Option<u16>), InvalidConnectionString> {
    let url = Url::parse(endpoint).map_err(|_| InvalidConnectionString::Endpoint)?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    if !matches!(url.scheme(), "sb" | "amqps") || !is_plain || host.is_empty() || !matches!(url.path(), "" | "/") {
        return Err(InvalidConnectionString::Endpoint);
    }
    Ok((host, url.port()))
}

/// Whether a host, a name or an address, is this machine.
pub fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Ok(Host::Domain(name)) => name == "localhost",
        Err(_) => false,
    }
}

/// The `se` of a signature.
fn expiry(signature: &str) -> Result<SystemTime, InvalidConnectionString> {
    let fields = signature.strip_prefix("SharedAccessSignature ").ok_or(InvalidConnectionString::Signature)?;
    let field = |name: &str| form_urlencoded::parse(fields.as_bytes()).find(|(key, _)| key == name);
    let seconds = field("se").and_then(|(_, value)| value.parse().ok());
    match (field("sr"), field("sig"), seconds) {
        (Some(_), Some(_), Some(seconds)) => Ok(UNIX_EPOCH + Duration::from_secs(seconds)),
        _ => Err(InvalidConnectionString::Signature),
    }
}

impl ConnectionString {
    /// Host name of the namespace, in lower case.
    pub fn namespace(&self) -> &str {
        &self.host
    }

    /// `EntityPath`: the hub, when the string names one. It wins over any other
    /// setting, as in the Functions host (functions-eventhubs-keda.md 2.1).
    pub fn hub(&self) -> Option<&str> {
        self.hub.as_deref()
    }

    /// Whether it is spoken to in plain text, on loopback.
    pub fn is_emulator(&self) -> bool {
        self.is_emulator
    }

    /// What to dial.
    pub fn address(&self) -> (&str, u16) {
        let port = self.port.unwrap_or(if self.is_emulator { 5672 } else { 5671 });
        (self.host.trim_matches(['[', ']']), port)
    }

    /// What tokens are for: `sb://`, the host and the hub. It covers all below
    /// the hub, so a connection needs one token.
    pub fn audience(&self, hub: &str) -> String {
        format!("sb://{}/{hub}", self.host).to_lowercase()
    }

    /// A token for `audience` that holds from `now` for `lifetime`; a signature
    /// that the string itself has is given as it is (functions-eventhubs-keda.md
    /// 7.2).
    pub fn token(&self, audience: &str, now: SystemTime, lifetime: Duration) -> SasToken {
        let (name, key) = match &self.proof {
            Proof::Signature { token, expires } => return SasToken { token: token.clone(), expires: *expires },
            Proof::Key { name, key } => (name, key),
        };
        let seconds = (now + lifetime).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let audience = encode(audience);
        let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
        let signature = hmac::sign(&hmac_key, format!("{audience}\n{seconds}").as_bytes());
        let signature = encode(&BASE64_STANDARD.encode(signature));
        let token = format!("SharedAccessSignature sr={audience}&sig={signature}&se={seconds}&skn={}", encode(name));
        SasToken { token: token.into(), expires: UNIX_EPOCH + Duration::from_secs(seconds) }
    }

    /// Whether [`ConnectionString::token`] can make newer ones.
    pub fn is_renewable(&self) -> bool {
        matches!(self.proof, Proof::Key { .. })
    }
}

/// The string with `…` for its secret.
impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint=sb://{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match &self.proof {
            Proof::Key { name, .. } => write!(f, ";SharedAccessKeyName={name};SharedAccessKey=…")?,
            Proof::Signature { .. } => f.write_str(";SharedAccessSignature=…")?,
        }
        if let Some(hub) = &self.hub {
            write!(f, ";EntityPath={hub}")?;
        }
        if self.is_emulator {
            f.write_str(";UseDevelopmentEmulator=true")?;
        }
        Ok(())
    }
}

/// As [`fmt::Display`].
impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionString({self})")
    }
}

/// Without the token.
impl fmt::Debug for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SasToken").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Endpoint=sb://NS1.servicebus.windows.net/;SharedAccessKeyName=read;SharedAccessKey=s3cret=";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let outcome = match text.parse::<ConnectionString>() {
            Ok(string) => {
                let (host, port) = string.address();
                format!("{host}:{port} {}", string.hub().unwrap_or("-"))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(outcome, expected, "{text}");
    }

    #[test]
    fn reads_what_the_portal_gives() {
        check(GOOD, "ns1.servicebus.windows.net:5671 -");
        check(&format!("{GOOD};EntityPath=devicedata"), "ns1.servicebus.windows.net:5671 devicedata");
        check(&format!(" {GOOD} ; entitypath = devicedata ;"), "ns1.servicebus.windows.net:5671 devicedata");
        let signed = "Endpoint=sb://ns1;SharedAccessSignature=SharedAccessSignature sr=a&sig=b%3d&se=1700000000&skn=n";
        check(signed, "ns1:5671 -");
        let emulator = "SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true";
        check(&format!("Endpoint=sb://localhost;{emulator}"), "localhost:5672 -");
        check(&format!("Endpoint=sb://127.0.0.1:5673/;{emulator}"), "127.0.0.1:5673 -");
        check(&format!("Endpoint=sb://[::1]:5673/;{emulator}"), "::1:5673 -");
    }

    #[test]
    fn says_what_is_wrong_and_no_secret() {
        let expected_proof =
            "the connection string needs `SharedAccessKeyName` and `SharedAccessKey`, or `SharedAccessSignature` alone";
        let cases = [
            ("", "the connection string has no `Endpoint`; expected `Endpoint=sb://…`"),
            ("s3cret", "part 1 of the connection string is not `name=value`"),
            (
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=s3cret",
                "the connection string has no `Endpoint`; expected `Endpoint=sb://…`",
            ),
            (
                "HostName=h.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=s3cret",
                "this is the connection string of an IoT hub itself; expected the Event Hubs-compatible one of its built-in endpoint",
            ),
            (
                "Endpoint=https://s3cret/;SharedAccessKeyName=n;SharedAccessKey=s3cret",
                "`Endpoint` of the connection string is not `sb://` and a host",
            ),
            ("Endpoint=sb://h;SharedAccessKey=s3cret", expected_proof),
            ("Endpoint=sb://h;SharedAccessKeyName=s3cret", expected_proof),
            ("Endpoint=sb://h", expected_proof),
            (
                "Endpoint=sb://h;SharedAccessKey=s3cret;SharedAccessKey=s3cret",
                "the connection string has `SharedAccessKey` twice",
            ),
            (
                "Endpoint=sb://h;SharedAccessSignature=s3cret",
                "`SharedAccessSignature` of the connection string is not `SharedAccessSignature sr=…&sig=…&se=…&skn=…`",
            ),
            (
                "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=s3cret;UseDevelopmentEmulator=s3cret",
                "`UseDevelopmentEmulator` of the connection string is neither `true` nor `false`",
            ),
            (
                "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=s3cret;UseDevelopmentEmulator=true",
                "`UseDevelopmentEmulator=true` means plain text, which is for loopback addresses only",
            ),
        ];
        for (text, expected) in cases {
            check(text, expected);
            assert!(!expected.contains("s3cret"));
        }
    }

    #[test]
    fn is_never_printed_with_its_key() {
        let string: ConnectionString = format!("{GOOD};EntityPath=hub").parse().unwrap();
        let expected =
            "Endpoint=sb://ns1.servicebus.windows.net;SharedAccessKeyName=read;SharedAccessKey=…;EntityPath=hub";
        assert_eq!(string.to_string(), expected);
        assert_eq!(format!("{string:?}"), format!("ConnectionString({expected})"));
        let token = string.token("sb://h/hub", UNIX_EPOCH, Duration::from_secs(60));
        assert!(!format!("{token:?}").contains("sig"));
    }

    /// The expected signature was computed with OpenSSL:
    /// `printf 'sb%%3A%%2F%%2Fns1.servicebus.windows.net%%2Fhub\n3600' | openssl dgst -sha256 -hmac 's3cret=' -binary | base64`.
    #[test]
    fn signs_as_the_service_does() {
        let string: ConnectionString = GOOD.parse().unwrap();
        let audience = string.audience("Hub");
        let signed = string.token(&audience, UNIX_EPOCH, Duration::from_secs(3600));
        assert_eq!(
            signed.token.expose_secret(),
            "SharedAccessSignature sr=sb%3A%2F%2Fns1.servicebus.windows.net%2Fhub&sig=lmMYttGsRct2w81iYzRUjK8%2F79FpsvIIyko6sCrKOq0%3D&se=3600&skn=read"
        );
        assert_eq!(signed.expires, UNIX_EPOCH + Duration::from_secs(3600));
    }
}
