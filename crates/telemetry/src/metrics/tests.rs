use super::*;

#[test]
fn placeholder() {
    assert!(table::ALL.len() > 1);
}
