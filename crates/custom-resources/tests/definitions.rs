//! The definitions of the custom resources in `helm/platform/definitions` are those of
//! the types.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::fs;
use std::path::Path;

use custom_resources::definitions;

/// Above each file.
const HEADER: &str = "# Written by `UPDATE_EXPECT=1 cargo test -p custom-resources --test definitions`.\n";

#[test]
fn are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm/platform/definitions");
    for (name, definition) in definitions() {
        let text = HEADER.to_owned() + &serde_saphyr::to_string(&definition).unwrap();
        let file = folder.join(&name);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let stored = fs::read_to_string(&file).unwrap_or_default();
        let hint = "if that is meant: UPDATE_EXPECT=1 cargo test -p custom-resources --test definitions";
        assert!(stored == text, "{} differs from the types; {hint}", file.display());
    }
}
