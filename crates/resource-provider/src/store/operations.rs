//! Documents of operations, and the lease by which one worker has one
//! (resource-provider.md 6.1).

use arm::DocumentId;
use arm::operation::{OperationKind, OperationStatus};
use delivery::away::error_chain;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Row, query};

use super::{Store, StoreError, Transaction, read, write};
use crate::documents::OperationDocument;

/// Who wants an operation, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'c> {
    /// The worker; unique among all.
    pub worker: &'c str,
    /// Now.
    pub now: Timestamp,
    /// Until when it is the worker's.
    pub until: Timestamp,
}

/// An operation that a worker has.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// What is to be done.
    pub document: OperationDocument,
    /// The queue that it is of.
    pub queue: String,
    /// How often it was claimed, this time included.
    pub attempts: u32,
    /// Whether a delete wants it to stop.
    pub is_preempted: bool,
}

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

const RUNNING: &str = "Running";

/// A query for documents, with what the lease is.
macro_rules! select {
    ($rest:literal) => {
        query(concat!("SELECT id, queue, status, attempts, is_preempted, body FROM operations ", $rest))
    };
}

fn claimed(row: &AnyRow) -> Result<Claimed, StoreError> {
    let column = StoreError::database("give a column");
    let text = |name: &str| row.try_get::<String, _>(name).map_err(&column);
    let number = |name: &str| row.try_get::<i64, _>(name).map_err(&column);
    let mut document: OperationDocument = read(&text("id")?, &text("body")?)?;
    // A claim changes the column only.
    document.provisioning_status = read_status(&text("id")?, &text("status")?)?;
    Ok(Claimed {
        document,
        queue: text("queue")?,
        attempts: number("attempts")?.unsigned_abs() as u32,
        is_preempted: number("is_preempted")? != 0,
    })
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

fn status(document: &OperationDocument) -> String {
    format!("{:?}", document.provisioning_status)
}

fn read_status(id: &str, text: &str) -> Result<OperationStatus, StoreError> {
    read(id, &format!("\"{text}\""))
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

    /// Takes the oldest operation that can go on: the first of its queue, that
    /// nobody has, or whose worker has let its lease lapse. One whose document
    /// cannot be read is passed over: it counts as claimed, so that it is not looked
    /// at again before the lease lapses, and is poison some day.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn claim(&self, claim: Claim<'_>) -> Result<Option<Claimed>, StoreError> {
        let claiming = StoreError::database("claim an operation");
        let now = claim.now.as_microsecond();
        // Of each queue only the oldest that is not over can be taken, so two
        // workers never have two of one queue.
        let sql = "SELECT id, queue FROM operations AS o WHERE status IN ('Requested', 'Running') AND lease_until <= $1 \
                   AND due_at <= $1 AND NOT EXISTS (SELECT 1 FROM operations AS older WHERE older.queue = o.queue \
                   AND older.status IN ('Requested', 'Running') AND (older.enqueued_at < o.enqueued_at \
                   OR (older.enqueued_at = o.enqueued_at AND older.id < o.id))) ORDER BY enqueued_at, id LIMIT 16";
        let rows = query(sql).bind(now).fetch_all(&self.pool).await.map_err(&claiming)?;
        for row in rows {
            let id: String = row.try_get(0).map_err(&claiming)?;
            let queue: String = row.try_get(1).map_err(&claiming)?;
            let mut transaction = self.begin().await?;
            // One claim of a queue at a time, and none beside one that runs: an
            // operation may come to light after a younger one, when the API that
            // wrote it was slow, or its clock is.
            transaction.enter_queue(&queue).await?;
            let update = query(
                "UPDATE operations SET status = $1, lease_owner = $2, lease_until = $3, attempts = attempts + 1 \
                 WHERE id = $4 AND status IN ('Requested', 'Running') AND lease_until <= $5 \
                 AND NOT EXISTS (SELECT 1 FROM operations AS other WHERE other.queue = $6 \
                 AND other.status IN ('Requested', 'Running') AND other.status = 'Running' AND other.lease_until > $5)",
            );
            let update = update.bind(RUNNING).bind(claim.worker.to_owned()).bind(claim.until.as_microsecond());
            let update = update.bind(id.clone()).bind(now).bind(queue);
            if update.execute(&mut *transaction.inner).await.map_err(&claiming)?.rows_affected() != 1 {
                continue;
            }
            let row = select!("WHERE id = $1").bind(id.clone()).fetch_one(&mut *transaction.inner).await;
            let claimed = claimed(&row.map_err(&claiming)?);
            transaction.commit().await?;
            match claimed {
                Ok(claimed) => return Ok(Some(claimed)),
                Err(error @ StoreError::Document { .. }) => {
                    tracing::error!(operation = %id, error = error_chain(&error), "An operation cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

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
        let read = |row: &AnyRow| match poisoned(row) {
            Err(error @ StoreError::Document { .. }) => {
                tracing::error!(error = error_chain(&error), "An operation cannot be ended");
                None
            }
            other => Some(other),
        };
        rows.iter().filter_map(read).collect()
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

    /// Keeps an operation for longer. None when it is the worker's no more;
    /// otherwise whether a delete wants it to stop.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn renew(&self, id: &DocumentId, claim: Claim<'_>) -> Result<Option<bool>, StoreError> {
        let mut transaction = self.begin().await?;
        let preempted = transaction.hold(id, claim).await?;
        transaction.commit().await?;
        Ok(preempted)
    }

    /// Gives back whatever a worker has, so that others need not wait until it
    /// lapses; what it did not end counts as not claimed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn give_back(&self, worker: &str) -> Result<(), StoreError> {
        let giving = StoreError::database("give back operations");
        let update = query(
            "UPDATE operations SET lease_owner = '', lease_until = 0, attempts = attempts - 1 \
             WHERE lease_owner = $1 AND status = 'Running'",
        );
        update.bind(worker.to_owned()).execute(&self.pool).await.map_err(&giving)?;
        // Locks are named after their worker and the use of each.
        let delete = query("DELETE FROM locks WHERE owner = $1 OR owner LIKE $2");
        let delete = delete.bind(worker.to_owned()).bind(format!("{worker} %"));
        delete.execute(&self.pool).await.map(|_| ()).map_err(&giving)
    }
}

impl Transaction {
    /// Waits until nobody else is claiming of a queue: a row that is there until
    /// the end of the transaction only.
    async fn enter_queue(&mut self, queue: &str) -> Result<(), StoreError> {
        let entering = StoreError::database("enter a queue");
        let name = format!("queue {queue}");
        let insert = query("INSERT INTO locks (name, owner, held_until) VALUES ($1, '', 0) ON CONFLICT DO NOTHING");
        insert.bind(name.clone()).execute(&mut *self.inner).await.map_err(&entering)?;
        let delete = query("DELETE FROM locks WHERE name = $1").bind(name);
        delete.execute(&mut *self.inner).await.map(|_| ()).map_err(&entering)
    }

    /// Queues an operation.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn insert_operation(
        &mut self,
        document: &OperationDocument,
        queued: Enqueued<'_>,
    ) -> Result<(), StoreError> {
        let insert = query(
            "INSERT INTO operations (id, subscription, resource_id, queue, kind, status, enqueued_at, lease_until, \
             due_at, attempts, is_preempted, body) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0, $8)",
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
    /// [`StoreError::Database`].
    pub async fn journal(&mut self, document: &OperationDocument, claim: Claim<'_>) -> Result<bool, StoreError> {
        if self.hold(&document.id, claim).await?.is_none() {
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
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn operation(&mut self, id: &DocumentId) -> Result<Option<OperationDocument>, StoreError> {
        let row = select!("WHERE id = $1").bind(id.as_str().to_owned()).fetch_optional(&mut *self.inner).await;
        let row = row.map_err(StoreError::database("read an operation"))?;
        Ok(row.as_ref().map(claimed).transpose()?.map(|claimed| claimed.document))
    }

    /// See [`Store::renew`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn hold(&mut self, id: &DocumentId, claim: Claim<'_>) -> Result<Option<bool>, StoreError> {
        let renewing = StoreError::database("renew a lease");
        let update = query(
            "UPDATE operations SET lease_until = $1 WHERE id = $2 AND lease_owner = $3 AND status = $4 \
             AND lease_until > $5",
        );
        let update = update.bind(claim.until.as_microsecond()).bind(id.as_str().to_owned());
        let update = update.bind(claim.worker.to_owned()).bind(RUNNING).bind(claim.now.as_microsecond());
        if update.execute(&mut *self.inner).await.map_err(&renewing)?.rows_affected() != 1 {
            return Ok(None);
        }
        let select = query("SELECT is_preempted FROM operations WHERE id = $1").bind(id.as_str().to_owned());
        let row = select.fetch_one(&mut *self.inner).await.map_err(&renewing)?;
        let preempted: i64 = row.try_get(0).map_err(&renewing)?;
        Ok(Some(preempted != 0))
    }

    /// Lets go of an operation that is to be tried again later.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn release(
        &mut self,
        document: &OperationDocument,
        claim: Claim<'_>,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        if !self.journal(document, claim).await? {
            return Ok(false);
        }
        let update = query("UPDATE operations SET lease_until = 0, lease_owner = NULL, due_at = $1 WHERE id = $2");
        let update = update.bind(due.as_microsecond()).bind(document.id.as_str().to_owned());
        update.execute(&mut *self.inner).await.map_err(StoreError::database("let go of an operation"))?;
        Ok(true)
    }

    /// Ends an operation, which is remembered until `expires`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn end_operation(&mut self, document: &OperationDocument, expires: Timestamp) -> Result<(), StoreError> {
        let update = query(
            "UPDATE operations SET status = $1, body = $2, lease_owner = NULL, lease_until = 0, expires_at = $3 \
             WHERE id = $4",
        );
        let update = update.bind(status(document)).bind(write(document.id.as_str(), document)?);
        let update = update.bind(expires.as_microsecond()).bind(document.id.as_str().to_owned());
        update.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("end an operation"))
    }

    /// Ends an operation as failed by what stands beside its document, which is
    /// left as it is. False when it has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn fail_unread(&mut self, id: &DocumentId, expires: Timestamp) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE operations SET status = 'Failed', lease_owner = NULL, lease_until = 0, expires_at = $1 \
             WHERE id = $2 AND status IN ('Requested', 'Running')",
        );
        let update = update.bind(expires.as_microsecond()).bind(id.as_str().to_owned());
        let done = update.execute(&mut *self.inner).await.map_err(StoreError::database("end an operation"))?;
        Ok(done.rows_affected() == 1)
    }

    /// The operations of resources that are not over, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn pending(&mut self, resource: &DocumentId) -> Result<Vec<OperationDocument>, StoreError> {
        let pending = select!("WHERE resource_id = $1 AND status IN ('Requested', 'Running') ORDER BY enqueued_at, id");
        let rows = pending.bind(resource.as_str().to_owned()).fetch_all(&mut *self.inner).await;
        let rows = rows.map_err(StoreError::database("list operations"))?;
        rows.iter().map(|row| Ok(claimed(row)?.document)).collect()
    }

    /// Wants an operation to stop before its next step. True when no worker had
    /// it yet, so that whoever asks ends it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn preempt(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        let preempting = StoreError::database("stop an operation");
        let update = query("UPDATE operations SET is_preempted = 1 WHERE id = $1").bind(id.as_str().to_owned());
        update.execute(&mut *self.inner).await.map_err(&preempting)?;
        let select = query("SELECT status FROM operations WHERE id = $1").bind(id.as_str().to_owned());
        let row = select.fetch_optional(&mut *self.inner).await.map_err(&preempting)?;
        let status: Option<String> = row.map(|row| row.try_get(0)).transpose().map_err(&preempting)?;
        Ok(status.as_deref() == Some("Requested"))
    }

    /// Forgets the operations that have expired. How many they were.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_expired(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let delete = query("DELETE FROM operations WHERE expires_at IS NOT NULL AND expires_at <= $1");
        let done = delete.bind(now.as_microsecond()).execute(&mut *self.inner).await;
        done.map(|done| done.rows_affected()).map_err(StoreError::database("forget operations"))
    }
}

impl Store {
    /// Takes a lock that others keep out of until `until`, or keeps it for longer.
    /// False when another has it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn take_lock(
        &self,
        name: &str,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let upsert = query(
            "INSERT INTO locks (name, owner, held_until) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, held_until = excluded.held_until \
             WHERE locks.held_until <= $4 OR locks.owner = excluded.owner",
        );
        let upsert = upsert.bind(name.to_owned()).bind(owner.to_owned()).bind(until.as_microsecond());
        let done = upsert.bind(now.as_microsecond()).execute(&self.pool).await;
        done.map(|done| done.rows_affected() == 1).map_err(StoreError::database("take a lock"))
    }

    /// Lets go of a lock; nothing, when it is another's by now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn release_lock(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        let delete = query("DELETE FROM locks WHERE name = $1 AND owner = $2").bind(name.to_owned());
        let done = delete.bind(owner.to_owned()).execute(&self.pool).await;
        done.map(|_| ()).map_err(StoreError::database("let go of a lock"))
    }
}
