//! The API in the words of OpenAPI 3.0, from the table that routes requests, so
//! that the two cannot differ.
//!
//! ```text
//! arm::ResourceType --paths--> each path, method and version
//!                   --schemas--> bodies
//! ```
//!
//! `docs/openapi.json` is what comes of it. Aliases (`workspace`, `iomtconnector`,
//! letter case) are taken and not told: there is one way to write each path.

mod paths;
mod schemas;

use serde_json::{Value, json};

/// The whole document.
pub fn document() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "IoT Connector for FHIR: resource provider",
            "description": "What Azure Resource Manager, and who stands for it, asks of the provider \
                            Microsoft.HealthcareApis: connectors of both generations.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT" },
        },
        "servers": [{
            "url": "https://{host}",
            "description": "Azure Resource Manager, or the provider where nothing stands in front.",
            "variables": { "host": { "default": "management.azure.com" } },
        }],
        "security": [{ "entra": [] }],
        "paths": paths::all(),
        "components": {
            "schemas": schemas::all(),
            "responses": paths::responses(),
            "headers": paths::headers(),
            "parameters": paths::parameters(),
            "securitySchemes": {
                "entra": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    })
}

/// A part of the document, by its kind and name.
fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// Another schema.
fn schema(name: &str) -> Value {
    reference("schemas", name)
}
