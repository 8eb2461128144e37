//! A folder of suites, and the list of what is known to fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A file of cases.
#[derive(Clone, Debug, Deserialize)]
pub struct Suite {
    /// Its name.
    pub suite: String,
    /// The cases, in order. Each has one more member, [`EXACT`].
    #[serde(deserialize_with = "exact_cases")]
    pub cases: Vec<Value>,
}

/// The member of a case that holds the texts of its other members just as they
/// stand in the file. A [`Value`] forgets the order of members and the digits
/// of numbers, and some cases are about them.
pub const EXACT: &str = "$exact";

fn exact_cases<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    let cases = Vec::<BTreeMap<String, Box<RawValue>>>::deserialize(deserializer)?;
    cases.into_iter().map(|members| exact_case(&members).map_err(D::Error::custom)).collect()
}

fn exact_case(members: &BTreeMap<String, Box<RawValue>>) -> Result<Value, serde_json::Error> {
    let mut case = Map::new();
    let mut exact = Map::new();
    for (name, text) in members {
        case.insert(name.clone(), serde_json::from_str(text.get())?);
        exact.insert(name.clone(), Value::String(text.get().to_owned()));
    }
    case.insert(EXACT.to_owned(), Value::Object(exact));
    Ok(Value::Object(case))
}

/// A corpus or a list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file or the folder cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not a suite.
    #[error("`{path}` is not a suite of cases")]
    NotASuite {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The folder has no suite.
    #[error("`{path}` has no file of cases (`*.json`)")]
    Empty {
        /// Which.
        path: String,
    },
    /// A line of the list of known failures has no rule.
    #[error("`{path}`, line {line}: expected `suite/id  # rule`")]
    NoRule {
        /// The list.
        path: String,
        /// The line, from 1.
        line: usize,
    },
}

/// Reads every suite of a folder, in order of file name.
pub fn read(folder: &Path) -> Result<Vec<Suite>, CorpusError> {
    let path = || folder.display().to_string();
    let read = |source| CorpusError::Read { path: path(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let file = entry.map_err(read)?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(CorpusError::Empty { path: path() });
    }
    files.sort();
    files.iter().map(|file| read_suite(file)).collect()
}

fn read_suite(file: &Path) -> Result<Suite, CorpusError> {
    let path = || file.display().to_string();
    let text = fs::read(file).map_err(|source| CorpusError::Read { path: path(), source })?;
    serde_json::from_slice(&text).map_err(|source| CorpusError::NotASuite { path: path(), source })
}

/// The cases that are known to fail: `suite/id  # rule` a line, by `suite/id`.
/// Blank lines and lines that are only a comment are passed over.
pub fn read_known(file: &Path) -> Result<BTreeMap<String, String>, CorpusError> {
    let path = || file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| CorpusError::Read { path: path(), source })?;
    let mut known = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split_once('#').map(|(id, rule)| (id.trim(), rule.trim())) {
            Some(("", _)) => {}
            Some((id, rule)) if !rule.is_empty() => {
                known.insert(id.to_owned(), rule.to_owned());
            }
            _ => return Err(CorpusError::NoRule { path: path(), line: index + 1 }),
        }
    }
    Ok(known)
}
