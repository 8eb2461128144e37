//! The Functions host stand-in with a real handler process, whose answers each
//! test gives itself: invocations, retries, checkpoints, restarts, HTTP
//! functions, and events from the Event Hubs stand-in.

mod app;
mod control;
mod events;
mod http;
mod invocations;
mod process;
mod sharing;
