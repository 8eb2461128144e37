//! A stand-in for Azure Resource Manager, as far as the resource provider speaks
//! with it: for tests; loopback only, everything in memory.
//!
//! ```text
//! GET PUT PATCH DELETE  {id}?api-version=          resources, and lists of them
//! POST                  {id}/{action}?api-version= keys of rules
//! GET                   /operations/{n}            what goes on
//! ```
//!
//! It knows the types of `kinds`, the versions of each, what a body needs and
//! what has to be there before. What takes Azure time takes some looks here, and
//! no time: an operation ends when it has been looked at so often. Faults come
//! when a test asks for them.

mod address;
mod faults;
mod handle;
mod http;
mod kinds;
mod state;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use serde_json::Value;

pub use self::faults::{Fault, FaultKind};
use self::state::Held;
use crate::identity::{Https, IdentityError, PrivateCa};

/// Who may call, by bearer token.
type MayCall = dyn Fn(&str) -> bool + Send + Sync;

/// A running stand-in. Gone when it is dropped.
#[derive(Debug)]
pub struct ResourceManager {
    https: Https,
    shared: Arc<Shared>,
}

struct Shared {
    may_call: Box<MayCall>,
    state: Mutex<Held>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResourceManager {
    /// An empty one for whoever `may_call`.
    pub async fn start(
        ca: &PrivateCa,
        may_call: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<ResourceManager, IdentityError> {
        let shared = Arc::new(Shared { may_call: Box::new(may_call), state: Mutex::default() });
        let https = Https::start(ca, Router::new().fallback(http::answer).with_state(shared.clone())).await?;
        Ok(ResourceManager { https, shared })
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.https.url()
    }

    /// A resource that is there without anybody having made it here: a cluster,
    /// a vault, a FHIR service, a group.
    pub fn put_existing(&self, id: &str, body: Value) {
        self.shared.state().put_existing(id, body);
    }

    /// A resource, as it is now.
    pub fn resource(&self, id: &str) -> Option<Value> {
        self.shared.state().resource(id)
    }

    /// The ids of what was made, in lower case; not of what was there before.
    pub fn made(&self) -> BTreeSet<String> {
        self.shared.state().made()
    }

    /// How many requests have changed something, or would have.
    pub fn write_count(&self) -> usize {
        self.shared.state().write_count
    }

    /// What a caller needs the right for, for what has been asked so far:
    /// `Microsoft.EventHub/namespaces/write`.
    pub fn actions(&self) -> BTreeSet<String> {
        self.shared.state().actions.clone()
    }

    /// How often an operation is looked at before it has ended, from now on.
    pub fn set_looks(&self, looks: u32) {
        self.shared.state().looks = looks;
    }

    /// Lets requests fail from now on.
    pub fn fail(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Forgets the faults that nothing has met.
    pub fn calm(&self) {
        self.shared.state().faults.clear();
    }
}
