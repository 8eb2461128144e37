//! The hosts that the lag server connects to, as the platform allows them.
//!
//! A spec names hosts, and whoever writes specs stands elsewhere in the network
//! than the operator does. So a host is checked before anything is opened or
//! resolved, and an address that nobody listed is none: neither loopback nor the
//! cluster nor a metadata service.

use std::str::FromStr;

use url::{Host, Url};

/// Event Hubs, storage, key vaults and logins of Azure, public and sovereign:
/// addresses that Microsoft gives names to.
pub const AZURE: [&str; 13] = [
    "*.servicebus.windows.net",
    "*.servicebus.usgovcloudapi.net",
    "*.servicebus.chinacloudapi.cn",
    "*.blob.core.windows.net",
    "*.blob.storage.azure.net",
    "*.blob.core.usgovcloudapi.net",
    "*.blob.core.chinacloudapi.cn",
    "*.vault.azure.net",
    "*.vault.usgovcloudapi.net",
    "*.vault.azure.cn",
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
];

/// One host, or all below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// In lower case, as an address writes it; of a domain from its dot on.
    name: String,
    is_domain: bool,
    /// Whether it may be spoken to without TLS.
    is_plain: bool,
}

/// A text that allows no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no host to allow; expected a host such as `hub.example.com`, all below a domain such as \
     `*.servicebus.windows.net`, or a host without TLS such as `http://127.0.0.1`"
)]
pub struct InvalidHost(String);

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<AllowedHost, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        let plain = text.strip_prefix("http://").or_else(|| text.strip_prefix("amqp://"));
        let (named, is_plain) = (plain.unwrap_or(text), plain.is_some());
        let domain = named.strip_prefix("*.");
        let name = host(domain.unwrap_or(named)).ok_or_else(invalid)?;
        Ok(match domain {
            None => AllowedHost { name, is_domain: false, is_plain },
            // All below a top level, or below part of an IP address, is never meant.
            Some(_) if !name.contains('.') || name.parse::<std::net::Ipv4Addr>().is_ok() => return Err(invalid()),
            Some(_) => AllowedHost { name: format!(".{name}"), is_domain: true, is_plain },
        })
    }
}

/// A host as addresses write it; none for anything more than a host.
fn host(text: &str) -> Option<String> {
    match Host::parse(text).ok()? {
        // What `Host` lets pass goes no further than these.
        Host::Domain(name) => name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte))
            .then_some(name),
        address => Some(address.to_string()),
    }
}

/// Where the lag server may connect to.
#[derive(Clone, Debug)]
pub struct AllowedHosts(Vec<AllowedHost>);

impl AllowedHosts {
    /// These and no others.
    pub fn new(hosts: Vec<AllowedHost>) -> AllowedHosts {
        AllowedHosts(hosts)
    }

    /// Whether the host of an address may be spoken to as its scheme says.
    pub fn allows(&self, address: &Url) -> bool {
        let is_plain = match address.scheme() {
            "https" | "amqps" | "sb" => false,
            "http" | "amqp" => true,
            _ => return false,
        };
        address.host_str().is_some_and(|host| self.allows_host(host, is_plain))
    }

    /// Whether a host may be spoken to.
    pub fn allows_host(&self, name: &str, is_plain: bool) -> bool {
        let Some(name) = host(name) else { return false };
        self.0.iter().any(|allowed| {
            let is_meant = if allowed.is_domain { name.ends_with(&allowed.name) } else { name == allowed.name };
            is_meant && (allowed.is_plain || !is_plain)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(texts: &[&str]) -> AllowedHosts {
        AllowedHosts::new(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn allows_azure_and_nothing_beside_it() {
        let azure = allowed(&AZURE);
        let cases = [
            ("https://s.blob.core.windows.net/c?sig=x", true),
            ("https://S.Blob.Core.Windows.Net/c", true),
            ("https://s.z07.blob.storage.azure.net/c", true),
            ("amqps://n.servicebus.windows.net", true),
            ("https://v.vault.usgovcloudapi.net/certificates/c", true),
            ("https://login.microsoftonline.com/t", true),
            // Plain text, to whomever.
            ("http://s.blob.core.windows.net/c", false),
            ("amqp://n.servicebus.windows.net", false),
            // The cluster, this machine, a metadata service: however it is written.
            ("https://kubernetes.default.svc", false),
            ("https://10.0.0.1/c", false),
            ("http://127.0.0.1:10000/devstoreaccount1/c", false),
            ("https://[::1]/c", false),
            ("https://localhost/c", false),
            ("http://169.254.169.254/metadata", false),
            ("https://0x7f000001/c", false),
            // What looks like Azure.
            ("https://s.blob.core.windows.net@evil.example.com/c", false),
            ("https://evil.example.com/s.blob.core.windows.net", false),
            ("https://evilblob.core.windows.net/c", false),
            ("https://blob.core.windows.net.evil.example.com/c", false),
            ("https://evil.login.microsoftonline.com/t", false),
            ("https://servicebus.windows.net", false),
            ("ftp://s.blob.core.windows.net/c", false),
        ];
        for (address, expected) in cases {
            assert_eq!(azure.allows(&address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_name_is_a_host_and_no_more() {
        let azure = allowed(&AZURE);
        assert!(azure.allows_host("N.servicebus.windows.net", false));
        for name in [
            "evil.example.com/.servicebus.windows.net",
            "evil.example.com#.servicebus.windows.net",
            "evil.example.com:5671@n.servicebus.windows.net",
            "n.servicebus.windows.net:443",
            "",
            ".servicebus.windows.net/",
        ] {
            assert!(!azure.allows_host(name, false), "{name}");
        }
    }

    #[test]
    fn what_is_listed_is_allowed_and_without_tls_only_so() {
        let listed = allowed(&["hub.example.com", "http://127.0.0.1", "amqp://[::1]", "*.svc.example.com", "10.1.2.3"]);
        let cases = [
            ("amqps://hub.example.com:5671", true),
            ("amqp://hub.example.com", false),
            ("https://a.hub.example.com", false),
            ("http://127.0.0.1:10000/a/c", true),
            ("amqp://127.0.0.1:5672", true),
            ("https://127.0.0.1/c", true),
            ("http://127.0.0.2/c", false),
            ("amqp://[::1]:5672", true),
            ("https://a.b.svc.example.com", true),
            ("https://10.1.2.3/c", true),
            ("http://10.1.2.3/c", false),
            ("https://s.blob.core.windows.net/c", false),
        ];
        for (address, expected) in cases {
            assert_eq!(listed.allows(&address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn refuses_what_allows_too_much_or_nothing() {
        for text in
            ["", "*", "*.", "*.net", "*.0.0.1", "https://a.example.com", "a.example.com/x", "a b", "http://", "a:1"]
        {
            assert_eq!(text.parse::<AllowedHost>(), Err(InvalidHost(text.to_owned())));
        }
    }
}
