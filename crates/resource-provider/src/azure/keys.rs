//! [`Keys`]: those of the rules on the hubs that Gen1 devices send to. They go
//! from Azure's answer into ours, and nowhere else.

use arm::ErrorCode;
use arm::gen1::{ConnectionKeys, KeyType};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AzurePorts;
use super::resource_manager::Target;
use super::resources::{EVENT_HUBS, rule_id};
use crate::ports::{ConnectionRule, Keys, PortError};

/// What Event Hubs answers. Does not print itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    primary_key: String,
    secondary_key: String,
    primary_connection_string: String,
    secondary_connection_string: String,
}

impl AzurePorts {
    async fn ask(
        &self,
        rule: ConnectionRule<'_>,
        action: &str,
        body: Option<&Value>,
    ) -> Result<ConnectionKeys, PortError> {
        let connector = rule.connector;
        let (Some(place), Some(hub)) = (&connector.scale, &connector.infrastructure.device_hub_name) else {
            return Err(PortError::permanent(
                ErrorCode::EventHubProvisioningFailed,
                "the connector has no hub for devices",
            ));
        };
        let id = rule_id(place, hub, rule.connection);
        let target = Target { id: &id, version: EVENT_HUBS };
        let answer = self.resource_manager.post(target, action, body).await;
        let answer = answer.map_err(|failure| failure.port(ErrorCode::EventHubProvisioningFailed))?;
        let unreadable = |_| {
            PortError::permanent(ErrorCode::EventHubProvisioningFailed, "the answer about a rule's keys cannot be read")
        };
        let Answered { primary_key, secondary_key, primary_connection_string, secondary_connection_string } =
            serde_json::from_value(answer).map_err(unreadable)?;
        Ok(ConnectionKeys {
            key_name: rule.connection.to_owned(),
            primary_key,
            secondary_key,
            primary_connection_string,
            secondary_connection_string,
        })
    }
}

#[async_trait]
impl Keys for AzurePorts {
    async fn list(&self, rule: ConnectionRule<'_>) -> Result<ConnectionKeys, PortError> {
        self.ask(rule, "listKeys", None).await
    }

    async fn regenerate(&self, rule: ConnectionRule<'_>, key: KeyType) -> Result<ConnectionKeys, PortError> {
        self.ask(rule, "regenerateKeys", Some(&json!({ "keyType": key.as_str() }))).await
    }
}
