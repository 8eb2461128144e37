//! The platform's values for a chart, checked at the start.
//!
//! They lie under every spec: a name that the chart does not know would make
//! every resource an `InvalidSpec`, and its user look for a mistake that is not
//! theirs. So the chart's schema judges them before anything is reconciled, laid
//! over the chart's own values, which a spec replaces.

use std::path::Path;

use anyhow::{Context, bail};
use custom_resources::Charted;
use custom_resources::error_text::error_text;
use custom_resources::values;
use serde_json::Value;

use crate::chart::{Charts, RenderError};

/// Reads a file of values; none is as good as an empty one.
pub fn read(file: Option<&Path>) -> anyhow::Result<Value> {
    let Some(file) = file else { return Ok(Value::Object(serde_json::Map::new())) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    values::read(&text).with_context(|| format!("{} holds no values", file.display()))
}

/// Whether the chart of a resource knows the values of the platform, which has
/// them as `name`.
///
/// Only the schema says no for certain. What belongs together may be right with
/// what specs say, so of that there is a warning, as there is when Helm cannot be
/// run: the resources will say so too.
pub async fn check<K: Charted>(charts: &Charts, defaults: &Value, name: &str) -> anyhow::Result<()> {
    match charts.render(K::CHART, "default", "example", defaults).await {
        Ok(_) => {}
        Err(RenderError::Refused { message, by_schema: true }) => {
            bail!("the chart {} does not take the platform's `{name}`: {message}", K::CHART)
        }
        Err(error) => {
            let error = error_text(&error);
            tracing::warn!(error, chart = K::CHART, values = name, "The platform's values could not be checked");
        }
    }
    Ok(())
}

/// Refuses a secret among the values of all connectors: a token that one of them
/// knows would open all others, and whoever views the operator's Deployment has it.
pub fn refuse_secrets(connector_values: &Value) -> anyhow::Result<()> {
    for path in ["/ingest/http/tokenValue", "/scaling/operator/tokenValue", "/scaling/operator/clientKey"] {
        if connector_values.pointer(path).is_some_and(|value| !value.is_null() && value != "") {
            let name = path.trim_start_matches('/').replace('/', ".");
            bail!("the platform's `connectorValues` have `{name}`, which would be the same for all connectors");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_token_for_all() {
        let token = serde_json::json!({"ingest": {"http": {"tokenValue": "5ecret", "token": {}}}});
        let error = refuse_secrets(&token).unwrap_err().to_string();
        assert!(error.contains("`ingest.http.tokenValue`") && !error.contains("5ecret"), "{error}");
        let none = serde_json::json!({"ingest": {"http": {"tokenValue": "", "token": {"secretName": "s"}}}});
        refuse_secrets(&none).unwrap();
    }

    #[test]
    fn reads_no_file_as_no_values() {
        assert_eq!(read(None).unwrap(), serde_json::json!({}));
        let error = read(Some(Path::new("/nonexistent/values.yaml"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/values.yaml"), "{error:#}");
    }
}
