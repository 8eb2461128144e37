//! Holds the compiled engines against interpreters that are slow and obvious,
//! on random expressions over random documents.
//!
//! The interpreters ([`jsonpath`], [`jmespath`]) were written from
//! device-mapping.md 6 and 7 without a look at the engines. They work on trees
//! that own everything, with lists of nodes and strings everywhere. Every
//! result must agree, and whether there is an error. Where the dialects
//! coincide with the standards, so must the crates `serde_json_path` and
//! `jmespath`.
//!
//! `PROPTEST_CASES` asks for more cases; each is one document and several
//! expressions.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]
#![allow(missing_docs, reason = "a test has no public interface")]

mod documents;
mod jmespath;
mod jmespath_agreement;
mod jsonpath;
mod jsonpath_agreement;
mod standards;
mod tree;
