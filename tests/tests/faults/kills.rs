//! `kill -9` of every process at moments that chance chooses.

use std::collections::BTreeMap;
use std::path::Path;

use crate::chance::Chance;
use crate::course::Course;
use crate::fhir::servers::{Kind, OWN_UUID, Server, on};
use crate::selection::{is_full, report};

/// Events that are on their way when something is killed.
const ROUND_EVENTS: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Normalize,
    GroupConvert,
    Hub,
    Storage,
    Server,
}

const ALL: [Victim; 4] = [Victim::Normalize, Victim::GroupConvert, Victim::Hub, Victim::Server];

/// A server with its data in memory cannot be killed without losing it.
const ALL_BUT_SERVER: [Victim; 3] = [Victim::Normalize, Victim::GroupConvert, Victim::Hub];

#[test]
fn processes_are_killed_at_any_moment() {
    let rounds = if is_full() { 20 } else { 4 };
    on(OWN_UUID, |kind| {
        let victims: &[Victim] = if matches!(kind, Kind::Own(_)) { &ALL } else { &ALL_BUT_SERVER };
        check("kill -9 at random moments", kind, victims, rounds);
    });
}

/// By itself, since Azurite forgets what it has answered: windows may be cut
/// anew then, which makes no difference to these events.
#[test]
fn the_storage_is_killed_at_any_moment() {
    let rounds = if is_full() { 8 } else { 2 };
    check("kill -9 of the storage", OWN_UUID, &[Victim::Storage], rounds);
}

#[track_caller]
fn check(name: &str, kind: Kind, victims: &[Victim], rounds: usize) {
    let mut chance = Chance::new();
    let mut server = kind.start();
    let mut course = Course::with_functions(server.fhir());
    // Each in its turn, in an order of chance.
    let mut order: Vec<Victim> = victims.iter().copied().cycle().take(rounds).collect();
    chance.shuffle(&mut order);
    println!("{}: seed {}, {order:?}", kind.name(), chance.seed);
    for (round, victim) in order.iter().enumerate() {
        let before = course.done("normalize");
        let events = course.readings(round * ROUND_EVENTS..(round + 1) * ROUND_EVENTS);
        course.send(&events);
        let behind = before + chance.below(ROUND_EVENTS);
        course.until("some events of the round are done", || (course.done("normalize") >= behind).then_some(()));
        kill(*victim, &mut course, &mut server);
    }
    // Azurite may have forgotten the last positions, which nothing stores again
    // unless something comes.
    let last = course.readings(rounds * ROUND_EVENTS..(rounds + 1) * ROUND_EVENTS);
    course.send(&last);
    let outcome = course.check();
    let mut killed: BTreeMap<Victim, usize> = BTreeMap::new();
    order.iter().for_each(|victim| *killed.entry(*victim).or_default() += 1);
    let killed: Vec<String> = killed.iter().map(|(victim, count)| format!("{count} {victim:?}")).collect();
    let again = outcome.measurements - (rounds + 1) * ROUND_EVENTS;
    let came = format!("{again} of {} measurements came again", outcome.measurements);
    let seen = format!("killed {}; {came}; seed {}", killed.join(", "), chance.seed);
    report(name, kind.name(), rounds, seen);
}

fn kill(victim: Victim, course: &mut Course, server: &mut Server) {
    match victim {
        Victim::Normalize => course.kill("normalize", "n-a", &[]),
        Victim::GroupConvert => course.kill("group-convert", "c-a", &[]),
        Victim::Hub => {
            course.site.hub.kill();
            course.site.hub.start_again();
        }
        Victim::Storage => {
            // Azurite writes what it has to disk every few seconds; a container
            // that it forgot would be no crash but another account.
            course.until("Azurite has stored its containers", || {
                knows_containers(course.site.azurite.folder()).then_some(())
            });
            course.site.azurite.kill();
            course.forgets_windows = true;
            course.site.azurite.start_again();
        }
        Victim::Server => {
            let Server::Own(own) = server else { panic!("its data would be lost") };
            own.kill();
            own.start_again();
        }
    }
}

fn knows_containers(azurite: &Path) -> bool {
    let index = std::fs::read_to_string(azurite.join("__azurite_db_blob__.json")).unwrap_or_default();
    index.contains("positions-normalize") && index.contains("positions-convert")
}
