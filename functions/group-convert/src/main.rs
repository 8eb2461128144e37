//! The function that turns measurements into Observations.
fn main() {}
