//! What the tests of shared buckets have in common: buckets, a wrapper that interferes with
//! requests, and a host with snapshots to upload.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::deletion::{self, Deleted, mark_and_sweep};
use super::lease::Lease;
use super::{Seen, SharedStore};
use crate::error::{Code, Result};
use crate::repository::manifest::Head;
use crate::repository::pack::PackEntry;
use crate::repository::testing::{Place, draft, entry, page};
use crate::storage::{Object, Reader, Staged, Store};

/// Longer than any test has to wait.
pub(super) const PATIENT: Duration = Duration::from_secs(50);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Makes tests of functions that take a bucket: each runs in memory and, where there is one, on
/// the real server.
macro_rules! on_every_bucket {
    ($($test:ident)*) => {
        mod in_memory {
            $(#[test] fn $test() { super::$test($crate::repository::bucket::memory::Memory::new()); })*
        }
        mod on_the_server {
            $(#[test] fn $test() {
                let scratch = tempfile::tempdir().unwrap();
                match $crate::storage::fresh_s3_store(scratch.path()) {
                    Some(store) => super::$test(store),
                    None => eprintln!("no SNAPSHOT_WRITER_TEST_S3: tried in memory only"),
                }
            })*
        }
    };
}
pub(super) use on_every_bucket;

/// When a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Failing prevents the request.
    Before,
    /// Failing loses the answer.
    After,
}

type Hook = Arc<dyn Fn(Moment, &str) -> Result<()> + Send + Sync>;

/// A bucket whose requests, written like `put marks/<uuid>`, are shown to a hook.
#[derive(Clone)]
pub(super) struct Watched<S> {
    store: S,
    hook: Hook,
}

impl<S: SharedStore> Watched<S> {
    pub(super) fn new(store: &S, hook: impl Fn(Moment, &str) -> Result<()> + Send + Sync + 'static) -> Self {
        Self {
            store: store.clone(),
            hook: Arc::new(hook),
        }
    }

    fn request<T>(&self, verb: &str, key: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let request = format!("{verb} {key}");
        (self.hook)(Moment::Before, &request)?;
        let answer = work()?;
        (self.hook)(Moment::After, &request)?;
        Ok(answer)
    }
}

impl<S: SharedStore> SharedStore for Watched<S> {
    type Tag = S::Tag;

    fn get(&self, key: &str) -> Result<Option<Seen<S::Tag>>> {
        self.request("get", key, || self.store.get(key))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.request("put", key, || self.store.put(key, bytes))
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<Option<S::Tag>> {
        self.request("put_new", key, || self.store.put_new(key, bytes))
    }

    fn put_over(&self, key: &str, bytes: &[u8], tag: &S::Tag) -> Result<Option<S::Tag>> {
        self.request("put_over", key, || self.store.put_over(key, bytes, tag))
    }

    fn check_conditional_writes(&self) -> Result<()> {
        self.store.check_conditional_writes()
    }

    fn abort_uploads_begun_before(&self, moment: Timestamp) -> Result<usize> {
        self.store.abort_uploads_begun_before(moment)
    }
}

impl<S: SharedStore> Store for Watched<S> {
    fn stage(&self, key: &str) -> Result<Box<dyn Staged>> {
        self.request("stage", key, || self.store.stage(key))
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        self.request("open", key, || self.store.open(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.request("list", prefix, || self.store.list(prefix))
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.request("remove", key, || self.store.remove(key))
    }

    fn locate(&self, key: &str) -> String {
        self.store.locate(key)
    }
}

/// A snapshot in the local repository of a host.
pub(super) struct Snapshot {
    pub(super) head: Head,
    pub(super) packs: Vec<PackEntry>,
}

impl Snapshot {
    pub(super) fn id(&self) -> Uuid {
        self.head.id
    }
}

/// The local repository of hosts that mirror each other's snapshots.
pub(super) struct Host(Place);

impl Host {
    pub(super) fn new() -> Self {
        Self(Place::new())
    }

    /// Stores a snapshot with a pack of its own, which also needs those of others.
    pub(super) fn snapshot(&self, shared: &[&PackEntry]) -> Snapshot {
        let (_, own) = self.0.store(512, &[page(1, 512), page(2, 512)]);
        let packs: Vec<PackEntry> = shared.iter().copied().chain(&own).cloned().collect();
        let entries: Vec<_> = (1..=packs.len() as u32).map(|pack| entry(b"a page", pack, 0)).collect();
        let head = self
            .0
            .publish(draft("a", 512), &self.0.table(&entries), &packs)
            .unwrap();
        Snapshot { head, packs }
    }

    /// Uploads a snapshot as a mirror does.
    pub(super) fn upload(&self, store: &impl SharedStore, snapshot: &Snapshot) -> Result<()> {
        self.upload_packs(store, snapshot);
        self.publish(store, snapshot);
        self.settle(store, snapshot)
    }

    /// Uploads the packs that are not there.
    pub(super) fn upload_packs(&self, store: &impl SharedStore, snapshot: &Snapshot) {
        let there = store.list("packs/").unwrap();
        for pack in &snapshot.packs {
            if !there.iter().any(|object| object.key == pack.key()) {
                self.copy(store, &pack.key()).unwrap();
            }
        }
    }

    pub(super) fn publish(&self, store: &impl SharedStore, snapshot: &Snapshot) {
        self.copy(store, &snapshot.head.key()).unwrap();
    }

    pub(super) fn settle(&self, store: &impl SharedStore, snapshot: &Snapshot) -> Result<()> {
        let mut put_back = |pack: &PackEntry| self.copy(store, &pack.key());
        deletion::settle(store, snapshot.id(), &snapshot.packs, &mut put_back, PATIENT)
    }

    fn copy(&self, store: &impl SharedStore, key: &str) -> Result<()> {
        let mut object = store.stage(key)?;
        std::io::Write::write_all(&mut object, &self.bytes(key)).unwrap();
        match object.publish() {
            Err(error) if error.code == Code::SnapshotExists => Ok(()),
            published => published,
        }
    }

    pub(super) fn bytes(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.0.repository.path(key)).unwrap()
    }

    /// The first object of the snapshot that is not in the bucket as it is here.
    pub(super) fn first_flaw(&self, store: &impl SharedStore, snapshot: &Snapshot) -> Option<String> {
        let packs = snapshot.packs.iter().map(PackEntry::key);
        let mut keys = packs.chain([snapshot.head.key()]);
        keys.find(|key| store.get(key).unwrap().map(|found| found.bytes) != Some(self.bytes(key)))
    }
}

/// Deletes by the rules, with a host that is alive.
pub(super) fn delete(store: &impl SharedStore, snapshot: &Snapshot, grace: Duration) -> Result<Deleted> {
    let alive = || Ok(());
    let lease = deletion::turn(store, "deleteSnapshot", PATIENT, &alive)?;
    deletion::delete_all(&lease, &[snapshot.id()], grace, &alive)
}

pub(super) fn keys(store: &impl SharedStore, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

/// What a deletion reports that removes exactly these packs.
pub(super) fn swept(packs: &[PackEntry]) -> Deleted {
    Deleted {
        marked: packs.len(),
        swept: packs.len(),
        swept_bytes: packs.iter().map(|pack| pack.size).sum(),
    }
}

/// What the next deletion does besides its own snapshot.
pub(super) fn clear_up<S: SharedStore>(store: &S, grace: Duration) -> Deleted {
    let lease = Lease::acquire(store, "deleteSnapshot", PATIENT, &|| Ok(())).unwrap();
    mark_and_sweep(&lease, grace).unwrap()
}

pub(super) fn pack_keys(packs: &[PackEntry]) -> Vec<String> {
    let mut keys: Vec<String> = packs.iter().map(PackEntry::key).collect();
    keys.sort();
    keys
}
