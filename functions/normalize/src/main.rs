//! The function that turns device events into measurements.
fn main() {}
