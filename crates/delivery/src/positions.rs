//! Where the partitions of a hub stand, and whose they are: kept outside the
//! process, in the layout that KEDA and the Functions host read
//! (functions-eventhubs-keda.md 4).

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use expressions::UtcTime;

use crate::away::Away;
use crate::batch::Source;

/// The positions of one hub and consumer group.
pub trait Positions: Send + Sync + 'static {
    /// Who owns what.
    fn ownerships(&self) -> impl Future<Output = Result<Vec<Ownership>, Away>> + Send;

    /// Makes `owner` the owner of a partition if nobody changed its ownership
    /// since it had the version `expected`; none means that there is none yet.
    /// No owner releases it. Gives the new version, or none when somebody did.
    fn claim(
        &self,
        partition: &str,
        owner: Option<&str>,
        expected: Option<&Version>,
    ) -> impl Future<Output = Result<Option<Version>, Away>> + Send;

    /// The position of a partition.
    fn checkpoint(&self, partition: &str) -> impl Future<Output = Result<Option<(Checkpoint, Version)>, Away>> + Send;

    /// Writes a position if nobody changed it since it had the version
    /// `expected`; none means that there is none yet. Gives the new version, or
    /// none when somebody did.
    fn write_checkpoint(
        &self,
        partition: &str,
        checkpoint: &Checkpoint,
        expected: Option<&Version>,
    ) -> impl Future<Output = Result<Option<Version>, Away>> + Send;

    /// The last window of a partition that was begun.
    fn window(&self, partition: &str) -> impl Future<Output = Result<Option<(WindowMark, Version)>, Away>> + Send;

    /// Takes note of a window that is about to be begun, if nobody took note of
    /// another since that had the version `expected`; none means that there is
    /// none yet. Gives the new version, or none when somebody did.
    fn write_window(
        &self,
        partition: &str,
        window: &WindowMark,
        expected: Option<&Version>,
    ) -> impl Future<Output = Result<Option<Version>, Away>> + Send;

    /// Forgets the positions of every other hub that this reader read before
    /// with its consumer group: when it reads one of them again, it starts from
    /// its beginning (design.md D14). What other readers stored stays, and so
    /// does a hub of which a partition is owned that was renewed less than
    /// `expiry` ago: somebody reads it. Gives what was forgotten, as
    /// `namespace/hub/partition`.
    fn forget_others(&self, expiry: Duration) -> impl Future<Output = Result<Vec<String>, Away>> + Send;
}

/// The names under which the positions of a hub and consumer group are stored.
///
/// In lower case: .NET writes them so, KEDA compares them as they are, and the
/// service tells no case apart (functions-eventhubs-keda.md 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    hub: String,
    group: String,
}

/// What is stored of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who owns it.
    Ownership,
    /// Its position.
    Checkpoint,
    /// Its last window that was begun.
    Window,
}

/// A hub or its namespace has no name, so that its positions would be mixed
/// with those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} has no name")]
pub struct NoName(pub &'static str);

impl Layout {
    /// The names for a source; its partition does not matter.
    pub fn new(source: &Source) -> Result<Layout, NoName> {
        let name = |what, name: &str| match name.trim() {
            "" => Err(NoName(what)),
            name => Ok(name.to_lowercase()),
        };
        let (namespace, hub) = (name("namespace", &source.namespace)?, name("hub", &source.hub)?);
        let group = name("consumer group", &source.consumer_group)?;
        Ok(Layout { hub: format!("{namespace}/{hub}"), group })
    }

    /// What all names of a kind begin with.
    pub fn prefix(&self, kind: Kind) -> String {
        let kind = match kind {
            Kind::Ownership => "ownership",
            Kind::Checkpoint => "checkpoint",
            Kind::Window => "window",
        };
        format!("{}/{}/{kind}/", self.hub, self.group)
    }

    /// The name for a partition.
    pub fn name(&self, kind: Kind, partition: &str) -> String {
        self.prefix(kind) + partition
    }

    /// Whether a name is that of a position of our consumer group in another
    /// hub.
    pub fn is_of_another_hub(&self, name: &str) -> bool {
        let parts: Vec<&str> = name.split('/').collect();
        let [namespace, hub, group, kind, _] = parts.as_slice() else { return false };
        let is_position = matches!(*kind, "ownership" | "checkpoint" | "window");
        is_position
            && group.eq_ignore_ascii_case(&self.group)
            && !format!("{namespace}/{hub}").eq_ignore_ascii_case(&self.hub)
    }
}

/// A position of another hub, as a listing of the store has it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name, of which [`Layout::is_of_another_hub`].
    pub name: String,
    /// The function that stored it; none when it is not ours.
    pub reader: Option<String>,
    /// How long ago its owner claimed or renewed it; none when nobody owns it,
    /// or it is no ownership.
    pub owned: Option<Duration>,
}

/// The names of those that `reader` forgets: what it stored itself of hubs that
/// nobody reads any more ([`Positions::forget_others`]).
pub fn to_forget(others: Vec<Listed>, reader: &str, expiry: Duration) -> Vec<String> {
    let is_owned = |listed: &&Listed| listed.owned.is_some_and(|age| age < expiry);
    let read_now: BTreeSet<String> = others.iter().filter(is_owned).map(|listed| hub_of(&listed.name)).collect();
    let is_left =
        |listed: &Listed| listed.reader.as_deref() == Some(reader) && !read_now.contains(&hub_of(&listed.name));
    others.into_iter().filter(is_left).map(|listed| listed.name).collect()
}

/// `namespace/hub`, in lower case.
fn hub_of(name: &str) -> String {
    name.splitn(3, '/').take(2).collect::<Vec<_>>().join("/").to_lowercase()
}

/// What a name is of if it is a checkpoint's: `namespace/hub/partition`.
pub fn checkpointed(name: &str) -> Option<String> {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [namespace, hub, _, "checkpoint", partition] => Some(format!("{namespace}/{hub}/{partition}")),
        _ => None,
    }
}

/// One state of what is stored, to notice that somebody changed it: an ETag.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(pub String);

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who owns a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The partition.
    pub partition: String,
    /// Its owner; none when it was released.
    pub owner: Option<String>,
    /// How long ago it was claimed or renewed, by the clock of the store.
    pub age: Duration,
    /// For the next claim.
    pub version: Version,
}

/// The last event of a partition that everything is done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its sequence number.
    pub sequence_number: i64,
    /// Its offset; empty when it is not known.
    pub offset: String,
}

/// A window of a partition: what it holds, and since when it is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowMark {
    /// Sequence number of its first event.
    pub first: i64,
    /// Sequence number of its last event.
    pub last: i64,
    /// When it was begun.
    pub begun: UtcTime,
}

impl WindowMark {
    /// What stands in a place where somebody else wrote something: no window of
    /// ours.
    pub const UNREADABLE: WindowMark = WindowMark { first: i64::MIN, last: i64::MIN, begun: UtcTime::MIN };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(namespace: &str, hub: &str, group: &str) -> Result<Layout, String> {
        let (namespace, hub, group) = (namespace.to_owned(), hub.to_owned(), group.to_owned());
        let source = Source { namespace, hub, consumer_group: group, partition: String::new() };
        Layout::new(&source).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_those_of_the_functions_host() {
        let layout = layout("NS1.servicebus.windows.net", "DeviceData", "$Default").unwrap();
        let name = layout.name(Kind::Checkpoint, "0");
        assert_eq!(name, "ns1.servicebus.windows.net/devicedata/$default/checkpoint/0");
        assert_eq!(layout.prefix(Kind::Ownership), "ns1.servicebus.windows.net/devicedata/$default/ownership/");
    }

    #[test]
    fn a_source_without_names_has_no_positions() {
        assert_eq!(layout("", "hub", "g"), Err("the namespace has no name".to_owned()));
        assert_eq!(layout("ns", " ", "g"), Err("the hub has no name".to_owned()));
        assert_eq!(layout("ns", "hub", ""), Err("the consumer group has no name".to_owned()));
    }

    #[test]
    fn other_hubs_of_the_group_are_told_from_everything_else() {
        let layout = layout("ns", "hub", "g").unwrap();
        for (name, is_other) in [
            ("ns/hub/g/checkpoint/0", false),
            ("NS/Hub/G/checkpoint/0", false),
            ("ns/old/g/checkpoint/0", true),
            ("old/hub/g/window/31", true),
            ("ns/old/other/checkpoint/0", false),
            ("ns/old/g/letters/0", false),
            ("ns/old/g/checkpoint", false),
        ] {
            assert_eq!(layout.is_of_another_hub(name), is_other, "{name}");
        }
    }

    #[test]
    fn only_what_it_stored_itself_of_hubs_that_nobody_reads_is_forgotten() {
        const EXPIRY: Duration = Duration::from_secs(120);
        let listed = |name: &str, reader: Option<&str>, owned: Option<u64>| Listed {
            name: name.to_owned(),
            reader: reader.map(str::to_owned),
            owned: owned.map(Duration::from_secs),
        };
        let others = vec![
            listed("ns/left/g/ownership/0", Some("normalize"), Some(120)),
            listed("ns/left/g/ownership/1", Some("normalize"), None),
            listed("ns/left/g/checkpoint/0", Some("normalize"), None),
            listed("ns/left/g/checkpoint/1", Some("group-convert"), None),
            listed("ns/left/g/checkpoint/2", None, None),
            listed("ns/Read/g/ownership/0", Some("normalize"), Some(119)),
            listed("NS/read/g/checkpoint/1", Some("normalize"), None),
        ];
        let forgotten = to_forget(others, "normalize", EXPIRY);
        assert_eq!(forgotten, ["ns/left/g/ownership/0", "ns/left/g/ownership/1", "ns/left/g/checkpoint/0"]);
        let told: Vec<_> = forgotten.iter().filter_map(|name| checkpointed(name)).collect();
        assert_eq!(told, ["ns/left/0"]);
    }
}
