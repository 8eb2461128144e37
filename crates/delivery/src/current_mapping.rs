//! The mapping in use: loaded from its source, renewed when it changes.
//!
//! Edits take effect within one batch, as with the reference connector
//! (fhir-conversion.md 0), but a load that brings nothing new costs one
//! conditional request, and a new version with errors does not stop the path:
//! the last good one stays in use and the errors are reported
//! (device-mapping.md quirk 62).

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use crate::away::Away;

/// A mapping's text and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Opaque: an ETag, or a hash of the text.
    pub version: String,
    /// The mapping file, as it is.
    pub text: Vec<u8>,
}

/// Where a mapping file lies.
pub trait MappingSource {
    /// Gives the mapping, or none when it is still the version `known`.
    fn load(&self, known: Option<&str>) -> impl Future<Output = Result<Option<Load>, Away>> + Send;
}

/// No mapping can be used: the source is away, or what it holds has errors and
/// there was no good version before.
#[derive(Debug, thiserror::Error)]
pub enum MappingUnavailable {
    /// The source cannot be read and nothing was loaded before.
    #[error(transparent)]
    Away(#[from] Away),
    /// The mapping has errors; they are in the text, with line and column.
    #[error("the mapping version `{version}` is not valid: {findings}")]
    Invalid {
        /// The version with the errors.
        version: String,
        /// What is wrong.
        findings: String,
    },
}

/// A compiled mapping and its version.
#[derive(Debug)]
pub struct Compiled<M> {
    /// The version it was compiled from.
    pub version: String,
    /// The mapping.
    pub mapping: M,
}

/// The mapping in use and its source.
pub struct CurrentMapping<S, M> {
    source: S,
    compile: fn(&[u8]) -> Result<M, String>,
    state: Mutex<State<M>>,
}

struct State<M> {
    good: Option<Arc<Compiled<M>>>,
    /// The newest version seen, and its findings if it had errors.
    seen: Option<(String, Option<String>)>,
}

impl<S: fmt::Debug, M> fmt::Debug for CurrentMapping<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentMapping").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What [`CurrentMapping::get`] found besides the mapping: worth a line in the
/// log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nothing new.
    Unchanged,
    /// This version is now in use.
    Loaded {
        /// The version.
        version: String,
    },
    /// A new version has errors; the one before stays in use.
    KeptLastGood {
        /// The version with the errors.
        version: String,
        /// What is wrong, with line and column.
        findings: String,
    },
    /// The source could not be read; the version loaded before stays in use.
    SourceAway {
        /// Why.
        error: String,
    },
}

impl<S: MappingSource, M> CurrentMapping<S, M> {
    /// A mapping that nothing was loaded of yet. `compile` gives the mapping,
    /// or all that is wrong with it as text.
    pub fn new(source: S, compile: fn(&[u8]) -> Result<M, String>) -> CurrentMapping<S, M> {
        CurrentMapping { source, compile, state: Mutex::new(State { good: None, seen: None }) }
    }

    /// The mapping to use for the next batch.
    pub async fn get(&self) -> Result<(Arc<Compiled<M>>, Notice), MappingUnavailable> {
        let known = self.lock().seen.as_ref().map(|seen| seen.0.clone());
        let loaded = match self.source.load(known.as_deref()).await {
            Ok(loaded) => loaded,
            Err(away) => {
                let good = self.lock().good.clone();
                let error = crate::away::error_chain(&away);
                return good.map(|good| (good, Notice::SourceAway { error })).ok_or(away.into());
            }
        };
        match loaded {
            Some(load) => self.take(load),
            None => self.unchanged(),
        }
    }

    fn take(&self, load: Load) -> Result<(Arc<Compiled<M>>, Notice), MappingUnavailable> {
        let compiled = (self.compile)(&load.text);
        let mut state = self.lock();
        let version = load.version;
        match compiled {
            Ok(mapping) => {
                let good = Arc::new(Compiled { version: version.clone(), mapping });
                *state = State { good: Some(good.clone()), seen: Some((version.clone(), None)) };
                Ok((good, Notice::Loaded { version }))
            }
            Err(findings) => {
                state.seen = Some((version.clone(), Some(findings.clone())));
                match &state.good {
                    Some(good) => Ok((good.clone(), Notice::KeptLastGood { version, findings })),
                    None => Err(MappingUnavailable::Invalid { version, findings }),
                }
            }
        }
    }

    fn unchanged(&self) -> Result<(Arc<Compiled<M>>, Notice), MappingUnavailable> {
        let state = self.lock();
        match (&state.good, &state.seen) {
            (Some(good), _) => Ok((good.clone(), Notice::Unchanged)),
            (None, Some((version, Some(findings)))) => {
                Err(MappingUnavailable::Invalid { version: version.clone(), findings: findings.clone() })
            }
            (None, _) => Err(Away::new("the mapping", "its source says unchanged before anything was loaded").into()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<M>> {
        // What is inside is replaced whole, so a panic elsewhere leaves it good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
