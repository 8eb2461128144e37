//! Shares the partitions of a hub out among the processes that read it.
//!
//! Nobody leads: each process looks at who owns what, claims what is free up to
//! its share, and takes from those who have more than theirs. Claims are
//! conditional, so two that want the same partition do not both get it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::positions::{Ownership, Version};

/// A partition to be claimed.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its id.
    pub partition: String,
    /// What its ownership has to be unchanged from.
    pub expected: Option<Version>,
    /// Whether another process may be at work on it and does not know yet.
    pub is_taken: bool,
}

/// What `me` claims now. `held` says what it holds already; `random` decides
/// between equals, so that processes that start together do not all want the
/// same.
pub fn claims(
    partitions: &[String],
    ownerships: &[Ownership],
    (me, held): (&str, &dyn Fn(&str) -> bool),
    expiry: Duration,
    mut random: impl FnMut() -> u64,
) -> Vec<Claim> {
    let view: Vec<View<'_>> = partitions.iter().map(|partition| View::of(partition, ownerships, expiry)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    // What we hold is ours although a store that was away let it expire.
    let is_held = |seen: &View<'_>| seen.owner.is_none() && held(seen.partition);
    counts.insert(me, view.iter().filter(|seen| is_held(seen)).count());
    view.iter().filter_map(|seen| seen.owner).for_each(|owner| *counts.entry(owner).or_default() += 1);

    // Ours by the store and not by us: a claim whose answer got lost, or a
    // partition that was given up.
    let is_ours_to_take = |seen: &&View<'_>| seen.owner == Some(me) && !held(seen.partition);
    let mut claims: Vec<Claim> = view.iter().filter(is_ours_to_take).map(|seen| seen.claim(false)).collect();

    let mut wanted = share(&counts, me, partitions.len()).saturating_sub(counts[me]);
    let mut free: Vec<&View<'_>> = view.iter().filter(|seen| seen.owner.is_none() && !is_held(seen)).collect();
    while wanted > 0 && !free.is_empty() {
        let seen = free.swap_remove(random() as usize % free.len());
        claims.push(seen.claim(false));
        wanted -= 1;
        *counts.entry(me).or_default() += 1;
    }
    while wanted > 0 {
        // From whoever has the most, as long as that makes the shares more equal.
        let Some((richest, count)) = counts.iter().max_by_key(|entry| *entry.1).map(|(owner, count)| (*owner, *count))
        else {
            break;
        };
        if count < counts[me] + 2 {
            break;
        }
        let is_claimed = |partition: &str| claims.iter().any(|claim| claim.partition == partition);
        let theirs: Vec<&View<'_>> =
            view.iter().filter(|seen| seen.owner == Some(richest) && !is_claimed(seen.partition)).collect();
        if theirs.is_empty() {
            break;
        }
        claims.push(theirs[random() as usize % theirs.len()].claim(true));
        *counts.entry(richest).or_default() -= 1;
        *counts.entry(me).or_default() += 1;
        wanted -= 1;
    }
    claims
}

/// How many partitions are `me`'s: as many as everybody's, and one of those
/// that are left over if others do not have them all.
fn share(counts: &BTreeMap<&str, usize>, me: &str, partitions: usize) -> usize {
    let (fair, left_over) = (partitions / counts.len(), partitions % counts.len());
    let with_more = counts.iter().filter(|(owner, count)| **owner != me && **count > fair).count();
    fair + usize::from(with_more < left_over)
}

/// What an owner is called, without what makes each of its starts different.
pub(super) fn name(owner: &str) -> &str {
    owner.split_once(START).map_or(owner, |(name, _)| name)
}

/// What stands between a name and the number of its start.
pub(super) const START: char = '#';

/// A partition as the store has it.
struct View<'v> {
    partition: &'v str,
    /// Who is at work on it; nobody when the ownership has expired.
    owner: Option<&'v str>,
    version: Option<&'v Version>,
}

impl<'v> View<'v> {
    fn of(partition: &'v str, ownerships: &'v [Ownership], expiry: Duration) -> View<'v> {
        let Some(ownership) = ownerships.iter().find(|ownership| ownership.partition == partition) else {
            return View { partition, owner: None, version: None };
        };
        let owner = ownership.owner.as_deref().filter(|_| ownership.age < expiry).map(name);
        View { partition, owner, version: Some(&ownership.version) }
    }

    fn claim(&self, is_taken: bool) -> Claim {
        Claim { partition: self.partition.to_owned(), expected: self.version.cloned(), is_taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRY: Duration = Duration::from_secs(60);

    /// `owners` has a word for each partition: its owner, `-` when released,
    /// `.` when never owned, and a `!` behind an owner that is gone. `held` are
    /// the partitions that we hold.
    fn claimed(owners: &str, held: &[&str]) -> String {
        let words: Vec<&str> = owners.split(' ').collect();
        let partitions: Vec<String> = (0..words.len()).map(|index| index.to_string()).collect();
        let ownership = |(index, word): (usize, &&str)| {
            let owner = word.trim_end_matches('!');
            (owner != ".").then(|| Ownership {
                partition: index.to_string(),
                owner: (owner != "-").then(|| owner.to_owned()),
                age: if word.ends_with('!') { EXPIRY } else { Duration::ZERO },
                version: Version(format!("v{index}")),
            })
        };
        let ownerships: Vec<Ownership> = words.iter().enumerate().filter_map(ownership).collect();
        let held = |partition: &str| held.contains(&partition);
        let claims = claims(&partitions, &ownerships, ("me", &held), EXPIRY, || 0);
        let show = |claim: &Claim| {
            let version = claim.expected.as_ref().map_or("new", |version| version.0.as_str());
            let taken = if claim.is_taken { " taken" } else { "" };
            format!("{}:{version}{taken}", claim.partition)
        };
        claims.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn claims_its_share() {
        let cases = [
            ("alone: everything that is free", ". - b! .", "0:new, 3:new, 2:v2, 1:v1"),
            ("everybody has one", "a b c d", ""),
            ("nothing is free", "a a b b", "2:v2 taken"),
            ("one each, of three", "a a a", "0:v0 taken"),
            ("half of four", "a a a a", "0:v0 taken, 1:v1 taken"),
            ("a free one is not taken from anybody", "a a a .", "3:new, 0:v0 taken"),
            ("what is left over goes to one", "a a me b", ""),
            ("its share is full", "me me a .", ""),
            ("equal already", "me me a a", ""),
            ("more processes than partitions", "a b", ""),
            ("starts of one process are one", "a#1 a#2 a#1 b#7", "0:v0 taken"),
        ];
        for (name, owners, expected) in cases {
            let held: Vec<String> = (0..)
                .zip(owners.split(' '))
                .filter(|one| one.1 == "me")
                .map(|one: (usize, _)| one.0.to_string())
                .collect();
            let held: Vec<&str> = held.iter().map(String::as_str).collect();
            assert_eq!(claimed(owners, &held), expected, "{name}");
        }
    }

    #[test]
    fn claims_nothing_twice_that_it_holds_while_the_store_takes_it_for_free() {
        assert_eq!(claimed("me! me! a a", &["0", "1"]), "");
        assert_eq!(claimed("me! me! - -", &["0", "1"]), "2:v2, 3:v3");
    }

    #[test]
    fn takes_up_again_what_is_its_own_by_the_store_only() {
        assert_eq!(claimed("me me a a", &["0"]), "1:v1");
        assert_eq!(claimed("me#2 me#1 a#1 a#1", &["0"]), "1:v1", "of an earlier start");
    }

    /// Whoever starts and stops: in the end all is owned, and evenly.
    #[test]
    fn comes_to_even_shares() {
        for processes in 1..=5_usize {
            for partitions in 1..=9_usize {
                let names: Vec<String> = (0..partitions).map(|index| index.to_string()).collect();
                let mut owners = vec![Some(0_usize); partitions];
                owners[0] = None;
                for round in 0..40 {
                    let me = round % processes;
                    let ownerships: Vec<Ownership> = owners
                        .iter()
                        .enumerate()
                        .map(|(index, owner)| Ownership {
                            partition: index.to_string(),
                            owner: owner.map(|owner| format!("p{owner}")),
                            age: Duration::ZERO,
                            version: Version(String::new()),
                        })
                        .collect();
                    let before = owners.clone();
                    let held = |partition: &str| before[partition.parse::<usize>().unwrap()] == Some(me);
                    for claim in claims(&names, &ownerships, (&format!("p{me}"), &held), EXPIRY, || 7) {
                        owners[claim.partition.parse::<usize>().unwrap()] = Some(me);
                    }
                }
                let counts: Vec<usize> =
                    (0..processes).map(|me| owners.iter().filter(|owner| **owner == Some(me)).count()).collect();
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 1, "{processes} processes, {partitions} partitions: {counts:?}");
                assert_eq!(counts.iter().sum::<usize>(), partitions);
            }
        }
    }
}
