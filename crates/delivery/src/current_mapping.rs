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

use tracing::Instrument;

use sha2::{Digest, Sha256};

use crate::away::{Away, error_chain, one_line};

/// A mapping's text and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Opaque: an ETag, or a hash of the text.
    pub version: String,
    /// The mapping file, as it is.
    pub text: Vec<u8>,
}

/// What a mapping with this text is called in logs, metrics and dead letters,
/// wherever it lies: `sha256:` and the hash in hex.
pub fn version_of(text: &[u8]) -> String {
    Sha256::digest(text).iter().fold("sha256:".to_owned(), |version, byte| version + &format!("{byte:02x}"))
}

/// Where a mapping file lies.
pub trait MappingSource {
    /// Gives the mapping, or none when it is still the version `known`.
    fn load(&self, known: Option<&str>) -> impl Future<Output = Result<Option<Load>, Away>> + Send;
}

/// One of two kinds of source, chosen by configuration.
#[derive(Debug)]
pub enum EitherSource<A, B> {
    /// The first kind.
    First(A),
    /// The second kind.
    Second(B),
}

impl<A: MappingSource + Sync, B: MappingSource + Sync> MappingSource for EitherSource<A, B> {
    async fn load(&self, known: Option<&str>) -> Result<Option<Load>, Away> {
        match self {
            EitherSource::First(source) => source.load(known).await,
            EitherSource::Second(source) => source.load(known).await,
        }
    }
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

impl MappingUnavailable {
    /// As what it is for a batch: something that it needs is away.
    pub fn into_away(self) -> Away {
        match self {
            MappingUnavailable::Away(away) => away,
            invalid @ MappingUnavailable::Invalid { .. } => {
                Away::new("a usable mapping", one_line(&invalid.to_string()))
            }
        }
    }
}

/// A compiled mapping and its version.
#[derive(Debug)]
pub struct Compiled<M> {
    /// The version of its text, as [`version_of`] gives it.
    pub version: String,
    /// The mapping.
    pub mapping: M,
}

/// Gives the mapping, or all that is wrong with it as text.
type Compile<M> = Box<dyn Fn(&[u8]) -> Result<M, String> + Send + Sync>;

/// The mapping in use and its source.
pub struct CurrentMapping<S, M> {
    source: S,
    compile: Compile<M>,
    keep_last_good: bool,
    state: Mutex<State<M>>,
}

struct State<M> {
    good: Option<Arc<Compiled<M>>>,
    seen: Option<Seen>,
}

/// The newest version seen.
struct Seen {
    /// What the source calls it.
    source: String,
    /// Its version and findings if it had errors.
    invalid: Option<(String, String)>,
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

impl Notice {
    /// Writes the line that it is worth, if any. `what` names the mapping.
    pub fn log(&self, what: &str) {
        match self {
            Notice::Unchanged => {}
            Notice::Loaded { version } => tracing::info!(mapping.version = version, "Loaded the {what}"),
            Notice::KeptLastGood { version, findings } => {
                let findings = one_line(findings);
                tracing::error!(
                    mapping.version = version,
                    findings,
                    "A new {what} has errors; the last good one stays"
                );
            }
            Notice::SourceAway { error } => {
                tracing::warn!(error, "Cannot look for a new {what}; the last one stays");
            }
        }
    }
}

impl<S: MappingSource, M> CurrentMapping<S, M> {
    /// A mapping that nothing was loaded of yet. `compile` gives the mapping,
    /// or all that is wrong with it as text.
    pub fn new(
        source: S,
        compile: impl Fn(&[u8]) -> Result<M, String> + Send + Sync + 'static,
    ) -> CurrentMapping<S, M> {
        let compile = Box::new(compile);
        CurrentMapping { source, compile, keep_last_good: true, state: Mutex::new(State { good: None, seen: None }) }
    }

    /// Whether a new version with errors leaves the last good one in use
    /// (`Compatibility__KeepLastGoodMapping`); otherwise everything waits for
    /// one without, as with the reference connector (quirk 62).
    pub fn keep_last_good(self, keep_last_good: bool) -> CurrentMapping<S, M> {
        CurrentMapping { keep_last_good, ..self }
    }

    /// The mapping to use for the next batch.
    pub async fn get(&self) -> Result<(Arc<Compiled<M>>, Notice), MappingUnavailable> {
        let known = self.lock().seen.as_ref().map(|seen| seen.source.clone());
        let span = tracing::info_span!("load mapping");
        let loaded = match self.source.load(known.as_deref()).instrument(span).await {
            Ok(loaded) => loaded,
            Err(away) => {
                let good = self.lock().good.clone();
                let error = error_chain(&away);
                return good.map(|good| (good, Notice::SourceAway { error })).ok_or(away.into());
            }
        };
        match loaded {
            Some(load) => self.take(load),
            None => self.unchanged(),
        }
    }

    /// Loads the mapping ahead of the first batch and logs how it went, so that
    /// one that cannot be used is known before events wait for it.
    pub async fn load_ahead(&self, what: &str) {
        match self.get().await {
            Ok((_, notice)) => notice.log(what),
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(error, "There is no {what}; events wait");
            }
        }
    }

    fn take(&self, load: Load) -> Result<(Arc<Compiled<M>>, Notice), MappingUnavailable> {
        let compiled = (self.compile)(&load.text);
        let mut state = self.lock();
        let version = version_of(&load.text);
        match compiled {
            Ok(mapping) => {
                let good = Arc::new(Compiled { version: version.clone(), mapping });
                *state = State { good: Some(good.clone()), seen: Some(Seen { source: load.version, invalid: None }) };
                Ok((good, Notice::Loaded { version }))
            }
            Err(findings) => {
                let invalid = Some((version.clone(), findings.clone()));
                state.seen = Some(Seen { source: load.version, invalid });
                state.good = state.good.take().filter(|_| self.keep_last_good);
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
            (None, Some(Seen { invalid: Some((version, findings)), .. })) => {
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Gives prepared answers, the last one again and again.
    struct Scripted(Mutex<Vec<Result<&'static str, &'static str>>>);

    impl MappingSource for Scripted {
        async fn load(&self, known: Option<&str>) -> Result<Option<Load>, Away> {
            let mut script = self.0.lock().expect("one thread");
            let answer = if script.len() > 1 { script.remove(0) } else { script[0] };
            let text = answer.map_err(|error| Away::new("the mapping", error))?;
            Ok((known != Some(text)).then(|| Load { version: text.to_owned(), text: text.as_bytes().to_vec() }))
        }
    }

    /// Runs a future that never waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waited"),
        }
    }

    fn summary(script: Vec<Result<&'static str, &'static str>>) -> Vec<String> {
        summary_with(script, true)
    }

    fn summary_with(script: Vec<Result<&'static str, &'static str>>, keep_last_good: bool) -> Vec<String> {
        let loads = script.len();
        let compile = |text: &[u8]| {
            let text = String::from_utf8_lossy(text).into_owned();
            if text.starts_with("bad") { Err(format!("{text} findings")) } else { Ok(text) }
        };
        let current = CurrentMapping::new(Scripted(Mutex::new(script)), compile).keep_last_good(keep_last_good);
        // A version as its text.
        let readable = |shown: String| {
            let texts = ["one", "bad two", "three", "bad", "good"];
            texts.iter().fold(shown, |shown, text| shown.replace(&version_of(text.as_bytes()), text))
        };
        let get = |_| match now(current.get()) {
            Ok((compiled, notice)) => readable(format!("{} {notice:?}", compiled.mapping)),
            Err(error) => readable(error_chain(&error)),
        };
        (0..loads).map(get).collect()
    }

    #[test]
    fn takes_a_new_version_and_keeps_the_last_good_one() {
        let script = vec![Ok("one"), Ok("one"), Ok("bad two"), Ok("bad two"), Err("no route"), Ok("three")];
        let expected = [
            "one Loaded { version: \"one\" }",
            "one Unchanged",
            "one KeptLastGood { version: \"bad two\", findings: \"bad two findings\" }",
            "one Unchanged",
            "one SourceAway { error: \"the mapping is away: no route\" }",
            "three Loaded { version: \"three\" }",
        ];
        assert_eq!(summary(script), expected);
    }

    /// Quirk 62, the other way of its switch.
    #[test]
    fn waits_for_a_good_version_when_told_to() {
        let script = vec![Ok("one"), Ok("bad two"), Ok("bad two"), Ok("three")];
        let invalid = "the mapping version `bad two` is not valid: bad two findings";
        let expected = ["one Loaded { version: \"one\" }", invalid, invalid, "three Loaded { version: \"three\" }"];
        assert_eq!(summary_with(script, false), expected);
    }

    #[test]
    fn says_why_there_is_no_mapping() {
        let script = vec![Err("no route"), Ok("bad"), Ok("bad"), Ok("good")];
        let invalid = "the mapping version `bad` is not valid: bad findings";
        let expected = ["the mapping is away: no route", invalid, invalid, "good Loaded { version: \"good\" }"];
        assert_eq!(summary(script), expected);
    }
}
