//! Which packs the manifests in the bucket need.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::SharedStore;
use crate::error::{Code, Error, Result};
use crate::repository::manifest;
use crate::storage::{Object, Store};

/// Requests under way at once: the bucket may be 50 ms away and hold hundreds of manifests.
const THREADS: usize = 8;

/// Grows from look to look. What a manifest needed that has gone meanwhile stays in it: too much
/// is kept then, never too little.
#[derive(Default)]
pub(super) struct Needs {
    /// Manifests that were read. They never change, so a second look reads new ones only.
    read: BTreeSet<Object>,
    packs: HashSet<Uuid>,
}

impl Needs {
    pub(super) fn contains(&self, pack: Uuid) -> bool {
        self.packs.contains(&pack)
    }

    /// Lists the manifests, every generation of them, and reads what is new. `false`: one of them
    /// cannot be read, so it is not known what it needs.
    pub(super) fn look(&mut self, store: &impl SharedStore) -> Result<bool> {
        let mut new = store.list("snapshots/")?;
        new.retain(|object| manifest::parse_key(&object.key).is_some() && !self.read.contains(object));
        let packs = Mutex::new(&mut self.packs);
        let read = in_parallel(&new, |object| {
            let needed = packs_of(store, &object.key)?;
            packs.lock().unwrap_or_else(PoisonError::into_inner).extend(needed);
            Ok(())
        });
        match read {
            Ok(()) => {
                self.read.extend(new);
                Ok(true)
            }
            Err(error) if matches!(error.code, Code::SnapshotDamaged | Code::RepositoryNewer) => {
                tracing::warn!(reason = %error, "a manifest in the bucket cannot be read: no pack is deleted there, because it may need any of them");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// The packs that a manifest needs; none when it has been removed since it was listed.
fn packs_of(store: &impl Store, key: &str) -> Result<Vec<Uuid>> {
    match manifest::pack_table(store, key) {
        Ok((_, packs)) => Ok(packs.iter().map(|pack| pack.id).collect()),
        // `settle` removes a manifest without the lease.
        Err(_) if !store.list(key)?.iter().any(|object| object.key == key) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Does the work for every item with a few threads. The first failure ends it.
pub(crate) fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let run = || -> Result<()> {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..items.len().min(THREADS)).map(|_| scope.spawn(run)).collect();
        threads.into_iter().try_for_each(|thread| {
            let outcome = thread.join();
            outcome.unwrap_or_else(|_| Err(Error::new(Code::Internal, "a thread that reads the bucket died")))
        })
    })
}
