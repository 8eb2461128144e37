//! How real FHIR servers differ where a careful client notices it.
//!
//! Each method is one row of the measurements in crates-and-components.md 6,
//! so that the rest of the server reads as one behaviour with named choices.

use std::str::FromStr;

/// Which server's habits are imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// HAPI FHIR JPA 8.8 with its default checks.
    Hapi,
    /// Microsoft's FHIR server.
    Azure,
    /// A strict server with opaque version ids; otherwise as the standard says.
    Uuid,
}

/// A personality that this server does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("FHIR server personality is `{0}`; expected `hapi`, `azure` or `uuid`")]
pub struct UnknownPersonality(String);

impl FromStr for Personality {
    type Err = UnknownPersonality;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hapi" => Ok(Self::Hapi),
            "azure" => Ok(Self::Azure),
            "uuid" => Ok(Self::Uuid),
            _ => Err(UnknownPersonality(text.to_owned())),
        }
    }
}

/// What an update with `If-Match` does when there is no such resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AbsentMatch {
    /// The header is ignored and the resource is created.
    Creates,
    /// Answered with this status.
    Refused(u16),
}

impl Personality {
    /// The name as given on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hapi => "hapi",
            Self::Azure => "azure",
            Self::Uuid => "uuid",
        }
    }

    /// The status of an update whose `If-Match` is not the current version.
    pub(super) fn stale_status(self) -> u16 {
        match self {
            Self::Hapi => 409,
            Self::Azure | Self::Uuid => 412,
        }
    }

    pub(super) fn absent_match(self) -> AbsentMatch {
        match self {
            Self::Hapi => AbsentMatch::Creates,
            Self::Azure => AbsentMatch::Refused(404),
            Self::Uuid => AbsentMatch::Refused(412),
        }
    }

    /// Whether `If-None-Match: *` on an update protects what exists; the two
    /// widespread servers overwrite it.
    pub(super) fn honours_if_none_match(self) -> bool {
        self == Self::Uuid
    }

    /// Whether an update after a delete answers 200, as only version 1 is a
    /// creation to Microsoft's server.
    pub(super) fn revival_is_update(self) -> bool {
        self == Self::Azure
    }

    /// Whether an update with the content that is already there makes no
    /// version.
    pub(super) fn keeps_version_of_identical(self) -> bool {
        self != Self::Uuid
    }

    /// Whether a client may choose an id of digits only; HAPI keeps them for
    /// itself.
    pub(super) fn allows_numeric_client_ids(self) -> bool {
        self != Self::Hapi
    }

    /// Whether a reference to a resource that is not here is refused.
    pub(super) fn checks_references(self) -> bool {
        self == Self::Hapi
    }

    /// Whether elements that FHIR requires must be there; HAPI's default
    /// checks let an Observation without `code` pass.
    pub(super) fn checks_required(self) -> bool {
        self != Self::Hapi
    }

    /// Whether one resource that cannot be parsed refuses its whole bundle.
    pub(super) fn parses_bundle_as_one(self) -> bool {
        self != Self::Uuid
    }

    /// Whether a read that misses in a transaction is only that entry's 404.
    pub(super) fn transaction_reads_may_miss(self) -> bool {
        self == Self::Hapi
    }

    /// Whether a bundle entry's etag is the version alone, without `W/""`.
    pub(super) fn bare_entry_etags(self) -> bool {
        self == Self::Hapi
    }

    /// Whether a bundle entry's status is the number without its phrase.
    pub(super) fn bare_entry_status(self) -> bool {
        self == Self::Azure
    }

    /// Whether bundle answers hold the saved resources unless `Prefer` says
    /// otherwise.
    pub(super) fn entry_bodies_by_default(self) -> bool {
        self == Self::Azure
    }

    /// Whether searches are answered from a cache of 60 seconds.
    pub(super) fn caches_searches(self) -> bool {
        self == Self::Hapi
    }

    /// Whether a write reads first and takes its lock later, so that parallel
    /// writes of one id end in 409 and parallel conditional updates double.
    pub(super) fn writes_optimistically(self) -> bool {
        self == Self::Hapi
    }

    /// Whether ids given by the server are numbers rather than UUIDs.
    pub(super) fn numbers_resources(self) -> bool {
        self == Self::Hapi
    }

    /// Whether version ids are random rather than 1, 2, 3.
    pub(super) fn opaque_versions(self) -> bool {
        self == Self::Uuid
    }

    /// The status of a delete that went well.
    pub(super) fn deleted_status(self) -> u16 {
        match self {
            Self::Hapi => 200,
            Self::Azure | Self::Uuid => 204,
        }
    }

    /// Matches on a page when the client names no `_count`. Small, so that
    /// following `next` is exercised.
    pub(super) fn page_size(self) -> usize {
        match self {
            Self::Hapi | Self::Uuid => 20,
            Self::Azure => 10,
        }
    }
}
