//! Moves batches from a source to a sink, and accounts for every event.
