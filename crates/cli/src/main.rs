//! The command line: local stack, mapping validation, conformance.
fn main() {}
