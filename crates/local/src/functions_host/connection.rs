//! From the name of a connection to an address (functions-eventhubs-keda.md 2.2).
//!
//! This host reaches the Event Hubs stand-in only, by plain AMQP on loopback.
//! It is named by a connection string with `UseDevelopmentEmulator=true`, or by
//! a `fullyQualifiedNamespace`, which may have a port, with the real address in
//! host.json's `customEndpointAddress`.

use crate::functions_host::settings::{SettingError, Settings};

/// The port of plain AMQP.
const AMQP_PORT: u16 = 5672;

/// A hub that can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubAddress {
    /// As checkpoints name it: without a port.
    pub namespace: String,
    /// The hub; the connection string's `EntityPath` wins over function.json.
    pub hub: String,
    /// `host:port`.
    pub address: String,
}

/// Resolves the connection `name` for a trigger on `hub`.
pub(super) fn resolve(
    settings: &Settings,
    name: &str,
    hub: &str,
    custom_endpoint: Option<&str>,
) -> Result<HubAddress, SettingError> {
    // `AzureWebJobs` may stand in front of any connection's name.
    let text = settings.get(&format!("AzureWebJobs{name}")).or_else(|| settings.get(name));
    let namespace = settings.get(&format!("{name}__fullyQualifiedNamespace"));
    let (endpoint, entity_path) = match (text, namespace) {
        (Some(text), _) => from_connection_string(name, text)?,
        (None, Some(namespace)) => (namespace.to_owned(), None),
        (None, None) => {
            let expected = "a connection string, or `__fullyQualifiedNamespace` beside it";
            return Err(SettingError::value("the app settings", name, None, expected));
        }
    };
    let hub = entity_path.unwrap_or_else(|| hub.to_owned());
    if hub.is_empty() {
        let expected = "the name of a hub, there or as `EntityPath` of the connection string";
        return Err(SettingError::value("function.json", "eventHubName", None, expected));
    }
    let namespace = host_of(&endpoint).0.to_owned();
    let (host, port) = host_of(custom_endpoint.unwrap_or(&endpoint));
    let host = if host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
    let is_loopback = host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback());
    if !is_loopback {
        let expected = "a namespace on loopback; this host stand-in reaches the Event Hubs stand-in only";
        return Err(SettingError::value("the app settings", name, Some(&namespace), expected));
    }
    Ok(HubAddress { namespace, hub, address: format!("{host}:{port}") })
}

/// Endpoint and entity path. The text has a key in it, so it is never shown.
fn from_connection_string(name: &str, text: &str) -> Result<(String, Option<String>), SettingError> {
    let part = |wanted: &str| {
        text.split(';').filter_map(|part| part.split_once('=')).find(|(key, _)| key.trim().eq_ignore_ascii_case(wanted))
    };
    let value = |wanted| part(wanted).map(|(_, value)| value.trim()).filter(|value| !value.is_empty());
    let missing = || SettingError::value("the app settings", name, Some("…"), "a connection string with `Endpoint`");
    let endpoint = value("Endpoint").ok_or_else(missing)?;
    Ok((endpoint.to_owned(), value("EntityPath").map(str::to_owned)))
}

/// Host and port out of `sb://host:port/`, `host:port` or `host`.
fn host_of(endpoint: &str) -> (&str, u16) {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(AMQP_PORT)),
        None => (authority, AMQP_PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pairs: &[(&str, &str)], custom: Option<&str>, expected: &str) {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let outcome = match resolve(&Settings::new(&environment), "Input", "hub", custom) {
            Ok(HubAddress { namespace, hub, address }) => format!("{namespace} {hub} {address}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn resolves_connections() {
        let emulator =
            "Endpoint=sb://localhost:5673/;SharedAccessKeyName=n;SharedAccessKey=k=;UseDevelopmentEmulator=true";
        check(&[("Input", emulator)], None, "localhost hub 127.0.0.1:5673");
        check(&[("Input", &format!("{emulator};EntityPath=other"))], None, "localhost other 127.0.0.1:5673");
        check(&[("Input__fullyQualifiedNamespace", "127.0.0.1")], None, "127.0.0.1 hub 127.0.0.1:5672");
        let namespace = [("Input__fullyQualifiedNamespace", "NS1.servicebus.windows.net")];
        check(&namespace, Some("sb://127.0.0.1:9000"), "NS1.servicebus.windows.net hub 127.0.0.1:9000");
    }

    #[test]
    fn shows_no_key() {
        check(
            &[("Input", "SharedAccessKey=secret")],
            None,
            "`Input` of the app settings is `…`; expected a connection string with `Endpoint`",
        );
        check(
            &[("Input__fullyQualifiedNamespace", "ns1.servicebus.windows.net")],
            None,
            "`Input` of the app settings is `ns1.servicebus.windows.net`; expected a namespace on loopback; this host \
             stand-in reaches the Event Hubs stand-in only",
        );
    }
}
