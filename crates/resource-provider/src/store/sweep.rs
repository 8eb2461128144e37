//! What is not as it should be, as far as the store can tell
//! (resource-provider.md 6.5). Resources that cannot be read are passed over.

use jiff::Timestamp;
use sqlx::{Row, query};

use super::resources::{readable, select};
use super::{Store, StoreError, Transaction};
use crate::documents::ResourceDocument;

/// How many are looked at in one pass: what is left is the next one's.
const FOUND_MAX: i64 = 500;

impl Store {
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
    /// tried with since `tried`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn due_for_renewal(&self, now: Timestamp, tried: Timestamp) -> Result<Vec<ResourceDocument>, StoreError> {
        let query = select!(
            "AS r WHERE renew_at <= $1 AND state IN ('Provisioned', 'Failed') \
             AND NOT EXISTS (SELECT 1 FROM operations AS o WHERE o.resource_id = r.id \
             AND (o.status IN ('Requested', 'Running') OR (o.kind = 'Renew' AND o.enqueued_at > $2))) \
             ORDER BY renew_at LIMIT $3"
        );
        let query = query.bind(now.as_microsecond()).bind(tried.as_microsecond()).bind(FOUND_MAX);
        readable(query, &self.pool).await
    }

    /// Resources whose last change failed, and that nothing is going on with, where
    /// what was good could not be brought back.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn half_changed(&self) -> Result<Vec<ResourceDocument>, StoreError> {
        let query = select!(
            "AS r WHERE is_half_changed = 1 AND state = 'Failed' \
             AND NOT EXISTS (SELECT 1 FROM operations AS o WHERE o.resource_id = r.id \
             AND o.status IN ('Requested', 'Running')) ORDER BY key LIMIT $1"
        );
        readable(query.bind(FOUND_MAX), &self.pool).await
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
    /// Everything that a subscription has, in the order of keys: parents before
    /// what is below them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn resources_of(&mut self, subscription: &str) -> Result<Vec<ResourceDocument>, StoreError> {
        let query = select!("WHERE subscription = $1 ORDER BY key").bind(subscription.to_lowercase());
        readable(query, &mut *self.inner).await
    }
}
