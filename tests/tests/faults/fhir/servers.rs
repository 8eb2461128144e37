//! The servers on which faults are tried.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;
use std::thread;

use end_to_end::fhir::Fhir;
use end_to_end::hapi::Hapi;
use end_to_end::own_server::OwnServer;
use end_to_end::sekmet::Sekmet;

use crate::selection::is_full;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hapi,
    Sekmet,
    /// Our own, with the habits of one of three.
    Own(&'static str),
}

pub const OWN_HAPI: Kind = Kind::Own("hapi");
pub const OWN_AZURE: Kind = Kind::Own("azure");
pub const OWN_UUID: Kind = Kind::Own("uuid");

/// All on which faults are tried.
pub const ALL: [Kind; 5] = [OWN_HAPI, OWN_AZURE, OWN_UUID, Kind::Sekmet, Kind::Hapi];

/// A running server. HAPI is one for all tests, since it starts slowly, and
/// belongs to one of them at a time.
pub enum Server {
    Hapi(MutexGuard<'static, Option<Hapi>>),
    Sekmet(Sekmet),
    Own(OwnServer),
}

impl Kind {
    pub fn start(self) -> Server {
        match self {
            Kind::Hapi => Server::Hapi(Hapi::shared()),
            Kind::Sekmet => Server::Sekmet(Sekmet::start()),
            Kind::Own(personality) => Server::Own(OwnServer::start(personality)),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Hapi => "HAPI FHIR",
            Kind::Sekmet => "sekmet-fhir",
            Kind::Own("hapi") => "own, as HAPI",
            Kind::Own("azure") => "own, as Azure",
            Kind::Own(_) => "own, UUID versions",
        }
    }

    /// Whether a create overwrites what is there, in spite of
    /// `If-None-Match: *` (docs/fhir-servers.md).
    pub fn overwrites(self) -> bool {
        self != OWN_UUID
    }
}

impl Server {
    pub fn fhir(&self) -> &Fhir {
        match self {
            Server::Hapi(hapi) => &hapi.as_ref().expect("it was started").fhir,
            Server::Sekmet(sekmet) => &sekmet.fhir,
            Server::Own(own) => &own.fhir,
        }
    }
}

/// Tries a fault on `most`, where it bites most, or on all servers in a full
/// run; one that fails does not keep it from the others.
pub fn on(most: Kind, check: impl Fn(Kind)) {
    on_those(&ALL, most, check);
}

/// The same of the servers in `all`.
pub fn on_those(all: &[Kind], most: Kind, check: impl Fn(Kind)) {
    let kinds = if is_full() { all } else { &[most] };
    fail_together(kinds.iter().filter_map(|kind| failure(*kind, &check)).collect());
}

/// The same of all servers at the same time: for what waits more than it works.
pub fn on_all_at_once(most: Kind, check: impl Fn(Kind) + Sync) {
    let kinds = if is_full() { &ALL[..] } else { &[most] };
    let failed = thread::scope(|scope| {
        let checks: Vec<_> = kinds.iter().map(|kind| scope.spawn(|| failure(*kind, &check))).collect();
        checks.into_iter().filter_map(|check| check.join().expect("what fails is caught")).collect()
    });
    fail_together(failed);
}

/// What the check on a server says when it fails.
fn failure(kind: Kind, check: &impl Fn(Kind)) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| check(kind))).err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Some(format!("on {}: {}", kind.name(), text.unwrap_or("a panic without a text")))
}

#[track_caller]
fn fail_together(failed: Vec<String>) {
    assert!(failed.is_empty(), "it fails\n{}", failed.join("\n"));
}
