//! The document of a subscription (resource-provider.md 2.14).

use arm::state::SubscriptionState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What ARM last said of a subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionDocument {
    /// Where it stands.
    pub state: SubscriptionState,
    /// Everything else, kept and given back.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
