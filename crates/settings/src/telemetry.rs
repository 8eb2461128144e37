//! What a function tells of itself, as far as app settings say it. What is for
//! OpenTelemetry and the log comes from the standard variables, which the
//! `telemetry` package reads.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::Checks;

/// `Telemetry__…` as it is; flatten this into a function's settings.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TelemetrySettings {
    /// `Telemetry__PrometheusPort`.
    #[serde(rename = "telemetry__prometheusport")]
    pub prometheus_port: Option<String>,
    /// `Telemetry__PrometheusAddress`.
    #[serde(rename = "telemetry__prometheusaddress")]
    pub prometheus_address: Option<String>,
    /// `Telemetry__ShapesPerMinute`.
    #[serde(rename = "telemetry__shapesperminute")]
    pub shapes_a_minute: Option<String>,
}

/// `Telemetry__…`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelemetryOptions {
    /// Where `GET /metrics` is answered, if anywhere.
    pub prometheus: Option<SocketAddr>,
    /// How many shapes of unmatched events are logged a minute at most.
    pub shapes_a_minute: u32,
}

impl TelemetrySettings {
    /// Checks the settings.
    pub fn check(self, checks: &mut Checks) -> TelemetryOptions {
        let shapes = checks.number("Telemetry__ShapesPerMinute", self.shapes_a_minute, 0..=1000, 10);
        TelemetryOptions {
            prometheus: prometheus(self.prometheus_address, self.prometheus_port, checks),
            shapes_a_minute: u32::try_from(shapes).unwrap_or(u32::MAX),
        }
    }
}

/// Where metrics are shown: nowhere without a port, and on loopback unless an
/// address is given, since whoever reaches it can read it.
fn prometheus(address: Option<String>, port: Option<String>, checks: &mut Checks) -> Option<SocketAddr> {
    const ADDRESS: &str = "an IP address such as `0.0.0.0`";
    let parse = |text: &str| text.parse::<IpAddr>().ok();
    let address = checks.optional("Telemetry__PrometheusAddress", address, ADDRESS, parse);
    let parse = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let port = checks.optional("Telemetry__PrometheusPort", port, "a port number from 1 to 65535", parse)?;
    Some(SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_metrics_on_loopback_unless_told_otherwise() {
        let cases = [
            (None, None, Ok(None)),
            (Some("0.0.0.0"), None, Ok(None)),
            (None, Some("9464"), Ok(Some("127.0.0.1:9464"))),
            (Some("0.0.0.0"), Some("9464"), Ok(Some("0.0.0.0:9464"))),
            (Some("::"), Some("9464"), Ok(Some("[::]:9464"))),
            (
                Some("pod"),
                Some("9464"),
                Err("app setting `Telemetry__PrometheusAddress` is `pod`; expected an IP address such as `0.0.0.0`"),
            ),
            (
                None,
                Some("0"),
                Err("app setting `Telemetry__PrometheusPort` is `0`; expected a port number from 1 to 65535"),
            ),
        ];
        for (address, port, expected) in cases {
            let mut checks = Checks::default();
            let settings = TelemetrySettings {
                prometheus_address: address.map(str::to_owned),
                prometheus_port: port.map(str::to_owned),
                shapes_a_minute: None,
            };
            let options = settings.check(&mut checks);
            let shown = checks.finish(Some(options.prometheus.map(|at| at.to_string())));
            let expected = expected.map(|at| at.map(str::to_owned)).map_err(str::to_owned);
            assert_eq!(shown.map_err(|error| error.to_string()), expected);
        }
    }
}
