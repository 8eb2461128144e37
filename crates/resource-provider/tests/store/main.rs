//! The store, in SQLite and, where `IOTC_TEST_POSTGRES` names the component of a server's
//! programs, in PostgreSQL: the same tests for both.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod locks;
#[allow(dead_code, reason = "some of it is for other tests")]
mod places;
mod pools;
mod resources;
mod samples;
mod work;

use places::each_store;
