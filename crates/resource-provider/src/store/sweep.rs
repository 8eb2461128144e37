//! What is not as it should be, as far as the store can tell
//! (resource-provider.md 6.5). Resources that cannot be read are passed over.

use arm::DocumentId;
use arm::operation::OperationKind;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Row, query};

use super::resources::{readable, select};
use super::{Store, StoreError, Transaction, read};
use crate::documents::{OperationDocument, ResourceDocument};
use crate::enqueue::REMEMBERED;

/// How many are looked at in one pass: what is left is the next one's.
const FOUND_MAX: i64 = 500;

/// An operation that was claimed too often and cannot be carried out, by what is
/// known of it beside its document.
#[derive(Clone, Debug, PartialEq)]
pub struct Poisoned {
    /// Its id.
    pub id: DocumentId,
    /// The document of its resource.
    pub resource_id: DocumentId,
    /// What it does.
    pub kind: OperationKind,
    /// When it was asked for.
    pub at: Timestamp,
    /// Its document, if that can be read.
    pub document: Option<OperationDocument>,
}

fn poisoned(row: &AnyRow) -> Result<Poisoned, StoreError> {
    let column = StoreError::database("give a column");
    let text = |name: &str| row.try_get::<String, _>(name).map_err(&column);
    let id = text("id")?;
    let at: i64 = row.try_get("enqueued_at").map_err(&column)?;
    Ok(Poisoned {
        resource_id: read(&id, &format!("\"{}\"", text("resource_id")?))?,
        kind: read(&id, &format!("\"{}\"", text("kind")?))?,
        at: Timestamp::from_microsecond(at).unwrap_or_default(),
        document: read(&id, &text("body")?).ok(),
        id: read(&id, &format!("\"{id}\""))?,
    })
}

impl Store {
    /// The operations that were claimed more often than `claims_max` and have not
    /// ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn poisoned(&self, claims_max: u32) -> Result<Vec<Poisoned>, StoreError> {
        let sql = "SELECT id, resource_id, kind, enqueued_at, body FROM operations \
                   WHERE status IN ('Requested', 'Running') AND attempts > $1 ORDER BY enqueued_at, id LIMIT 100";
        let rows = query(sql).bind(i64::from(claims_max)).fetch_all(&self.pool).await;
        let rows = rows.map_err(StoreError::database("look for poison"))?;
        super::readable(&rows, poisoned, "An operation cannot be ended")
    }

    /// Resources that something is to be done with, by an operation that is not
    /// theirs or has ended. Those that go with their parent are among them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn unsettled(&self) -> Result<Vec<ResourceDocument>, StoreError> {
        let query = select!(
            "AS r WHERE state IN ('Accepted', 'Provisioning', 'Updating', 'Deprovisioning') \
             AND NOT EXISTS (SELECT 1 FROM operations AS o WHERE o.resource_id = r.id \
             AND o.status IN ('Requested', 'Running') AND o.kind IN ('Provision', 'Patch', 'Deprovision')) \
             ORDER BY key LIMIT $1"
        );
        readable(query.bind(FOUND_MAX), &self.pool).await
    }

    /// Connectors whose certificate is to be renewed, but for those that it was
    /// tried with since `tried`, and those that a failed delete has taken from the cluster.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn due_for_renewal(&self, now: Timestamp, tried: Timestamp) -> Result<Vec<ResourceDocument>, StoreError> {
        let query = select!(
            "AS r WHERE renew_at <= $1 AND state IN ('Provisioned', 'Failed') \
             AND NOT (state = 'Failed' AND is_suspended IS NULL) \
             AND NOT EXISTS (SELECT 1 FROM operations AS o WHERE o.resource_id = r.id \
             AND (o.status IN ('Requested', 'Running') OR (o.kind = 'Renew' AND o.enqueued_at > $2))) \
             ORDER BY renew_at LIMIT $3"
        );
        let query = query.bind(now.as_microsecond()).bind(tried.as_microsecond()).bind(FOUND_MAX);
        readable(query, &self.pool).await
    }

    /// Resources whose last change failed, and that nothing is going on with, where
    /// what was good could not be brought back; but for those of which that failed since
    /// `failed`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn half_changed(&self, failed: Timestamp) -> Result<Vec<ResourceDocument>, StoreError> {
        let query = select!(
            "AS r WHERE is_half_changed = 1 AND state = 'Failed' \
             AND NOT EXISTS (SELECT 1 FROM operations AS o WHERE o.resource_id = r.id \
             AND (o.status IN ('Requested', 'Running') \
             OR (o.kind = 'Reapply' AND o.status = 'Failed' AND o.expires_at > $1))) ORDER BY key LIMIT $2"
        );
        readable(query.bind((failed + REMEMBERED).as_microsecond()).bind(FOUND_MAX), &self.pool).await
    }

    /// Subscriptions that have a connector which runs and should not, or the other
    /// way round; and deleted ones that still have anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn subscriptions_out_of_line(&self) -> Result<Vec<String>, StoreError> {
        let reading = StoreError::database("look for subscriptions");
        let sql = "SELECT id FROM subscriptions AS s WHERE \
                   (state IN ('Warned', 'Suspended') AND EXISTS \
                   (SELECT 1 FROM resources AS r WHERE r.is_suspended = 0 AND r.subscription = s.id)) \
                   OR (state = 'Registered' AND EXISTS \
                   (SELECT 1 FROM resources AS r WHERE r.is_suspended = 1 AND r.subscription = s.id)) \
                   OR (state = 'Deleted' AND EXISTS (SELECT 1 FROM resources AS r WHERE r.subscription = s.id)) \
                   ORDER BY id LIMIT $1";
        let rows = query(sql).bind(FOUND_MAX).fetch_all(&self.pool).await.map_err(&reading)?;
        rows.iter().map(|row| row.try_get(0).map_err(&reading)).collect()
    }
}

impl Transaction {
    /// Whether an operation of a kind on a resource has failed since `failed`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn has_failed(
        &mut self,
        resource: &DocumentId,
        kind: OperationKind,
        failed: Timestamp,
    ) -> Result<bool, StoreError> {
        // It is forgotten so long after its end.
        let forgotten = (failed + REMEMBERED).as_microsecond();
        let select = query(
            "SELECT 1 FROM operations WHERE resource_id = $1 AND kind = $2 AND status = 'Failed' \
             AND expires_at > $3 LIMIT 1",
        );
        let select = select.bind(resource.as_str().to_owned()).bind(format!("{kind:?}")).bind(forgotten);
        let found = select.fetch_optional(&mut *self.inner).await;
        found.map(|found| found.is_some()).map_err(StoreError::database("look for failures"))
    }

    /// Ends an operation as failed by what stands beside its document, which is
    /// left as it is. False when it has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn fail_unread(&mut self, id: &DocumentId, expires: Timestamp) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE operations SET status = 'Failed', lease_owner = NULL, lease_until = 0, expires_at = $1 \
             WHERE id = $2 AND status IN ('Requested', 'Running')",
        );
        let update = update.bind(expires.as_microsecond()).bind(id.as_str().to_owned());
        let done = update.execute(&mut *self.inner).await.map_err(StoreError::database("end an operation"))?;
        Ok(done.rows_affected() == 1)
    }
}
