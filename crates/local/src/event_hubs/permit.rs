//! What a link may do, and until when.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fe2o3_amqp::types::definitions::{AmqpError, Error};
use tokio::sync::watch;

use super::access::{Access, Right};
use super::connection::error;
use super::store::Hub;
use super::tokens::{SharedAccessKeys, Tokens};

/// A link's use of a hub.
#[derive(Clone, Debug)]
pub struct Permit {
    /// What opens all hubs.
    pub keys: SharedAccessKeys,
    /// What the connection has shown.
    pub tokens: Arc<Tokens>,
    /// The hub.
    pub hub: Arc<Hub>,
    /// The consumer group, of a link that receives.
    pub group: Option<String>,
    /// What is used, as tokens name it: `hub/Partitions/0`.
    pub entity: String,
    /// To do what.
    pub right: Right,
}

impl Permit {
    /// Whether the link may be used now, and if so for how long still, unless
    /// something changes; without end where no token is wanted.
    pub fn check(&self) -> Result<Option<Duration>, Error> {
        self.check_of(&self.hub.access())
    }

    /// Waits until the link may not be used any more, and says why.
    pub async fn lost(&self) -> Error {
        let (mut access, mut shown) = (self.hub.watch(), self.tokens.shown());
        loop {
            let checked = self.check_of(&access.borrow_and_update());
            let left = match checked {
                Ok(left) => left,
                Err(error) => return error,
            };
            tokio::select! {
                () = sleep(left) => {}
                changed = changed(&mut access) => changed,
                // The sender is in `tokens`, which this holds.
                _ = shown.changed() => {}
            }
        }
    }

    fn check_of(&self, access: &Access) -> Result<Option<Duration>, Error> {
        if access.is_removed {
            return Err(error(AmqpError::ResourceDeleted, format!("the hub `{}` was removed", access.name)));
        }
        if let Some(group) = self.group.as_deref().filter(|group| !access.has_consumer_group(group)) {
            let hub = &access.name;
            return Err(error(AmqpError::NotFound, format!("hub `{hub}` has no consumer group `{group}`")));
        }
        let Some(rules) = self.keys.wanted(Some(access)) else { return Ok(None) };
        let refused = |why: String| error(AmqpError::UnauthorizedAccess, why);
        let Some(end) = self.tokens.end(&rules, &self.entity, Some(self.right)) else {
            return Err(refused(format!("no token that is good for {:?} on `{}`", self.right, self.entity)));
        };
        let left = end.duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero());
        left.map(Some).ok_or_else(|| refused("the token has ended".to_owned()))
    }
}

async fn sleep(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Returns when it has changed. The sender is in the hub, which the permit holds.
async fn changed(access: &mut watch::Receiver<Access>) {
    if access.changed().await.is_err() {
        std::future::pending().await
    }
}
