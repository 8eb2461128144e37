//! What is known of resources, operations and subscriptions: in SQLite on one
//! machine, in PostgreSQL for several (resource-provider.md 7).
//!
//! ```text
//! Store --begin--> Transaction: look, decide, write --commit-->
//! ```
//!
//! One type for both: the statements are what both understand. Whatever is
//! decided from what was read is decided in a transaction that has locked it:
//! SQLite lets one writer in at a time, and in PostgreSQL the row that is
//! decided about is locked first ([`Transaction::lock`]), or its ETag compared
//! ([`Transaction::update_resource`]). Locks are taken in one order: the subscription,
//! resources from the top, operations.

mod leases;
mod operations;
mod resources;
mod subscriptions;
mod sweep;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use delivery::away::error_chain;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use leases::{Claim, Claimed, Work};
pub use operations::{Enqueued, PendingCount};
pub use resources::{Listed, Page};
pub use sweep::Poisoned;

/// A store that cannot be reached, or that says no.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is not one of a store.
    #[error("`{scheme}` is not a store; expected sqlite://… or postgres://…")]
    UnknownScheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// SQLite without a file: workers and requests share one.
    #[error("sqlite:// names no file; expected sqlite://FILE")]
    NoFile,
    /// The file of SQLite cannot be made or opened.
    #[error("the file `{path}` cannot be used")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database did not do it.
    #[error("the database did not {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("the tables could not be brought up to date")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A document is not of a form that this program knows.
    #[error("the document `{id}` cannot be read")]
    Document {
        /// Which.
        id: String,
        /// Why. Its text names members, never their values.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody else changed the document since it was read, or had what a transaction
    /// needs for too long: it may be done again.
    #[error("somebody else was faster")]
    Conflict,
}

impl StoreError {
    /// There was no answer in time.
    pub fn late(doing: &'static str) -> StoreError {
        StoreError::Database { doing, source: sqlx::Error::PoolTimedOut }
    }

    /// Whether there was no answer in time, as when all connections are busy, dead, or
    /// refused.
    pub fn is_late(&self) -> bool {
        matches!(self, StoreError::Database { source: sqlx::Error::PoolTimedOut, .. })
    }

    fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
        move |source| match &source {
            sqlx::Error::Database(error) if error.is_unique_violation() || is_serialization_failure(error.as_ref()) => {
                StoreError::Conflict
            }
            _ => StoreError::Database { doing, source },
        }
    }
}

/// Whether PostgreSQL asks for the transaction to be done again: also when somebody
/// else had what it needs for too long.
fn is_serialization_failure(error: &dyn sqlx::error::DatabaseError) -> bool {
    matches!(error.code().as_deref(), Some("40001" | "40P01" | "55P03"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// What PostgreSQL locks rows by that are read, against everybody.
    const FOR_UPDATE: &'static str = " FOR UPDATE";
    /// The same, against whoever would change them.
    const FOR_SHARE: &'static str = " FOR SHARE";
}

type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// See the module.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    options: AnyConnectOptions,
    dialect: Dialect,
    /// SQLite's one writer, of those in this process: they come in turn, where the
    /// database would have each look again now and then.
    writer: Arc<Semaphore>,
}

/// How many connections a process has. PostgreSQL takes a hundred in all by
/// default; an API and its worker need few, since transactions are short.
const CONNECTIONS_MAX: u32 = 8;
/// What SQLite calls the order of bytes, for the migrations to name: in that of a
/// language, `/` may count for nothing. One process at a time, since `IF NOT EXISTS`
/// does not wait for another that does the same.
const BYTEWISE: &str = r#"BEGIN; SELECT pg_advisory_xact_lock(7209065);
    CREATE COLLATION IF NOT EXISTS "BINARY" FROM "C"; COMMIT"#;
/// How long a request waits for a connection: requests have 20 s in all
/// (resource-provider.md 2.2).
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may take to be made, of which it is asked whether it can be.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long one that is not fresh may take to say that it is whole.
const PING_LIMIT: Duration = Duration::from_secs(2);
/// How long a connection that was given back is taken for whole.
const FRESH: Duration = Duration::from_secs(1);

impl Store {
    /// Opens `sqlite://file`, made when it is not there, or `postgres://…`, and
    /// brings the tables up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the URL, which may hold a password, is in none.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        sqlx::any::install_default_drivers();
        let scheme = url.split(':').next().unwrap_or_default();
        let (dialect, url) = match scheme {
            // Each connection would have tables of its own.
            "sqlite" if path_of(url).is_empty() || path_of(url) == ":memory:" || url.contains("mode=memory") => {
                return Err(StoreError::NoFile);
            }
            "sqlite" => {
                make_private(url)?;
                let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
                (Dialect::Sqlite, url)
            }
            "postgres" | "postgresql" => (Dialect::Postgres, url.to_owned()),
            other => return Err(StoreError::UnknownScheme { scheme: other.to_owned() }),
        };
        let opening = StoreError::database("open");
        let options: AnyConnectOptions = url.parse().map_err(&opening)?;
        // The pool would try until its time is over, and not say what is wrong.
        let alone = timeout(ACQUIRE_LIMIT, AnyConnection::connect_with(&options)).await;
        let mut alone = alone.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(&opening)?;
        migrate(&mut alone, dialect).await?;
        alone.close().await.map_err(&opening)?;
        let pool = AnyPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(ACQUIRE_LIMIT);
        // One that was in use a moment ago is not asked first whether it still is.
        let pool = pool.test_before_acquire(false).before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for > FRESH {
                    // One whose other end is gone without a word answers never.
                    let answered = timeout(PING_LIMIT, connection.ping()).await;
                    answered.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                }
                Ok(true)
            })
        });
        let pool = pool.after_connect(move |connection, _| Box::pin(prepare(connection, dialect)));
        let pool = pool.connect_with(options.clone()).await.map_err(&opening)?;
        Ok(Store { pool, options, dialect, writer: Arc::new(Semaphore::new(1)) })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn check(&self) -> Result<(), StoreError> {
        let select = self.pool.execute("SELECT 1").await;
        select.map(|_| ()).map_err(StoreError::database("answer"))
    }

    /// Whether a connection can be made anew: then those at hand that do not answer are
    /// dead, and the database is not. SQLite has no such connections.
    pub async fn takes_connections(&self) -> bool {
        if self.dialect == Dialect::Sqlite {
            return false;
        }
        let connected = timeout(CONNECT_LIMIT, AnyConnection::connect_with(&self.options)).await;
        let Ok(Ok(connection)) = connected else { return false };
        // It was only to be made.
        connection.close_hard().await.is_ok()
    }

    /// Begins to look and write.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let beginning = StoreError::database("begin a transaction");
        let (begin, turn) = match self.dialect {
            Dialect::Sqlite => {
                let turn = timeout(ACQUIRE_LIMIT, Arc::clone(&self.writer).acquire_owned()).await;
                let turn = turn.ok().and_then(Result::ok).ok_or_else(|| beginning(sqlx::Error::PoolTimedOut))?;
                // Takes the one writer's place at once: a transaction that reads
                // first and writes later would fail when another wrote in between.
                ("BEGIN IMMEDIATE", Some(turn))
            }
            Dialect::Postgres => ("BEGIN", None),
        };
        let inner = self.pool.begin_with(begin).await.map_err(beginning)?;
        Ok(Transaction { inner, dialect: self.dialect, _turn: turn })
    }

    /// Lets go of all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The file of a URL of SQLite.
fn path_of(url: &str) -> &str {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    path.split('?').next().unwrap_or_default()
}

/// Makes the file of a store, or one that is there, for nobody else to read: it has
/// the URLs of credentials. What SQLite makes beside it has its mode.
fn make_private(url: &str) -> Result<(), StoreError> {
    let path = path_of(url);
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let private = made.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)));
    private.map_err(|source| StoreError::File { path: path.to_owned(), source })
}

/// Brings the tables up to date, however long that takes.
async fn migrate(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), StoreError> {
    if dialect == Dialect::Postgres {
        connection.execute(BYTEWISE).await.map_err(StoreError::database("open"))?;
    }
    let mut migrations = sqlx::migrate!("./migrations");
    // Where a newer program was here: it goes on with what an older one can use.
    migrations.set_ignore_missing(true);
    migrations.run(connection).await.map_err(StoreError::Migration)
}

/// Sets up a connection.
async fn prepare(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    let settings: &[&str] = match dialect {
        // Readers do not wait for the writer; writers wait for each other.
        Dialect::Sqlite => &["PRAGMA journal_mode = WAL", "PRAGMA busy_timeout = 10000", "PRAGMA synchronous = FULL"],
        // One that has a lock and does not go on holds up what waits for that lock, and
        // neither all connections nor a stop: requests have 19 s, a pod 30 s to its end.
        Dialect::Postgres => &[
            "SET lock_timeout = '4s'",
            "SET statement_timeout = '15s'",
            "SET idle_in_transaction_session_timeout = '30s'",
        ],
    };
    for setting in settings {
        connection.execute(*setting).await?;
    }
    Ok(())
}

/// Looks and writes that take effect together, or not at all when it is dropped.
pub struct Transaction {
    inner: sqlx::Transaction<'static, sqlx::Any>,
    dialect: Dialect,
    /// Given back with it. One that is dropped is rolled back a moment later, for which
    /// the next writer waits at the database.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Transaction {
    /// A query that locks what it finds; in SQLite the transaction has everything.
    fn locking(&self, select: &'static str, lock: &str) -> Query {
        match self.dialect {
            Dialect::Sqlite => sqlx::query(select),
            Dialect::Postgres => sqlx::query(AssertSqlSafe(format!("{select}{lock}"))),
        }
    }

    /// Makes it take effect.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`], [`StoreError::Database`].
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await.map_err(StoreError::database("commit"))
    }
}

/// A document of a row.
fn read<T: serde::de::DeserializeOwned>(id: &str, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|source| StoreError::Document { id: id.to_owned(), source })
}

/// What rows hold, without those that cannot be read, of which `passed_over` is said: for
/// what goes through those of many, whom one must not hold up.
fn readable<T>(
    rows: &[AnyRow],
    read: impl Fn(&AnyRow) -> Result<T, StoreError>,
    passed_over: &str,
) -> Result<Vec<T>, StoreError> {
    let read = |row| match read(row) {
        Err(error @ StoreError::Document { .. }) => {
            tracing::error!(error = error_chain(&error), "{passed_over}");
            None
        }
        other => Some(other),
    };
    rows.iter().filter_map(read).collect()
}

/// The text of a document. Ours have nothing that JSON cannot say.
fn write<T: serde::Serialize>(id: &str, document: &T) -> Result<String, StoreError> {
    serde_json::to_string(document).map_err(|source| StoreError::Document { id: id.to_owned(), source })
}
