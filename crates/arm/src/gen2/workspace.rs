//! Workspaces: what connectors share (resource-provider.md 4.2).

use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::error::{ArmError, ErrorCode};

/// Which cluster the connectors of a workspace run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sku {
    /// The region's, shared with others.
    #[default]
    Consumption,
    /// One of the workspace's own.
    Dedicated,
}

/// Whether it can be reached from public networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicNetworkAccess {
    /// It can.
    #[default]
    Enabled,
    /// It cannot.
    Disabled,
}

/// What a customer says of a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// Which cluster. Outside `properties`, as ARM has it.
    pub sku: Sku,
    /// Given back and not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Given back.
    pub public_network_access: PublicNetworkAccess,
}

#[derive(Deserialize)]
struct AskedSku {
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    public_network_access: Option<String>,
}

impl Workspace {
    /// Reads it from a body.
    ///
    /// # Errors
    ///
    /// `InvalidPropertyValue`, `InvalidRequestContent`.
    pub fn read(body: &Body) -> Result<Workspace, ArmError> {
        let sku: Option<AskedSku> = body.read_member("sku")?;
        let sku = match sku.and_then(|sku| sku.name).as_deref() {
            None => Sku::default(),
            Some(name) if name.eq_ignore_ascii_case("Consumption") => Sku::Consumption,
            Some(name) if name.eq_ignore_ascii_case("Dedicated") => Sku::Dedicated,
            Some(_) => {
                let message = "`sku.name` has to be `Consumption` or `Dedicated`.";
                return Err(ArmError::at(ErrorCode::InvalidPropertyValue, "sku.name", message));
            }
        };
        let asked: Asked = body.read_properties()?;
        let public_network_access = match asked.public_network_access.as_deref() {
            None => PublicNetworkAccess::default(),
            Some(text) if text.eq_ignore_ascii_case("Enabled") => PublicNetworkAccess::Enabled,
            Some(text) if text.eq_ignore_ascii_case("Disabled") => PublicNetworkAccess::Disabled,
            Some(_) => {
                let message = "`publicNetworkAccess` has to be `Enabled` or `Disabled`.";
                let target = "properties.publicNetworkAccess";
                return Err(ArmError::at(ErrorCode::InvalidPropertyValue, target, message));
            }
        };
        Ok(Workspace { sku, kind: body.read_member("kind")?, public_network_access })
    }

    /// Checks a change: the SKU stays while there are connectors.
    ///
    /// # Errors
    ///
    /// `SkuChangeNotSupported`.
    pub fn check_change(&self, before: &Workspace, has_connectors: bool) -> Result<(), ArmError> {
        if self.sku == before.sku || !has_connectors {
            return Ok(());
        }
        let message = "The SKU cannot change while the workspace has connectors: they would have to move to another \
                       cluster.";
        Err(ArmError::at(ErrorCode::SkuChangeNotSupported, "sku.name", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Workspace, ErrorCode> {
        Workspace::read(&Body::read(text.as_bytes()).unwrap()).map_err(|error| error.code)
    }

    #[test]
    fn what_is_absent_takes_its_default() {
        assert_eq!(read("{}"), Ok(Workspace::default()));
        let dedicated =
            read(r#"{"sku":{"name":"dedicated"},"kind":"fhir-R4","properties":{"publicNetworkAccess":"disabled"}}"#);
        assert_eq!(
            dedicated,
            Ok(Workspace {
                sku: Sku::Dedicated,
                kind: Some("fhir-R4".into()),
                public_network_access: PublicNetworkAccess::Disabled,
            })
        );
    }

    #[test]
    fn other_values_are_refused() {
        assert_eq!(read(r#"{"sku":{"name":"Free"}}"#), Err(ErrorCode::InvalidPropertyValue));
        assert_eq!(read(r#"{"sku":"Free"}"#), Err(ErrorCode::InvalidRequestContent));
        assert_eq!(read(r#"{"properties":{"publicNetworkAccess":"Maybe"}}"#), Err(ErrorCode::InvalidPropertyValue));
    }

    #[test]
    fn the_sku_stays_while_there_are_connectors() {
        let (consumption, dedicated) =
            (Workspace::default(), Workspace { sku: Sku::Dedicated, ..Workspace::default() });
        assert_eq!(dedicated.check_change(&consumption, false), Ok(()));
        assert_eq!(consumption.check_change(&consumption, true), Ok(()));
        let refused = dedicated.check_change(&consumption, true).unwrap_err();
        assert_eq!(refused.code, ErrorCode::SkuChangeNotSupported);
    }
}
