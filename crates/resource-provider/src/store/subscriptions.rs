//! Documents of subscriptions, and names that are unique in the cloud.

use arm::state::SubscriptionState;
use sqlx::{AnyExecutor, Row, query};

use super::{Dialect, Store, StoreError, Transaction, read, write};
use crate::documents::SubscriptionDocument;

impl Store {
    /// What ARM last said of a subscription; none when it never did.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn subscription(&self, id: &str) -> Result<Option<SubscriptionDocument>, StoreError> {
        let reading = StoreError::database("read a subscription");
        let select = query("SELECT body FROM subscriptions WHERE id = $1").bind(id.to_lowercase());
        let Some(row) = select.fetch_optional(&self.pool).await.map_err(&reading)? else { return Ok(None) };
        let body: String = row.try_get(0).map_err(&reading)?;
        read(id, &body).map(Some)
    }

    /// Where a subscription stands; one that nobody spoke of is not registered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Document`].
    pub async fn subscription_state(&self, id: &str) -> Result<SubscriptionState, StoreError> {
        let document = self.subscription(id).await?;
        Ok(document.map_or(SubscriptionState::Unregistered, |document| document.state))
    }

    /// Whose a name is that is unique in the cloud; nobody's when it is free.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn name_owner(&self, name: &str) -> Result<Option<String>, StoreError> {
        let reading = StoreError::database("read a name");
        let select = query("SELECT subscription FROM name_reservations WHERE name = $1").bind(name.to_lowercase());
        let row = select.fetch_optional(&self.pool).await.map_err(&reading)?;
        row.map(|row| row.try_get(0)).transpose().map_err(&reading)
    }
}

impl Transaction {
    /// Where a subscription stands, and stands until the end. Nobody else looks at it
    /// so meanwhile: what it has can be counted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn lock_subscription(&mut self, id: &str) -> Result<SubscriptionState, StoreError> {
        self.held_subscription(id, Dialect::FOR_UPDATE).await
    }

    /// Where a subscription stands, and stands until the end. Others may look at it so
    /// too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`], [`StoreError::Document`].
    pub async fn share_subscription(&mut self, id: &str) -> Result<SubscriptionState, StoreError> {
        self.held_subscription(id, Dialect::FOR_SHARE).await
    }

    async fn held_subscription(&mut self, id: &str, hold: &str) -> Result<SubscriptionState, StoreError> {
        let locking = StoreError::database("lock a subscription");
        let select = self.locking("SELECT body FROM subscriptions WHERE id = $1", hold);
        let row = select.bind(id.to_lowercase()).fetch_optional(&mut *self.inner).await.map_err(&locking)?;
        let Some(row) = row else { return Ok(SubscriptionState::Unregistered) };
        let body: String = row.try_get(0).map_err(&locking)?;
        read(id, &body).map(|document: SubscriptionDocument| document.state)
    }

    /// Writes what ARM says of a subscription now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn put_subscription(&mut self, id: &str, document: &SubscriptionDocument) -> Result<(), StoreError> {
        let upsert = query(
            "INSERT INTO subscriptions (id, state, body) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, body = excluded.body",
        );
        let upsert = upsert.bind(id.to_lowercase()).bind(format!("{:?}", document.state)).bind(write(id, document)?);
        upsert.execute(&mut *self.inner).await.map(|_| ()).map_err(StoreError::database("write a subscription"))
    }

    /// Keeps a name for a subscription. False when it is another's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn reserve_name(&mut self, name: &str, subscription: &str) -> Result<bool, StoreError> {
        let reserving = StoreError::database("keep a name");
        let (name, subscription) = (name.to_lowercase(), subscription.to_lowercase());
        let insert = query("INSERT INTO name_reservations (name, subscription) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        insert.bind(name.clone()).bind(subscription.clone()).execute(&mut *self.inner).await.map_err(&reserving)?;
        let select = query("SELECT subscription FROM name_reservations WHERE name = $1").bind(name);
        let owner: String =
            select.fetch_one(&mut *self.inner).await.and_then(|row| row.try_get(0)).map_err(&reserving)?;
        Ok(owner == subscription)
    }

    /// Whether a subscription has a workspace of a name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn is_workspace(&mut self, name: &str, subscription: &str) -> Result<bool, StoreError> {
        is_workspace(&mut *self.inner, name, subscription).await
    }
}

/// Looks among the workspaces of one subscription.
pub(super) async fn is_workspace(
    executor: impl AnyExecutor<'_>,
    name: &str,
    subscription: &str,
) -> Result<bool, StoreError> {
    let select = query("SELECT 1 FROM resources WHERE subscription = $1 AND kind = 'Workspace' AND name = $2 LIMIT 1");
    let select = select.bind(subscription.to_lowercase()).bind(name.to_lowercase());
    let row = select.fetch_optional(executor).await;
    Ok(row.map_err(StoreError::database("look for a name"))?.is_some())
}
