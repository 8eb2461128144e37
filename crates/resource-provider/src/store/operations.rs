//! Documents of operations (resource-provider.md 3.6).

use arm::DocumentId;
use jiff::Timestamp;
use sqlx::{Row, query};

use super::leases::{Claim, claimed};
use super::{Dialect, Store, StoreError, Transaction, write};
use crate::documents::OperationDocument;

/// What an operation is queued as.
#[derive(Clone, Copy, Debug)]
pub struct Enqueued<'e> {
    /// Of operations that run one after the other.
    pub queue: &'e str,
    /// When it was asked for.
    pub at: Timestamp,
}

/// Operations that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingCount {
    /// No worker has them yet.
    pub requested: i64,
    /// A worker has them.
    pub running: i64,
    /// When the oldest of all was asked for.
    pub oldest: Option<Timestamp>,
}

pub(super) const RUNNING: &str = "Running";

/// The text of a query for documents, with what the lease is.
macro_rules! select_text {
    ($rest:literal) => {
        concat!("SELECT id, queue, status, attempts, is_preempted, body FROM operations ", $rest)
    };
}

/// A query for the same.
macro_rules! select {
    ($rest:literal) => {
        query(select_text!($rest))
    };
}
pub(super) use {select, select_text};

fn status(document: &OperationDocument) -> String {
    format!("{:?}", document.provisioning_status)
}

impl Store {
    /// An operation, while it is remembered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn operation(&self, id: &DocumentId) -> Result<Option<OperationDocument>, StoreError> {
        let row = select!("WHERE id = $1").bind(id.as_str().to_owned()).fetch_optional(&self.pool).await;
        let row = row.map_err(StoreError::database("read an operation"))?;
        Ok(row.as_ref().map(claimed).transpose()?.map(|claimed| claimed.document))
    }

    /// How many operations have not ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn pending_count(&self) -> Result<PendingCount, StoreError> {
        let counting = StoreError::database("count operations");
        let sql = "SELECT status, COUNT(*), MIN(enqueued_at) FROM operations \
                   WHERE status IN ('Requested', 'Running') GROUP BY status";
        let rows = query(sql).fetch_all(&self.pool).await.map_err(&counting)?;
        let mut count = PendingCount::default();
        for row in rows {
            let status: String = row.try_get(0).map_err(&counting)?;
            let number: i64 = row.try_get(1).map_err(&counting)?;
            let oldest: i64 = row.try_get(2).map_err(&counting)?;
            if status == RUNNING {
                count.running = number
            } else {
                count.requested = number
            }
            let oldest = Timestamp::from_microsecond(oldest).ok();
            count.oldest = [count.oldest, oldest].into_iter().flatten().min();
        }
        Ok(count)
    }
}

impl Store {
    /// How many certificates are to be renewed by now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn certificates_due(&self, now: Timestamp) -> Result<i64, StoreError> {
        let count = query(
            "SELECT COUNT(*) FROM resources WHERE renew_at <= $1 AND state IN ('Provisioned', 'Failed') \
             AND NOT (state = 'Failed' AND is_suspended IS NULL)",
        )
        .bind(now.as_microsecond());
        let counted = count.fetch_one(&self.pool).await.and_then(|row| row.try_get(0));
        counted.map_err(StoreError::database("count certificates"))
    }
}

impl Transaction {
    /// Queues an operation.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn insert_operation(
        &mut self,
        document: &OperationDocument,
        queued: Enqueued<'_>,
    ) -> Result<(), StoreError> {
        let insert = query(
            "INSERT INTO operations (id, subscription, resource_id, queue, kind, status, enqueued_at, lease_until, \
             attempts, is_preempted, body) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, $8)",
        );
        let insert = insert.bind(document.id.as_str().to_owned()).bind(document.subscription_id.to_lowercase());
        let insert = insert.bind(document.resource_id.as_str().to_owned()).bind(queued.queue.to_owned());
        let insert = insert.bind(format!("{:?}", document.provisioning_operation));
        let insert = insert.bind(status(document)).bind(queued.at.as_microsecond());
        let insert = insert.bind(write(document.id.as_str(), document)?);
        insert.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("queue an operation"))
    }

    /// Writes an operation that the worker of `claim` has, and keeps it until
    /// then. False when it is the worker's no more: then nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn journal(&mut self, document: &OperationDocument, claim: Claim<'_>) -> Result<bool, StoreError> {
        if self.hold_with(&document.resource_id, &document.id, claim).await?.is_none() {
            return Ok(false);
        }
        let update = query("UPDATE operations SET status = $1, body = $2 WHERE id = $3").bind(status(document));
        let update = update.bind(write(document.id.as_str(), document)?).bind(document.id.as_str().to_owned());
        update.execute(&mut *self.inner).await.map_err(StoreError::database("write an operation"))?;
        Ok(true)
    }

    /// See [`Store::operation`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn operation(&mut self, id: &DocumentId) -> Result<Option<OperationDocument>, StoreError> {
        let row = select!("WHERE id = $1").bind(id.as_str().to_owned()).fetch_optional(&mut *self.inner).await;
        let row = row.map_err(StoreError::database("read an operation"))?;
        Ok(row.as_ref().map(claimed).transpose()?.map(|claimed| claimed.document))
    }

    /// Ends an operation, which is remembered until `expires`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn end_operation(&mut self, document: &OperationDocument, expires: Timestamp) -> Result<(), StoreError> {
        let update = query(
            "UPDATE operations SET status = $1, body = $2, lease_owner = NULL, lease_until = 0, expires_at = $3 \
             WHERE id = $4",
        );
        let update = update.bind(status(document)).bind(write(document.id.as_str(), document)?);
        let update = update.bind(expires.as_microsecond()).bind(document.id.as_str().to_owned());
        update.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("end an operation"))
    }

    /// The operations of a resource that are not over, oldest first. They stay as they
    /// are until the end: no worker takes one meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn pending(&mut self, resource: &DocumentId) -> Result<Vec<OperationDocument>, StoreError> {
        let pending = self.locking(
            select_text!("WHERE resource_id = $1 AND status IN ('Requested', 'Running') ORDER BY enqueued_at, id"),
            Dialect::FOR_UPDATE,
        );
        let rows = pending.bind(resource.as_str().to_owned()).fetch_all(&mut *self.inner).await;
        let rows = rows.map_err(StoreError::database("list operations"))?;
        rows.iter().map(|row| Ok(claimed(row)?.document)).collect()
    }

    /// Wants an operation to stop before its next step. True when no worker had
    /// it yet, so that whoever asks ends it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn preempt(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        let preempting = StoreError::database("stop an operation");
        let update = query("UPDATE operations SET is_preempted = 1 WHERE id = $1").bind(id.as_str().to_owned());
        update.execute(&mut *self.inner).await.map_err(&preempting)?;
        let select = query("SELECT status FROM operations WHERE id = $1").bind(id.as_str().to_owned());
        let row = select.fetch_optional(&mut *self.inner).await.map_err(&preempting)?;
        let status: Option<String> = row.map(|row| row.try_get(0)).transpose().map_err(&preempting)?;
        Ok(status.as_deref() == Some("Requested"))
    }

    /// Forgets operations that have expired, `most` at once: a database gives a statement
    /// so much time and no more. How many they were.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn forget_expired(&mut self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        let delete = query(
            "DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE expires_at IS NOT NULL \
             AND expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        );
        let done = delete.bind(now.as_microsecond()).bind(i64::from(most)).execute(&mut *self.inner).await;
        done.map(|done| done.rows_affected()).map_err(StoreError::database("forget operations"))
    }
}
