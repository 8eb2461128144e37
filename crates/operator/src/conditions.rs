//! Status conditions: what is wrong, in words that a user can act on. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// For programs, in CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Verdict {
    /// All is well.
    pub fn good(reason: &'static str, message: impl Into<String>) -> Verdict {
        Verdict { status: "True", reason, message: message.into() }
    }

    /// Something is wrong.
    pub fn bad(reason: &'static str, message: impl Into<String>) -> Verdict {
        Verdict { status: "False", reason, message: message.into() }
    }

    /// Nobody could find out.
    pub fn unknown(reason: &'static str, message: impl Into<String>) -> Verdict {
        Verdict { status: "Unknown", reason, message: message.into() }
    }
}

/// The conditions of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// Whether the chart takes the spec.
    pub rendered: Verdict,
    /// Whether all that was rendered is applied.
    pub applied: Verdict,
    /// Whether KEDA can scale; none where nothing is scaled.
    pub scaling: Option<Verdict>,
    /// Whether it runs.
    pub ready: Verdict,
}

/// The conditions to store, in the place of those that are `stored`. A time is
/// that of the last change of a status.
pub fn conditions(
    stored: &[Condition],
    verdicts: &Verdicts,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let all = [
        ("Ready", Some(&verdicts.ready)),
        ("Rendered", Some(&verdicts.rendered)),
        ("Applied", Some(&verdicts.applied)),
        ("Scaling", verdicts.scaling.as_ref()),
    ];
    let condition = |(kind, verdict): (&str, Option<&Verdict>)| {
        let verdict = verdict?;
        let before = stored.iter().find(|condition| condition.type_ == kind);
        let since = before.filter(|condition| condition.status == verdict.status);
        Some(Condition {
            type_: kind.to_owned(),
            status: verdict.status.to_owned(),
            reason: verdict.reason.to_owned(),
            message: verdict.message.clone(),
            observed_generation: generation,
            last_transition_time: since.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        })
    };
    all.into_iter().filter_map(condition).collect()
}

/// Whether a condition is new or says something else than before, so that it is
/// worth an event.
pub fn has_changed(stored: &[Condition], new: &Condition) -> bool {
    let before = stored.iter().find(|condition| condition.type_ == new.type_);
    before.is_none_or(|before| {
        (&before.status, &before.reason, &before.message) != (&new.status, &new.reason, &new.message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(ready: Verdict) -> Verdicts {
        let good = Verdict::good("Rendered", "");
        Verdicts { rendered: good.clone(), applied: good, scaling: None, ready }
    }

    #[test]
    fn keeps_the_time_while_a_status_stays() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let first = conditions(&[], &verdicts(Verdict::bad("NotReady", "a")), Some(1), at(1));
        let second = conditions(&first, &verdicts(Verdict::bad("NotReady", "b")), Some(2), at(2));
        let third = conditions(&second, &verdicts(Verdict::good("Ready", "")), Some(2), at(3));
        let ready = |all: &[Condition]| {
            let ready = all.iter().find(|condition| condition.type_ == "Ready").unwrap().clone();
            (ready.last_transition_time.0.as_second(), ready.message, ready.observed_generation)
        };
        assert_eq!(ready(&first), (1, "a".to_owned(), Some(1)));
        assert_eq!(ready(&second), (1, "b".to_owned(), Some(2)));
        assert_eq!(ready(&third), (3, String::new(), Some(2)));
        assert_eq!(first.len(), 3);
    }

    #[test]
    fn knows_what_is_worth_an_event() {
        let now = Timestamp::from_second(1).unwrap();
        let all = |message: &str| conditions(&[], &verdicts(Verdict::bad("NotReady", message)), Some(1), now);
        let before = all("a");
        assert!(has_changed(&[], &before[0]));
        assert!(!has_changed(&before, &all("a")[0]));
        assert!(has_changed(&before, &all("b")[0]));
    }
}
