//! The hubs and what is in them: partitions on disk, their writers, and which
//! partition an event goes to.
//!
//! ```text
//! STATE/lock              held while a process uses the folder
//! STATE/<hub>/created-at  milliseconds since 1970
//! STATE/<hub>/hub.json    of a hub that was made or changed later (see `access`)
//! STATE/<hub>/<n>.log     one partition (see `log`)
//! STATE/.removed-…        a hub that is on its way out
//! ```
//!
//! How a partition is written and read is in `partition`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use super::HubConfig;
use super::access::{Access, Rules};
use super::log::LogError;
use super::partition::Partition;

/// The service's own limit for a hub outside dedicated clusters is 32.
const PARTITIONS_MAX: u16 = 1024;
/// The group that every hub has.
pub const DEFAULT_GROUP: &str = "$Default";
/// What the folder of a removed hub begins with; no hub's name does.
const REMOVED: &str = ".removed-";

/// Why the state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or a file in it can't be made, read or written.
    #[error("the state folder can't be used at `{}`", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the folder's lock.
    #[error("another process uses the state folder `{}`", path.display())]
    InUse {
        /// The state folder.
        path: PathBuf,
    },
    /// A partition's file can't be used.
    #[error("a partition of hub `{hub}` can't be opened")]
    Partition {
        /// Name of the hub.
        hub: String,
        /// What is wrong with its file.
        source: LogError,
    },
    /// The folder holds more partitions than the hub is to have. Their events
    /// would be out of reach.
    #[error("hub `{hub}` is to have {wanted} partitions but has {present} in the state folder")]
    FewerPartitions {
        /// Name of the hub.
        hub: String,
        /// Partitions asked for.
        wanted: u16,
        /// Partitions in the folder.
        present: usize,
    },
    /// A name that Event Hubs would not take, or that two hubs share.
    #[error("`{name}` can't be a hub: names are letters, digits, `.`, `-` and `_`, and unique")]
    HubName {
        /// The name asked for.
        name: String,
    },
    /// No partitions, or too many.
    #[error("hub `{hub}` is to have {partitions} partitions; expected 1 to {PARTITIONS_MAX}")]
    PartitionCount {
        /// Name of the hub.
        hub: String,
        /// Partitions asked for.
        partitions: u16,
    },
}

/// All hubs of one state folder.
#[derive(Debug)]
pub struct Store {
    state: PathBuf,
    default_partitions: u16,
    /// By name in lower case: names are compared without regard to case.
    hubs: RwLock<BTreeMap<String, Arc<Hub>>>,
    /// Held by whoever changes which hubs there are, or who may use one.
    changing: Mutex<()>,
    /// Released when the store is dropped, or by the system when the process dies.
    _lock: File,
}

/// One hub.
#[derive(Debug)]
pub struct Hub {
    /// As configured.
    pub name: String,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// In the order of their ids, which are their positions.
    pub partitions: Vec<Arc<Partition>>,
    folder: PathBuf,
    access: watch::Sender<Access>,
    /// Counts transfers without partition and key.
    turn: AtomicUsize,
}

/// A hub that is to be there.
#[derive(Clone, Copy, Debug)]
struct Wanted<'w> {
    name: &'w str,
    partitions: u16,
    consumer_groups: &'w [String],
    /// Whether anyone may use it, if nothing was kept that says otherwise.
    is_open: bool,
}

impl Store {
    /// Opens the folder, making what is missing, and starts the writers on the
    /// current tokio runtime. Reads every partition through once. Beside `hubs`
    /// there are those that were made in it before.
    pub fn open(state: &Path, hubs: &[HubConfig], default_partitions: u16) -> Result<Self, StoreError> {
        fs::create_dir_all(state).map_err(|source| StoreError::Io { path: state.to_owned(), source })?;
        let lock = lock(state)?;
        let mut opened = BTreeMap::new();
        for config in hubs {
            let key = config.name.to_lowercase();
            if opened.contains_key(&key) {
                return Err(StoreError::HubName { name: config.name.clone() });
            }
            let wanted = Wanted {
                name: &config.name,
                partitions: config.partitions.unwrap_or(default_partitions),
                consumer_groups: &config.consumer_groups,
                is_open: true,
            };
            opened.insert(key, Arc::new(Hub::open(state, wanted)?));
        }
        for access in made_before(state)? {
            let key = access.name.to_lowercase();
            if !opened.contains_key(&key) {
                let Access { name, partitions, is_open, .. } = &access;
                let wanted = Wanted { name, partitions: *partitions, consumer_groups: &[], is_open: *is_open };
                opened.insert(key, Arc::new(Hub::open(state, wanted)?));
            }
        }
        let (hubs, changing) = (RwLock::new(opened), Mutex::default());
        Ok(Self { state: state.to_owned(), default_partitions, hubs, changing, _lock: lock })
    }

    /// The hub of this name, without regard to case.
    pub fn hub(&self, name: &str) -> Option<Arc<Hub>> {
        let hubs = self.hubs.read().unwrap_or_else(PoisonError::into_inner);
        hubs.get(&name.to_lowercase()).cloned()
    }

    /// All hubs, by name.
    pub fn hubs(&self) -> Vec<Arc<Hub>> {
        self.hubs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes a hub; one that is there keeps its partitions. Needs the runtime
    /// that the writers run on.
    pub fn make(&self, name: &str, partitions: Option<u16>, is_open: bool) -> Result<Arc<Hub>, StoreError> {
        let _changing = self.changing();
        if let Some(hub) = self.hub(name) {
            if hub.access().is_open != is_open {
                hub.change(|access| access.is_open = is_open)?;
            }
            return Ok(hub);
        }
        let partitions = partitions.unwrap_or(self.default_partitions);
        let hub = Arc::new(Hub::open(&self.state, Wanted { name, partitions, consumer_groups: &[], is_open })?);
        // Kept last: a hub that was made half way is not there after a restart.
        hub.change(|_| ())?;
        let mut hubs = self.hubs.write().unwrap_or_else(PoisonError::into_inner);
        hubs.insert(name.to_lowercase(), hub.clone());
        Ok(hub)
    }

    /// Removes a hub with its events, and gives whether there was one. Who uses
    /// it has to leave.
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let _changing = self.changing();
        let Some(hub) = self.hub(name) else { return Ok(false) };
        let gone = self.state.join(format!("{REMOVED}{}", uuid::Uuid::new_v4()));
        let failed = |source| StoreError::Io { path: hub.folder.clone(), source };
        // At once, so that no crash leaves half of it to the next hub of the name.
        fs::rename(&hub.folder, &gone).and_then(|()| sync_folder(&self.state)).map_err(failed)?;
        self.hubs.write().unwrap_or_else(PoisonError::into_inner).remove(&name.to_lowercase());
        hub.access.send_modify(|access| access.is_removed = true);
        fs::remove_dir_all(&gone).map_err(failed)?;
        Ok(true)
    }

    /// Changes who may use a hub; none when there is no such hub.
    pub fn change<T>(&self, name: &str, change: impl FnOnce(&mut Access) -> T) -> Result<Option<T>, StoreError> {
        let _changing = self.changing();
        self.hub(name).map(|hub| hub.change(change)).transpose()
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hubs that were made in a state folder, or changed. What was on its way
/// out when the process died goes now.
fn made_before(state: &Path) -> Result<Vec<Access>, StoreError> {
    let failed = |path: &Path, source| StoreError::Io { path: path.to_owned(), source };
    let mut made = Vec::new();
    for entry in fs::read_dir(state).map_err(|source| failed(state, source))? {
        let path = entry.map_err(|source| failed(state, source))?.path();
        if !path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(REMOVED)) {
            fs::remove_dir_all(&path).map_err(|source| failed(&path, source))?;
            continue;
        }
        made.extend(Access::read(&path).map_err(|source| failed(&path, source))?);
    }
    Ok(made)
}

fn lock(state: &Path) -> Result<File, StoreError> {
    let path = state.join("lock");
    let failed = |source| StoreError::Io { path: path.clone(), source };
    let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: state.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

impl Hub {
    fn open(state: &Path, wanted: Wanted<'_>) -> Result<Self, StoreError> {
        let Wanted { name, partitions, consumer_groups, is_open } = wanted;
        // The name is also a folder's: no separators, no `.` and `..`.
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) {
            return Err(StoreError::HubName { name: name.to_owned() });
        }
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(StoreError::PartitionCount { hub: name.to_owned(), partitions });
        }
        let folder = state.join(name.to_lowercase());
        let failed = |source| StoreError::Io { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let created_ms = created_ms(&folder).map_err(failed)?;
        let present = logs_in(&folder).map_err(failed)?;
        if present > usize::from(partitions) {
            return Err(StoreError::FewerPartitions { hub: name.to_owned(), wanted: partitions, present });
        }
        let kept = Access::read(&folder).map_err(failed)?;
        let opened = (0..partitions)
            .map(|id| Partition::open(&folder.join(format!("{id}.log")), name, id).map(Arc::new))
            .collect::<Result<_, _>>()
            .map_err(|source| StoreError::Partition { hub: name.to_owned(), source })?;
        // New files are in their folder for good only once the folder is on disk.
        sync_folder(&folder).and_then(|()| sync_folder(state)).map_err(failed)?;
        let mut access = kept.unwrap_or_else(|| Access {
            name: name.to_owned(),
            partitions,
            is_open,
            consumer_groups: BTreeSet::new(),
            rules: Rules::default(),
            is_removed: false,
        });
        access.partitions = partitions;
        access.consumer_groups.extend(consumer_groups.iter().cloned());
        let (access, turn) = (watch::Sender::new(access), AtomicUsize::new(0));
        Ok(Self { name: name.to_owned(), created_ms, partitions: opened, folder, access, turn })
    }

    /// The partition with this id.
    pub fn partition(&self, id: &str) -> Option<&Arc<Partition>> {
        self.partitions.get(id.parse::<usize>().ok()?)
    }

    /// Who may use it now.
    pub fn access(&self) -> watch::Ref<'_, Access> {
        self.access.borrow()
    }

    /// Follows who may use it.
    pub fn watch(&self) -> watch::Receiver<Access> {
        self.access.subscribe()
    }

    /// Changes who may use it: on disk first.
    fn change<T>(&self, change: impl FnOnce(&mut Access) -> T) -> Result<T, StoreError> {
        let mut access = self.access().clone();
        let made = change(&mut access);
        access.write(&self.folder).map_err(|source| StoreError::Io { path: self.folder.clone(), source })?;
        self.access.send_replace(access);
        Ok(made)
    }

    /// The partition for a transfer whose sender chose none: by its key, else
    /// the next in turn. All events of a batch go to the same one.
    pub fn choose(&self, partition_key: Option<&str>) -> &Arc<Partition> {
        let number = match partition_key {
            Some(key) => fnv1a(key) as usize,
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        &self.partitions[number % self.partitions.len()]
    }

    /// How many events were ever sent to the hub.
    pub fn event_count(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.count()).sum()
    }
}

/// Event Hubs does not say how it hashes keys; any function that never changes
/// serves. FNV-1a, 64 bits.
fn fnv1a(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// When the hub was made: kept in a file, so that a restart does not change it.
fn created_ms(folder: &Path) -> io::Result<i64> {
    let path = folder.join("created-at");
    match fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()) {
        Some(milliseconds) => Ok(milliseconds),
        None => {
            let now = now_ms();
            fs::write(&path, now.to_string())?;
            Ok(now)
        }
    }
}

fn logs_in(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        count += usize::from(entry?.path().extension().is_some_and(|extension| extension == "log"));
    }
    Ok(count)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(name: &str, partitions: u16) -> HubConfig {
        HubConfig { name: name.to_owned(), partitions: Some(partitions), consumer_groups: vec!["normalize".to_owned()] }
    }

    fn number(hub: &Hub, partition: &Arc<Partition>) -> usize {
        hub.partitions.iter().position(|candidate| Arc::ptr_eq(candidate, partition)).unwrap()
    }

    #[tokio::test]
    async fn chooses_partitions_by_key_or_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &[hub("h", 4)], 1).unwrap();
        let hub = &store.hub("H").unwrap();
        let turns: Vec<usize> = (0..5).map(|_| number(hub, hub.choose(None))).collect();
        assert_eq!(turns, [0, 1, 2, 3, 0]);
        // Written down: a key must stay where it is from version to version.
        let keys: Vec<usize> =
            ["device-1", "device-2", "device-3", "device-4"].map(|key| number(hub, hub.choose(Some(key)))).to_vec();
        assert_eq!(keys, [1, 0, 3, 2]);
    }

    #[tokio::test]
    async fn names_are_compared_without_regard_to_case() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &[hub("DeviceData", 1)], 1).unwrap();
        assert_eq!(store.hub("devicedata").map(|hub| hub.name.clone()).as_deref(), Some("DeviceData"));
        let hub = store.hub("DEVICEDATA").unwrap();
        let groups = ["$default", "Normalize", "other"].map(|group| hub.access().has_consumer_group(group));
        assert_eq!(groups, [true, true, false]);
        assert!(hub.partition("0").is_some() && hub.partition("1").is_none() && hub.partition("x").is_none());
    }

    #[tokio::test]
    async fn refuses_hubs_that_can_not_be() {
        let cases: [(&[HubConfig], &str); 6] = [
            (&[hub("../x", 1)], "`../x` can't be a hub"),
            (&[hub("..", 1)], "`..` can't be a hub"),
            (&[hub("", 1)], "`` can't be a hub"),
            (&[hub("a", 1), hub("A", 1)], "`A` can't be a hub"),
            (&[hub("a", 0)], "hub `a` is to have 0 partitions"),
            (&[hub("a", 2000)], "hub `a` is to have 2000 partitions"),
        ];
        for (hubs, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            let message = Store::open(folder.path(), hubs, 1).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[tokio::test]
    async fn a_folder_serves_one_process_and_never_loses_partitions() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &[hub("h", 2)], 1).unwrap();
        let created = store.hub("h").unwrap().created_ms;
        assert!(matches!(Store::open(folder.path(), &[hub("h", 2)], 1), Err(StoreError::InUse { .. })));
        drop(store);
        let fewer = Store::open(folder.path(), &[hub("h", 1)], 1).unwrap_err();
        assert!(matches!(fewer, StoreError::FewerPartitions { wanted: 1, present: 2, .. }), "{fewer}");
        let more = Store::open(folder.path(), &[hub("h", 3)], 1).unwrap();
        assert_eq!(more.hub("h").map(|hub| (hub.partitions.len(), hub.created_ms)), Some((3, created)));
    }

    #[tokio::test]
    async fn a_hub_that_was_made_is_there_after_a_restart_and_one_that_was_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &[hub("fixed", 1)], 3).unwrap();
        let made = store.make("Made", None, false).unwrap();
        assert_eq!((made.partitions.len(), made.access().is_open), (3, false));
        store.change("made", |access| access.consumer_groups.insert("g".to_owned())).unwrap().unwrap();
        made.choose(None).append(vec![b"event".to_vec()]).await.unwrap().stored().await.unwrap();
        store.make("gone", Some(1), true).unwrap();
        // One that was on its way out when the process died.
        fs::create_dir(folder.path().join(".removed-1")).unwrap();
        drop((made, store));
        let store = Store::open(folder.path(), &[hub("fixed", 1)], 3).unwrap();
        let made = store.hub("made").unwrap();
        assert_eq!(
            (made.event_count(), made.access().has_consumer_group("G"), made.access().is_open),
            (1, true, false)
        );
        assert!(store.remove("GONE").unwrap() && store.remove("Made").unwrap());
        assert!(!store.remove("made").unwrap());
        assert!(made.access().is_removed);
        assert_eq!(store.make("made", None, true).unwrap().event_count(), 0);
        drop((made, store));
        let store = Store::open(folder.path(), &[], 3).unwrap();
        let names: Vec<String> = store.hubs().iter().map(|hub| hub.name.clone()).collect();
        // What was only configured is there again when it is configured again.
        assert_eq!(names, ["made"]);
        assert!(!folder.path().join(".removed-1").exists());
    }
}
