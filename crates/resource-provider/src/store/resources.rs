//! Documents of resources.

use arm::{DocumentId, ResourceId, ResourceType};
use futures::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row, query};

use super::subscriptions::is_workspace;
use super::{Dialect, Query, Store, StoreError, Transaction, read, write};
use crate::documents::{ResourceDocument, ScaleInfo};

/// A part of a list, in the order of names.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Those of this part.
    pub documents: Vec<ResourceDocument>,
    /// Whether others come after them.
    pub has_more: bool,
}

/// What a list is of.
#[derive(Clone, Copy, Debug)]
pub enum Listed<'l> {
    /// The resources whose keys begin so: the children of one, or the workspaces
    /// of a group.
    Collection(&'l str),
    /// Those of a type in a subscription.
    Subscription(&'l str, ResourceType),
}

impl Listed<'_> {
    /// The position of a resource in the list, which stays when others come and go.
    pub fn position(self, document: &ResourceDocument) -> String {
        let key = document.resource_id().key();
        match self {
            Listed::Collection(_) => key,
            // Names are not unique beyond a group.
            Listed::Subscription(..) => format!("{} {key}", document.name),
        }
    }
}

/// A query for documents.
macro_rules! select {
    ($rest:literal) => {
        query(concat!("SELECT id, etag, body FROM resources ", $rest))
    };
}
pub(super) use select;

fn by_key(resource: &ResourceId) -> Query {
    select!("WHERE key = $1").bind(resource.key())
}

fn by_id(id: &DocumentId) -> Query {
    select!("WHERE id = $1").bind(id.as_str().to_owned())
}

/// Everything below a resource, at any depth, in the order of their keys.
fn below(resource: &ResourceId) -> Query {
    // Between the slash and the character after it: what begins with both.
    let (from, to) = (format!("{}/", resource.key()), format!("{}0", resource.key()));
    select!("WHERE key > $1 AND key < $2 ORDER BY key").bind(from).bind(to)
}

async fn one(query: Query, executor: impl AnyExecutor<'_>) -> Result<Option<ResourceDocument>, StoreError> {
    let row = query.fetch_optional(executor).await.map_err(StoreError::database("read a resource"))?;
    row.as_ref().map(document).transpose()
}

pub(super) async fn all(query: Query, executor: impl AnyExecutor<'_>) -> Result<Vec<ResourceDocument>, StoreError> {
    let rows = query.fetch_all(executor).await.map_err(StoreError::database("list resources"))?;
    rows.iter().map(document).collect()
}

/// The same without those that cannot be read: for what goes through the resources
/// of many, whom one must not hold up.
pub(super) async fn readable(
    query: Query,
    executor: impl AnyExecutor<'_>,
) -> Result<Vec<ResourceDocument>, StoreError> {
    let rows = query.fetch_all(executor).await.map_err(StoreError::database("list resources"))?;
    super::readable(&rows, document, "A resource cannot be read, and is passed over")
}

fn document(row: &AnyRow) -> Result<ResourceDocument, StoreError> {
    let column = StoreError::database("give a column");
    let (id, body): (String, String) = (row.try_get("id").map_err(&column)?, row.try_get("body").map_err(&column)?);
    let mut document: ResourceDocument = read(&id, &body)?;
    document.etag = row.try_get("etag").map_err(&column)?;
    Ok(document)
}

/// An ETag that no document has had: quotes included.
fn next_etag() -> String {
    format!("\"{}\"", uuid::Uuid::new_v4())
}

/// When the certificate of a connector is to be renewed; at once, when that
/// cannot be read.
fn renew_at(document: &ResourceDocument) -> Option<i64> {
    let certificate = document.infrastructure.certificate.as_ref()?;
    Some(certificate.renew_after.parse().map_or(0, jiff::Timestamp::as_microsecond))
}

fn is_suspended(document: &ResourceDocument) -> Option<i64> {
    document.infrastructure.is_suspended.map(i64::from)
}

/// Of a resource: what the keys of its siblings begin with.
fn collection(resource: &ResourceId) -> String {
    let key = resource.key();
    key[..key.len() - resource.own_name().len()].to_owned()
}

impl Store {
    /// A resource, as it is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn resource(&self, resource: &ResourceId) -> Result<Option<ResourceDocument>, StoreError> {
        one(by_key(resource), &self.pool).await
    }

    /// A resource by the id of its document.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn resource_by_id(&self, id: &DocumentId) -> Result<Option<ResourceDocument>, StoreError> {
        one(by_id(id), &self.pool).await
    }

    /// Everything below a resource, at any depth, in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn descendants(&self, resource: &ResourceId) -> Result<Vec<ResourceDocument>, StoreError> {
        all(below(resource), &self.pool).await
    }

    /// Whether a subscription has a workspace of a name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn is_workspace(&self, name: &str, subscription: &str) -> Result<bool, StoreError> {
        is_workspace(&self.pool, name, subscription).await
    }

    /// A part of a list, of `count` at the most, after a [position](Listed::position);
    /// from the beginning after an empty one. It ends early when its documents have
    /// `bytes_max` or more: at least one is in it, and no more are in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn list(
        &self,
        listed: Listed<'_>,
        after: &str,
        (count, bytes_max): (usize, usize),
    ) -> Result<Page, StoreError> {
        let limit = (count + 1) as i64;
        let query = match listed {
            Listed::Collection(prefix) => {
                let query = select!("WHERE collection = $1 AND key > $2 ORDER BY key LIMIT $3");
                query.bind(prefix.to_owned()).bind(after.to_owned())
            }
            Listed::Subscription(subscription, kind) => {
                let query = select!(
                    "WHERE subscription = $1 AND kind = $2 AND (name, key) > ($3, $4) ORDER BY name, key LIMIT $5"
                );
                let (name, key) = after.split_once(' ').unwrap_or((after, ""));
                let query = query.bind(subscription.to_lowercase()).bind(format!("{kind:?}"));
                query.bind(name.to_owned()).bind(key.to_owned())
            }
        };
        let (mut documents, mut bytes) = (Vec::new(), 0);
        let mut rows = query.bind(limit).fetch(&self.pool);
        while let Some(row) = rows.try_next().await.map_err(StoreError::database("list resources"))? {
            if documents.len() == count || (bytes >= bytes_max && !documents.is_empty()) {
                return Ok(Page { documents, has_more: true });
            }
            bytes += row.try_get::<&str, _>("body").map_or(0, str::len);
            documents.push(document(&row)?);
        }
        Ok(Page { documents, has_more: false })
    }
}

impl Transaction {
    /// A resource, as it is now. Lock it first when something is decided from
    /// it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn resource(&mut self, resource: &ResourceId) -> Result<Option<ResourceDocument>, StoreError> {
        one(by_key(resource), &mut *self.inner).await
    }

    /// A resource by the id of its document.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn resource_by_id(&mut self, id: &DocumentId) -> Result<Option<ResourceDocument>, StoreError> {
        one(by_id(id), &mut *self.inner).await
    }

    /// Lets nobody else decide about a resource until the end. Nothing, when it
    /// is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn lock(&mut self, resource: &ResourceId) -> Result<(), StoreError> {
        let lock = self.locking("SELECT 1 FROM resources WHERE key = $1", Dialect::FOR_UPDATE).bind(resource.key());
        lock.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("lock a resource"))
    }

    /// Everything below a resource, at any depth, in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn descendants(&mut self, resource: &ResourceId) -> Result<Vec<ResourceDocument>, StoreError> {
        all(below(resource), &mut *self.inner).await
    }

    /// Where workspaces were placed, one for each; a Gen1 connector is its own.
    /// Those that cannot be read are not among them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn places(&mut self) -> Result<Vec<ScaleInfo>, StoreError> {
        let query = select!("WHERE kind IN ('Workspace', 'IomtConnector')");
        Ok(readable(query, &mut *self.inner).await?.into_iter().filter_map(|document| document.scale).collect())
    }

    /// The documents of a type that a subscription has, by their ids, in the order of
    /// names.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn ids_of(&mut self, subscription: &str, kind: ResourceType) -> Result<Vec<DocumentId>, StoreError> {
        let listing = StoreError::database("list resources");
        let select = query("SELECT id FROM resources WHERE subscription = $1 AND kind = $2 ORDER BY name, key");
        let select = select.bind(subscription.to_lowercase()).bind(format!("{kind:?}"));
        let rows = select.fetch_all(&mut *self.inner).await.map_err(&listing)?;
        let id = |row: &AnyRow| {
            let id: String = row.try_get(0).map_err(&listing)?;
            super::read(&id, &format!("\"{id}\""))
        };
        rows.iter().map(id).collect()
    }

    /// Lets nobody else decide about the document of a resource until the end. Nothing,
    /// when it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn lock_document(&mut self, id: &DocumentId) -> Result<(), StoreError> {
        let lock = self.locking("SELECT 1 FROM resources WHERE id = $1", Dialect::FOR_UPDATE);
        let lock = lock.bind(id.as_str().to_owned());
        lock.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("lock a resource"))
    }

    /// The same as [`descendants`](Self::descendants) without those that cannot be read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn readable_descendants(&mut self, resource: &ResourceId) -> Result<Vec<ResourceDocument>, StoreError> {
        readable(below(resource), &mut *self.inner).await
    }

    /// How many children of a type there are, in any state.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn count_children(&mut self, parent: &ResourceId, kind: ResourceType) -> Result<usize, StoreError> {
        let count = query("SELECT COUNT(*) FROM resources WHERE collection = $1");
        self.count(count.bind(parent.collection_key(kind))).await
    }

    /// How many connectors of a workspace, in any state, need its namespace.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn count_in_namespace(&mut self, workspace: &ResourceId) -> Result<usize, StoreError> {
        let count = query("SELECT COUNT(*) FROM resources WHERE collection = $1 AND has_left_namespace = 0");
        self.count(count.bind(workspace.collection_key(ResourceType::IotConnector))).await
    }

    /// How many resources of a type a subscription has, in any state.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn count_of_subscription(&mut self, subscription: &str, kind: ResourceType) -> Result<usize, StoreError> {
        let count = query("SELECT COUNT(*) FROM resources WHERE subscription = $1 AND kind = $2");
        self.count(count.bind(subscription.to_lowercase()).bind(format!("{kind:?}"))).await
    }

    async fn count(&mut self, count: Query) -> Result<usize, StoreError> {
        let counted = count.fetch_one(&mut *self.inner).await.and_then(|row| row.try_get::<i64, _>(0));
        counted.map(|count| count.unsigned_abs() as usize).map_err(StoreError::database("count resources"))
    }

    /// Writes the document of a new resource, and gives it its ETag.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the resource is there by now.
    pub async fn insert_resource(&mut self, document: &mut ResourceDocument) -> Result<(), StoreError> {
        document.etag = next_etag();
        let (resource, body) = (document.resource_id(), write(document.id.as_str(), document)?);
        let insert = query(
            "INSERT INTO resources (id, key, collection, name, subscription, kind, state, etag, renew_at, \
             is_suspended, is_half_changed, has_left_namespace, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        );
        let insert = insert.bind(document.id.as_str().to_owned()).bind(resource.key()).bind(collection(&resource));
        let insert = insert.bind(document.name.clone());
        let insert = insert.bind(resource.subscription.to_lowercase()).bind(format!("{:?}", resource.kind));
        let insert = insert.bind(format!("{:?}", document.state)).bind(document.etag.clone());
        let insert = insert.bind(renew_at(document)).bind(is_suspended(document));
        let insert = insert.bind(i64::from(document.infrastructure.is_half_changed));
        let insert = insert.bind(i64::from(document.infrastructure.has_left_namespace)).bind(body);
        insert.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("write a resource"))
    }

    /// Writes a document that was read, and gives it another ETag.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when it was changed or removed since.
    pub async fn update_resource(&mut self, document: &mut ResourceDocument) -> Result<(), StoreError> {
        let before = std::mem::replace(&mut document.etag, next_etag());
        let body = write(document.id.as_str(), document)?;
        let update = query(
            "UPDATE resources SET state = $1, etag = $2, renew_at = $3, is_suspended = $4, \
             is_half_changed = $5, has_left_namespace = $6, body = $7 WHERE id = $8 AND etag = $9",
        );
        let update = update.bind(format!("{:?}", document.state)).bind(document.etag.clone());
        let update = update.bind(renew_at(document)).bind(is_suspended(document));
        let update = update.bind(i64::from(document.infrastructure.is_half_changed));
        let update = update.bind(i64::from(document.infrastructure.has_left_namespace)).bind(body);
        let update = update.bind(document.id.as_str().to_owned()).bind(before);
        let done = update.execute(&mut *self.inner).await.map_err(StoreError::database("write a resource"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Removes the document of a resource; nothing, when it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn delete_resource(&mut self, id: &DocumentId) -> Result<(), StoreError> {
        let delete = query("DELETE FROM resources WHERE id = $1").bind(id.as_str().to_owned());
        delete.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("remove a resource"))
    }
}
