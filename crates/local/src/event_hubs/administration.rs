//! Hubs, consumer groups and rules, made and removed while the stand-in runs:
//! what Azure Resource Manager does for the service.
//!
//! ```text
//! GET    /hubs                                              all, without keys
//! PUT    /hubs/{hub}                                        {"isOpen":false,"partitions":4}
//! DELETE /hubs/{hub}
//! PUT    /hubs/{hub}/consumergroups/{group}                 DELETE the same
//! PUT    /hubs/{hub}/authorizationrules/{rule}              {"rights":["Send"]}, DELETE the same
//! POST   /hubs/{hub}/authorizationrules/{rule}/listKeys
//! POST   /hubs/{hub}/authorizationrules/{rule}/regenerateKeys   {"keyType":"PrimaryKey"}
//! ```
//!
//! Each can be said again: a PUT of what is there changes nothing that it does
//! not name, a DELETE of what is not there succeeds. It listens on loopback and
//! wants the token in `STATE/.administration-token`, which the owner of the state
//! folder can read and nobody else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Path as Segments, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::{Access, KeyType, Right, Rule, write_private};
use super::store::{Store, StoreError};

/// Where the token is, in the state folder.
pub const TOKEN_FILE: &str = ".administration-token";

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// There is no such hub.
    #[error("there is no hub `{0}`")]
    NoHub(String),
    /// The hub has no such rule.
    #[error("hub `{hub}` has no rule `{rule}`")]
    NoRule {
        /// The hub.
        hub: String,
        /// The rule.
        rule: String,
    },
    /// A key could not be made.
    #[error("a key can't be made")]
    Key(#[source] io::Error),
    /// The hub can't be made, or the state folder can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is ending.
    #[error("the stand-in stops")]
    Stops,
}

/// The keys of a rule.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleKeys {
    /// The rule's name, as it was given.
    pub key_name: String,
    /// The first.
    pub primary_key: String,
    /// The second.
    pub secondary_key: String,
}

/// Without the keys.
impl std::fmt::Debug for RuleKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleKeys").field("key_name", &self.key_name).finish_non_exhaustive()
    }
}

/// Changes the hubs of a stand-in, also while it runs.
#[derive(Clone, Debug)]
pub struct Administration(Arc<Store>);

impl Administration {
    pub(super) fn of(store: Arc<Store>) -> Administration {
        Administration(store)
    }

    /// Makes a hub, of so many partitions or the default; one that is there keeps
    /// its partitions. Anyone may use an open one.
    pub async fn put_hub(&self, name: &str, partitions: Option<u16>, is_open: bool) -> Result<(), AdministrationError> {
        let name = name.to_owned();
        self.on_disk(move |store| Ok(store.make(&name, partitions, is_open).map(drop)?)).await
    }

    /// Removes a hub with its events; whoever uses it is cut off.
    pub async fn delete_hub(&self, name: &str) -> Result<(), AdministrationError> {
        let name = name.to_owned();
        self.on_disk(move |store| Ok(store.remove(&name).map(drop)?)).await
    }

    /// Makes a consumer group.
    pub async fn put_consumer_group(&self, hub: &str, group: &str) -> Result<(), AdministrationError> {
        let group = group.to_owned();
        self.change(hub, move |access| {
            if !access.has_consumer_group(&group) {
                access.consumer_groups.insert(group);
            }
            Ok(())
        })
        .await
    }

    /// Removes a consumer group, and cuts off who receives with it.
    pub async fn delete_consumer_group(&self, hub: &str, group: &str) -> Result<(), AdministrationError> {
        let group = group.to_owned();
        self.unless_gone(hub, move |access| {
            access.consumer_groups.retain(|known| !known.eq_ignore_ascii_case(&group));
            Ok(())
        })
        .await
    }

    /// Makes a rule with new keys; one that is there keeps its keys.
    pub async fn put_rule(&self, hub: &str, rule: &str, rights: BTreeSet<Right>) -> Result<(), AdministrationError> {
        let rule = rule.to_owned();
        self.change(hub, move |access| {
            match access.rules.get_mut(&rule) {
                Some(known) => known.rights = rights,
                None => access.rules.put(Rule::new(&rule, rights).map_err(AdministrationError::Key)?),
            }
            Ok(())
        })
        .await
    }

    /// Removes a rule, and cuts off who came in by it.
    pub async fn delete_rule(&self, hub: &str, rule: &str) -> Result<(), AdministrationError> {
        let rule = rule.to_owned();
        self.unless_gone(hub, move |access| {
            access.rules.remove(&rule);
            Ok(())
        })
        .await
    }

    /// The keys of a rule.
    pub async fn keys(&self, hub: &str, rule: &str) -> Result<RuleKeys, AdministrationError> {
        let found = self.0.hub(hub).ok_or_else(|| AdministrationError::NoHub(hub.to_owned()))?;
        let access = found.access();
        access.rules.get(rule).map(keys_of).ok_or_else(|| no_rule(hub, rule))
    }

    /// Makes one key of a rule anew, and cuts off who came in by the old one.
    pub async fn regenerate(&self, hub: &str, rule: &str, key: KeyType) -> Result<RuleKeys, AdministrationError> {
        let (of_hub, rule) = (hub.to_owned(), rule.to_owned());
        self.change(hub, move |access| {
            let known = access.rules.get_mut(&rule).ok_or_else(|| no_rule(&of_hub, &rule))?;
            known.regenerate(key).map_err(AdministrationError::Key)?;
            Ok(keys_of(known))
        })
        .await
    }

    /// What there is, without keys.
    pub fn hubs(&self) -> Value {
        let hubs: Vec<Value> = self.0.hubs().iter().map(|hub| shown(&hub.access(), hub.event_count())).collect();
        json!({ "hubs": hubs })
    }

    async fn change<T: Send + 'static>(
        &self,
        hub: &str,
        change: impl FnOnce(&mut Access) -> Result<T, AdministrationError> + Send + 'static,
    ) -> Result<T, AdministrationError> {
        let hub = hub.to_owned();
        self.on_disk(move |store| store.change(&hub, change)?.ok_or(AdministrationError::NoHub(hub))?).await
    }

    /// The same, of something that is gone too when the hub is.
    async fn unless_gone(
        &self,
        hub: &str,
        change: impl FnOnce(&mut Access) -> Result<(), AdministrationError> + Send + 'static,
    ) -> Result<(), AdministrationError> {
        match self.change(hub, change).await {
            Err(AdministrationError::NoHub(_)) => Ok(()),
            other => other,
        }
    }

    /// Changes are files that have to be on the disk; the writers of new
    /// partitions start on the runtime.
    async fn on_disk<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Store) -> Result<T, AdministrationError> + Send + 'static,
    ) -> Result<T, AdministrationError> {
        let (store, runtime) = (self.0.clone(), tokio::runtime::Handle::current());
        let done = tokio::task::spawn_blocking(move || {
            let _inside = runtime.enter();
            act(&store)
        });
        done.await.map_err(|_| AdministrationError::Stops)?
    }

    /// Answers by HTTP whoever shows the token.
    pub(super) fn router(self, token: String) -> Router {
        Router::new()
            .route("/hubs", get(async |State(hubs): State<Administration>| Json(hubs.hubs())))
            .route("/hubs/{hub}", put(put_hub).delete(delete_hub))
            .route("/hubs/{hub}/consumergroups/{group}", put(put_consumer_group).delete(delete_consumer_group))
            .route("/hubs/{hub}/authorizationrules/{rule}", put(put_rule).delete(delete_rule))
            .route("/hubs/{hub}/authorizationrules/{rule}/listKeys", post(list_keys))
            .route("/hubs/{hub}/authorizationrules/{rule}/regenerateKeys", post(regenerate_keys))
            .layer(middleware::from_fn_with_state(Arc::<str>::from(token), check_token))
            .with_state(self)
    }
}

/// The token of a state folder: made once.
pub fn token(state: &Path) -> io::Result<String> {
    let path = state.join(TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(token) if !token.is_empty() => Ok(token),
        Ok(_) => make_token(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_token(&path),
        Err(error) => Err(error),
    }
}

fn make_token(path: &Path) -> io::Result<String> {
    let token = uuid::Uuid::new_v4().simple().to_string();
    write_private(path, token.as_bytes())?;
    Ok(token)
}

fn keys_of(rule: &Rule) -> RuleKeys {
    RuleKeys {
        key_name: rule.name.clone(),
        primary_key: rule.primary_key.clone(),
        secondary_key: rule.secondary_key.clone(),
    }
}

fn no_rule(hub: &str, rule: &str) -> AdministrationError {
    AdministrationError::NoRule { hub: hub.to_owned(), rule: rule.to_owned() }
}

fn shown(access: &Access, events: u64) -> Value {
    let rules: Vec<Value> =
        access.rules.iter().map(|rule| json!({ "name": rule.name, "rights": rule.rights })).collect();
    json!({
        "name": access.name,
        "isOpen": access.is_open,
        "partitions": access.partitions,
        "consumerGroups": access.consumer_groups,
        "authorizationRules": rules,
        "events": events,
    })
}

async fn check_token(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    match verify_slices_are_equal(shown, token.as_bytes()) {
        Ok(()) => next.run(request).await,
        Err(_) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

impl IntoResponse for AdministrationError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoHub(_) | Self::NoRule { .. } => StatusCode::NOT_FOUND,
            Self::Store(StoreError::HubName { .. } | StoreError::PartitionCount { .. }) => StatusCode::BAD_REQUEST,
            Self::Key(_) | Self::Store(_) | Self::Stops => {
                tracing::error!(error = %self, "The hubs can't be changed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HubBody {
    is_open: bool,
    #[serde(default)]
    partitions: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    rights: BTreeSet<Right>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyBody {
    key_type: KeyType,
}

type Done = Result<Json<Value>, AdministrationError>;
type Hubs = State<Administration>;
type Two = Segments<(String, String)>;

async fn put_hub(State(hubs): Hubs, Segments(hub): Segments<String>, Json(body): Json<HubBody>) -> Done {
    done(hubs.put_hub(&hub, body.partitions, body.is_open).await)
}

async fn delete_hub(State(hubs): Hubs, Segments(hub): Segments<String>) -> Done {
    done(hubs.delete_hub(&hub).await)
}

async fn put_consumer_group(State(hubs): Hubs, Segments((hub, group)): Two) -> Done {
    done(hubs.put_consumer_group(&hub, &group).await)
}

async fn delete_consumer_group(State(hubs): Hubs, Segments((hub, group)): Two) -> Done {
    done(hubs.delete_consumer_group(&hub, &group).await)
}

async fn put_rule(State(hubs): Hubs, Segments((hub, rule)): Two, Json(body): Json<RuleBody>) -> Done {
    done(hubs.put_rule(&hub, &rule, body.rights).await)
}

async fn delete_rule(State(hubs): Hubs, Segments((hub, rule)): Two) -> Done {
    done(hubs.delete_rule(&hub, &rule).await)
}

async fn list_keys(State(hubs): Hubs, Segments((hub, rule)): Two) -> Result<Json<RuleKeys>, AdministrationError> {
    hubs.keys(&hub, &rule).await.map(Json)
}

async fn regenerate_keys(
    State(hubs): Hubs,
    Segments((hub, rule)): Two,
    Json(body): Json<KeyBody>,
) -> Result<Json<RuleKeys>, AdministrationError> {
    hubs.regenerate(&hub, &rule, body.key_type).await.map(Json)
}

fn done(done: Result<(), AdministrationError>) -> Done {
    done.map(|()| Json(json!({})))
}
