//! What one has and no other: an operation by its lease (resource-provider.md 6.1),
//! shared parts by a lock. Both lapse when whoever has them dies.

use arm::DocumentId;
use delivery::away::error_chain;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Row, query};

use super::operations::{RUNNING, select, select_text};
use super::{Store, StoreError, Transaction, read};
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

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Anything: first what clients wait for, then work of our own.
    All,
    /// What clients wait for.
    OfClients,
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

/// What a query for operations found.
pub(super) fn claimed(row: &AnyRow) -> Result<Claimed, StoreError> {
    let column = StoreError::database("give a column");
    let text = |name: &str| row.try_get::<String, _>(name).map_err(&column);
    let number = |name: &str| row.try_get::<i64, _>(name).map_err(&column);
    let mut document: OperationDocument = read(&text("id")?, &text("body")?)?;
    // A claim changes the column only.
    document.provisioning_status = read(&text("id")?, &format!("\"{}\"", text("status")?))?;
    Ok(Claimed {
        document,
        queue: text("queue")?,
        attempts: number("attempts")?.unsigned_abs() as u32,
        is_preempted: number("is_preempted")? != 0,
    })
}

impl Store {
    /// Takes the oldest operation that can go on, what clients wait for first: the first of
    /// its queue, that nobody has, or whose worker has let its lease lapse. One whose document
    /// cannot be read is passed over: it counts as claimed, so that it is not looked
    /// at again before the lease lapses, and is poison some day.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn claim(&self, claim: Claim<'_>, work: Work) -> Result<Option<Claimed>, StoreError> {
        let claiming = StoreError::database("claim an operation");
        let now = claim.now.as_microsecond();
        // Of each queue only the oldest that is not over can be taken, so two
        // workers never have two of one queue.
        // Work of our own that a client's waits behind is the client's.
        let sql = "SELECT id, queue FROM (SELECT id, queue, enqueued_at, CASE WHEN kind IN ('Reapply', 'Renew') \
                   AND NOT EXISTS (SELECT 1 FROM operations AS theirs WHERE theirs.queue = o.queue \
                   AND theirs.status IN ('Requested', 'Running') AND theirs.kind NOT IN ('Reapply', 'Renew')) \
                   THEN 1 ELSE 0 END AS is_ours \
                   FROM operations AS o WHERE status IN ('Requested', 'Running') AND lease_until <= $1 \
                   AND NOT EXISTS (SELECT 1 FROM operations AS older WHERE older.queue = o.queue \
                   AND older.status IN ('Requested', 'Running') AND (older.enqueued_at < o.enqueued_at \
                   OR (older.enqueued_at = o.enqueued_at AND older.id < o.id)))) AS claimable \
                   WHERE is_ours = 0 OR $2 = 1 ORDER BY is_ours, enqueued_at, id LIMIT 16";
        let all = i64::from(work == Work::All);
        let rows = query(sql).bind(now).bind(all).fetch_all(&self.pool).await.map_err(&claiming)?;
        for row in rows {
            let id: String = row.try_get(0).map_err(&claiming)?;
            let queue: String = row.try_get(1).map_err(&claiming)?;
            let mut transaction = self.begin().await?;
            // One claim of a queue at a time, and none beside one that runs: an
            // operation may come to light after a younger one, when the API that
            // wrote it was slow, or its clock is.
            match transaction.enter(&format!("queue {queue}")).await {
                // Whoever is at that queue holds up no other.
                Err(StoreError::Conflict) => continue,
                entered => entered?,
            }
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

impl Transaction {
    /// Waits until nobody else is in a part of that name, and is in it alone until
    /// the end of the transaction: by a row that is there no longer than that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn enter(&mut self, name: &str) -> Result<(), StoreError> {
        let entering = StoreError::database("let one at a time in");
        let insert = query("INSERT INTO locks (name, owner, held_until) VALUES ($1, '', 0) ON CONFLICT DO NOTHING");
        insert.bind(name.to_owned()).execute(&mut *self.inner).await.map_err(&entering)?;
        let delete = query("DELETE FROM locks WHERE name = $1").bind(name.to_owned());
        delete.execute(&mut *self.inner).await.map(|_| ()).map_err(&entering)
    }

    /// The same as [`hold`](Self::hold) with the document of its resource, or of one below
    /// that, locked before, as the order of locks has it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn hold_with(
        &mut self,
        resource: &DocumentId,
        id: &DocumentId,
        claim: Claim<'_>,
    ) -> Result<Option<bool>, StoreError> {
        self.lock_document(resource).await?;
        self.hold(id, claim).await
    }

    /// See [`Store::renew`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
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
}
