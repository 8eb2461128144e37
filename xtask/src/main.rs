//! The project's chores: demo, test, app, bench.
fn main() {}
