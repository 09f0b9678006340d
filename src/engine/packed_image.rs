//! The image of a snapshot in packs, read from whichever of its manifests is whole.
//!
//! Every generation is the whole snapshot, and each tier has its own: the one that was listed may have
//! gone since, because another host has repacked it, and where a pack of it is damaged, the packs of
//! another one need not be.

use std::path::PathBuf;
use std::sync::Arc;

use super::Context;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{self, Head};
use crate::repository::page_table::{PageEntry, PageTable};
use crate::repository::snapshot::{self, Snapshot};
use crate::storage::Store;

/// Where the manifests and packs of a snapshot may be.
#[derive(Clone)]
pub(super) struct Sources {
    /// Each by itself, for the manifests.
    tiers: Vec<Arc<dyn Store>>,
    packs: Arc<dyn Store>,
    scratch: PathBuf,
}

impl Sources {
    pub(super) fn of(context: &Context) -> Result<Self> {
        Ok(Self {
            tiers: context.tiers()?,
            packs: context.reading()?,
            scratch: context.repository.scratch()?,
        })
    }

    pub(super) fn of_store(context: &Context, store: &Arc<dyn Store>) -> Result<Self> {
        Ok(Self {
            tiers: vec![Arc::clone(store)],
            packs: Arc::clone(store),
            scratch: context.repository.scratch()?,
        })
    }
}

pub(super) struct PackedImage {
    snapshot: Snapshot,
    /// Where every page is, by the manifest that was opened.
    pub(super) table: Arc<PageTable>,
    sources: Sources,
    /// Heads of manifests by which a page could not be read.
    damaged: Vec<Head>,
    /// By another manifest, once a page turned out to be damaged.
    other: Option<Box<Self>>,
}

impl PackedImage {
    pub(super) fn open(sources: Sources, head: &Head) -> Result<Self> {
        match Self::open_one(&sources, &sources.packs, &head.key(), &[]) {
            Err(error) if error.code == Code::SnapshotDamaged => Self::open_another(&sources, head, &[], error),
            opened => opened,
        }
    }

    fn open_one(sources: &Sources, manifests: &Arc<dyn Store>, key: &str, damaged: &[Head]) -> Result<Self> {
        let snapshot = Snapshot::open_from(&**manifests, &*sources.packs, key)?;
        let table = Arc::new(snapshot.page_table(&sources.scratch)?);
        Ok(Self {
            snapshot,
            table,
            sources: sources.clone(),
            damaged: damaged.to_vec(),
            other: None,
        })
    }

    /// By a manifest that has pages in other places than the damaged ones.
    fn open_another(sources: &Sources, head: &Head, damaged: &[Head], why: Error) -> Result<Self> {
        for tier in &sources.tiers {
            for generation in snapshot::generations(&**tier, head.id)? {
                let key = manifest::key(head.id, generation);
                match Self::open_one(sources, tier, &key, damaged) {
                    Ok(found) if damaged.iter().any(|head| found.head().has_places_of(head)) => {}
                    Ok(found) => {
                        tracing::warn!(manifest = tier.locate(&key), reason = %why, "the snapshot is read by another manifest of it");
                        return Ok(found);
                    }
                    Err(error) if error.code == Code::SnapshotDamaged => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(why)
    }

    fn take_over(&mut self, why: Error) -> Result<()> {
        if why.code != Code::SnapshotDamaged {
            return Err(why);
        }
        let head = self.head().clone();
        self.damaged.push(head.clone());
        let other = Self::open_another(&self.sources, &head, &self.damaged, why)?;
        self.other = Some(Box::new(other));
        Ok(())
    }

    pub(super) fn head(&self) -> &Head {
        self.snapshot.head()
    }

    pub(super) fn is_far(&self) -> bool {
        self.snapshot.is_far()
    }

    /// See [`Snapshot::fetch`].
    pub(super) fn fetch(&self, wanted: impl Iterator<Item = Result<PageEntry>>) -> Result<()> {
        self.snapshot.fetch(wanted)
    }

    /// The bytes of a page, compared with its hash. `entry` is of our own table.
    pub(super) fn page(&mut self, page: u32, entry: &PageEntry) -> Result<&[u8]> {
        if self.other.is_none()
            && let Err(error) = self.snapshot.page(entry)
        {
            self.take_over(error)?;
        }
        match &mut self.other {
            // Its frame is at hand by now.
            None => self.snapshot.page(entry),
            Some(other) => {
                let entry = other.table.get(page)?;
                other.page(page, &entry)
            }
        }
    }

    /// Hands every page from `first` on to `sink`, in runs.
    pub(super) fn read_from(&mut self, first: u32, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (mut next, page_size) = (first, self.head().page_size);
        if self.other.is_none() {
            let read = self.snapshot.read_from(first, &self.table, |run| {
                next += run.len() as u32 / page_size;
                sink(run)
            });
            match read {
                Ok(()) => return Ok(()),
                Err(error) => self.take_over(error)?,
            }
        }
        self.other.as_mut().map_or(Ok(()), |other| other.read_from(next, sink))
    }
}
