//! Documents of resources.

use arm::state::ResourceState;
use arm::{DocumentId, ResourceId, ResourceType};
use sqlx::any::AnyRow;
use sqlx::{Row, query};

use super::{Store, StoreError, Transaction, read, write};
use crate::documents::ResourceDocument;

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order of their keys.
    pub documents: Vec<ResourceDocument>,
    /// The key after which the next part begins.
    pub next: Option<String>,
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

const COLUMNS: &str = "SELECT id, key, etag, body FROM resources";

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
        let sql = format!("{COLUMNS} WHERE key = $1");
        let row = query(sqlx::AssertSqlSafe(sql)).bind(resource.key()).fetch_optional(&self.pool).await;
        row.map_err(StoreError::database("read a resource"))?.as_ref().map(document).transpose()
    }

    /// Whether any subscription has a workspace of a name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn is_workspace(&self, name: &str) -> Result<bool, StoreError> {
        let select = query("SELECT 1 FROM resources WHERE kind = 'Workspace' AND key LIKE $1 ESCAPE '\\' LIMIT 1");
        let pattern = format!("%/workspaces/{}", name.to_lowercase().replace('_', "\\_"));
        let row = select.bind(pattern).fetch_optional(&self.pool).await;
        Ok(row.map_err(StoreError::database("look for a name"))?.is_some())
    }

    /// A part of a list, of `count` at the most, after a key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn list(&self, listed: Listed<'_>, after: &str, count: usize) -> Result<Page, StoreError> {
        let limit = (count + 1) as i64;
        let rows = match listed {
            Listed::Collection(prefix) => {
                let sql = format!("{COLUMNS} WHERE collection = $1 AND key > $2 ORDER BY key LIMIT $3");
                let query = query(sqlx::AssertSqlSafe(sql)).bind(prefix.to_owned()).bind(after.to_owned());
                query.bind(limit).fetch_all(&self.pool).await
            }
            Listed::Subscription(subscription, kind) => {
                let sql = format!("{COLUMNS} WHERE subscription = $1 AND kind = $2 AND key > $3 ORDER BY key LIMIT $4");
                let query = query(sqlx::AssertSqlSafe(sql)).bind(subscription.to_lowercase()).bind(format!("{kind:?}"));
                query.bind(after.to_owned()).bind(limit).fetch_all(&self.pool).await
            }
        };
        let rows = rows.map_err(StoreError::database("list resources"))?;
        let mut documents = rows.iter().map(document).collect::<Result<Vec<_>, _>>()?;
        let has_more = documents.len() > count;
        documents.truncate(count);
        let next = documents.last().filter(|_| has_more).map(|last| last.resource_id().key());
        Ok(Page { documents, next })
    }
}

impl Transaction {
    /// A resource, as it is now. Lock it first when something is decided from
    /// it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn resource(&mut self, resource: &ResourceId) -> Result<Option<ResourceDocument>, StoreError> {
        let sql = format!("{COLUMNS} WHERE key = $1");
        let row = query(sqlx::AssertSqlSafe(sql)).bind(resource.key()).fetch_optional(&mut *self.inner).await;
        row.map_err(StoreError::database("read a resource"))?.as_ref().map(document).transpose()
    }

    /// A resource by the id of its document.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn resource_by_id(&mut self, id: &DocumentId) -> Result<Option<ResourceDocument>, StoreError> {
        let sql = format!("{COLUMNS} WHERE id = $1");
        let row = query(sqlx::AssertSqlSafe(sql)).bind(id.as_str().to_owned()).fetch_optional(&mut *self.inner).await;
        row.map_err(StoreError::database("read a resource"))?.as_ref().map(document).transpose()
    }

    /// Lets nobody else decide about a resource until the end. Nothing, when it
    /// is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn lock(&mut self, resource: &ResourceId) -> Result<(), StoreError> {
        // A write that changes nothing locks the row in either database.
        let lock = query("UPDATE resources SET state = state WHERE key = $1").bind(resource.key());
        lock.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("lock a resource"))
    }

    /// Everything below a resource, at any depth, in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn descendants(&mut self, resource: &ResourceId) -> Result<Vec<ResourceDocument>, StoreError> {
        // Between the slash and the character after it: what begins with both.
        let (from, to) = (format!("{}/", resource.key()), format!("{}0", resource.key()));
        let sql = format!("{COLUMNS} WHERE key > $1 AND key < $2 ORDER BY key");
        let rows = query(sqlx::AssertSqlSafe(sql)).bind(from).bind(to).fetch_all(&mut *self.inner).await;
        rows.map_err(StoreError::database("list what is below a resource"))?.iter().map(document).collect()
    }

    /// How many children of a type there are, in any state.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn count_children(&mut self, parent: &ResourceId, kind: ResourceType) -> Result<usize, StoreError> {
        self.count("SELECT COUNT(*) FROM resources WHERE collection = $1", parent.collection_key(kind)).await
    }

    /// How many resources of a type a subscription has, in any state.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn count_of_subscription(&mut self, subscription: &str, kind: ResourceType) -> Result<usize, StoreError> {
        let sql = "SELECT COUNT(*) FROM resources WHERE subscription = $1 AND kind = $2";
        let count = query(sql).bind(subscription.to_lowercase()).bind(format!("{kind:?}"));
        let row = count.fetch_one(&mut *self.inner).await.map_err(StoreError::database("count resources"))?;
        let count: i64 = row.try_get(0).map_err(StoreError::database("count resources"))?;
        Ok(count.unsigned_abs() as usize)
    }

    async fn count(&mut self, sql: &'static str, value: String) -> Result<usize, StoreError> {
        let counting = StoreError::database("count resources");
        let row = query(sql).bind(value).fetch_one(&mut *self.inner).await.map_err(&counting)?;
        let count: i64 = row.try_get(0).map_err(&counting)?;
        Ok(count.unsigned_abs() as usize)
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
            "INSERT INTO resources (id, key, collection, subscription, kind, state, etag, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        );
        let insert = insert.bind(document.id.as_str().to_owned()).bind(resource.key()).bind(collection(&resource));
        let insert = insert.bind(resource.subscription.to_lowercase()).bind(format!("{:?}", resource.kind));
        let insert = insert.bind(format!("{:?}", document.state)).bind(document.etag.clone()).bind(body);
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
        let update = query("UPDATE resources SET state = $1, etag = $2, body = $3 WHERE id = $4 AND etag = $5");
        let update = update.bind(format!("{:?}", document.state)).bind(document.etag.clone()).bind(body);
        let update = update.bind(document.id.as_str().to_owned()).bind(before);
        let done = update.execute(&mut *self.inner).await.map_err(StoreError::database("write a resource"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Removes the document of a resource; nothing, when it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn delete_resource(&mut self, id: &DocumentId) -> Result<(), StoreError> {
        let delete = query("DELETE FROM resources WHERE id = $1").bind(id.as_str().to_owned());
        delete.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("remove a resource"))
    }

    /// The resources that are in a state, oldest ids first; for the sweeper.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn resources_in(
        &mut self,
        state: ResourceState,
        count: usize,
    ) -> Result<Vec<ResourceDocument>, StoreError> {
        let sql = format!("{COLUMNS} WHERE state = $1 ORDER BY id LIMIT $2");
        let rows = query(sqlx::AssertSqlSafe(sql)).bind(format!("{state:?}")).bind(count as i64);
        let rows = rows.fetch_all(&mut *self.inner).await.map_err(StoreError::database("list resources"))?;
        rows.iter().map(document).collect()
    }
}
