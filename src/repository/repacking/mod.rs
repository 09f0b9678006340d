//! Repacking: pages that are needed move out of packs of which little else is, into new packs; the
//! manifests that named the old packs get another generation; then the old ones go.
//!
//! A crash at any step leaves whole snapshots. New packs come first, then the new generations, each
//! of which counts from the moment it is there, then the old generations go, then the packs that
//! nothing needs any more. What a crash leaves of that, the next operation clears up.

mod choice;
mod wear;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

pub(crate) use choice::Budget;
pub(crate) use wear::Wear;

use super::Repository;
use super::manifest::{self, Head, Manifest};
use super::pack::PackEntry;
use super::pack_reader::PackReader;
use super::pack_writer::{PackWriter, Position};
use super::packed_pages::PackedPages;
use super::page_table::PageEntry;
use super::{cache, order, snapshot::Snapshot};
use crate::error::{Code, Result, fail};
use crate::failpoint;

/// What was repacked.
pub(crate) struct Repacked {
    /// The new generations, newest snapshot first.
    pub(crate) heads: Vec<Head>,
    /// Packs that were rewritten, and those that took their place.
    pub(crate) packs_before: usize,
    pub(crate) packs_after: usize,
    pub(crate) bytes_written: u64,
}

/// Rewrites the packs of the local tier that are worth it, below the exclusive lock. `heads`: all
/// local ones. `None`: there is nothing to do. When it fails, every snapshot is whole all the same,
/// in its old generation or in its new one.
pub(crate) fn repack(
    repository: &Repository,
    heads: &[Head],
    budget: Budget,
    alive: &dyn Fn() -> Result<()>,
) -> Result<Option<Repacked>> {
    let local = &**repository.local();
    let mut damaged = HashSet::new();
    loop {
        let worn = Wear::look(local, heads)?.worth_rewriting(budget, &damaged);
        let (worn, page_size) = of_one_page_size(repository, worn, &mut damaged);
        if worn.is_empty() {
            return Ok(None);
        }
        let heads = those_that_need(repository, heads, &worn)?;
        let mut moving = Moving::new(repository, &worn, page_size)?;
        match moving.copy(repository, &heads, alive) {
            Ok(()) => return moving.publish(repository, &heads, alive).map(Some),
            // The others can be rewritten without it.
            Err(error) if error.code == Code::SnapshotDamaged && damaged.insert(worn[moving.at].id) => {
                tracing::warn!(reason = %error, "a damaged pack is left as it is");
            }
            Err(error) => return Err(error),
        }
    }
}

/// Gives a snapshot of the local tier a generation above that of another tier, whose copy is not
/// whole, so that this one takes its place. Below the exclusive lock.
pub(crate) fn raise_generation(repository: &Repository, head: &Head, above: u32) -> Result<Head> {
    let manifest = Manifest::open(&**repository.local(), &head.key())?;
    let (local, scratch) = (&**repository.local(), repository.scratch()?);
    let generation = head.generation.max(above) + 1;
    let same = |_, entry| Ok(entry);
    let raised = manifest::rewrite(local, &scratch, (&manifest, generation), &manifest.packs, same)?;
    refresh_cache(repository, head, &raised)?;
    repository.remove_superseded_manifests()?;
    Ok(raised)
}

/// Those that can be opened and have pages of the size that the first one has.
fn of_one_page_size(
    repository: &Repository,
    worn: Vec<PackEntry>,
    damaged: &mut HashSet<Uuid>,
) -> (Vec<PackEntry>, u32) {
    let mut page_size = None;
    let mut of_that_size = Vec::new();
    for entry in worn {
        match PackReader::open(&**repository.local(), &entry) {
            Ok(pack) if pack.page_size() == *page_size.get_or_insert(pack.page_size()) => of_that_size.push(entry),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(reason = %error, "a damaged pack is left as it is");
                damaged.insert(entry.id);
            }
        }
    }
    (of_that_size, page_size.unwrap_or_default())
}

/// The snapshots that need one of these packs, newest first: so the newest one's pages come to lie
/// side by side.
fn those_that_need(repository: &Repository, heads: &[Head], packs: &[PackEntry]) -> Result<Vec<Head>> {
    let ids: HashSet<Uuid> = packs.iter().map(|pack| pack.id).collect();
    let mut found = Vec::new();
    for head in heads {
        let (_, named) = manifest::pack_table(&**repository.local(), &head.key())?;
        if named.iter().any(|pack| ids.contains(&pack.id)) {
            found.push(head.clone());
        }
    }
    order::newest_first(&mut found, Head::mark);
    Ok(found)
}

/// Pages on their way from worn packs to new ones.
struct Moving {
    /// Number of each worn pack among `pages`, from 1.
    numbers: HashMap<Uuid, u32>,
    pages: PackedPages,
    writer: PackWriter,
    /// Where each page of each worn pack went, and its number, by its old position.
    moved: Vec<HashMap<u32, (u32, Position)>>,
    /// Index of the worn pack that is being read.
    at: usize,
}

impl Moving {
    fn new(repository: &Repository, worn: &[PackEntry], page_size: u32) -> Result<Self> {
        Ok(Self {
            numbers: (1..).zip(worn).map(|(number, pack)| (pack.id, number)).collect(),
            pages: PackedPages::open(&**repository.local(), worn, page_size)?,
            writer: PackWriter::new(Arc::clone(repository.local()), page_size),
            moved: worn.iter().map(|_| HashMap::new()).collect(),
            at: 0,
        })
    }

    /// Copies every page that one of the manifests needs, each page once.
    fn copy(&mut self, repository: &Repository, heads: &[Head], alive: &dyn Fn() -> Result<()>) -> Result<()> {
        for head in heads {
            let manifest = Manifest::open(&**repository.local(), &head.key())?;
            let numbers = numbers_in(&manifest, &self.numbers);
            for extent in manifest.extents()? {
                let extent = extent?;
                let Some(number) = numbers[extent.pack as usize] else {
                    continue;
                };
                alive()?;
                self.at = number as usize - 1;
                let entries = self.pages.pack(number)?.entries(extent.position, extent.count)?;
                for (offset, (page, hash)) in (0..).zip(entries) {
                    if page != extent.first_page + offset {
                        fail!(SnapshotDamaged, "a manifest has page {page} in another page's place");
                    }
                    let position = extent.position + offset;
                    if self.moved[self.at].contains_key(&position) {
                        continue;
                    }
                    let data = self.pages.page(&PageEntry {
                        hash,
                        pack: number,
                        position,
                    })?;
                    let place = self.writer.push(page, &hash, data)?;
                    self.moved[self.at].insert(position, (page, place));
                }
            }
        }
        Ok(())
    }

    /// Publishes the new packs, then the new generations, and removes what they replace.
    fn publish(self, repository: &Repository, heads: &[Head], alive: &dyn Fn() -> Result<()>) -> Result<Repacked> {
        failpoint::reached("repack.before-packs")?;
        let new = self.writer.finish()?;
        let local = &**repository.local();
        if let Some(newest) = heads.first() {
            PackedPages::open(local, &new, newest.page_size)?.read_back()?;
        }
        failpoint::reached("repack.after-packs")?;
        alive()?;
        let mut rewritten = Vec::new();
        for head in heads {
            let manifest = Manifest::open(local, &head.key())?;
            let numbers = numbers_in(&manifest, &self.numbers);
            let packs: Vec<PackEntry> = manifest.packs.iter().chain(&new).cloned().collect();
            let next = (&manifest, head.generation + 1);
            let new = manifest::rewrite(local, &repository.scratch()?, next, &packs, |page, entry| {
                let Some(number) = numbers[entry.pack as usize] else {
                    return Ok(entry);
                };
                match self.moved[number as usize - 1].get(&entry.position) {
                    Some((moved_page, place)) if *moved_page == page => Ok(PageEntry {
                        pack: (manifest.packs.len() as u32) + place.pack + 1,
                        position: place.page,
                        ..entry
                    }),
                    _ => fail!(
                        Internal,
                        "page {page} was lost while it was repacked; the old packs stay"
                    ),
                }
            })?;
            failpoint::reached("repack.after-manifest")?;
            if let Err(error) = refresh_cache(repository, head, &new) {
                local.remove(&new.key())?;
                return Err(error);
            }
            rewritten.push(new);
        }
        failpoint::reached("repack.before-removal")?;
        repository.remove_superseded_manifests()?;
        failpoint::reached("repack.after-removal")?;
        Ok(Repacked {
            heads: rewritten,
            packs_before: self.moved.len(),
            packs_after: new.len(),
            bytes_written: new.iter().map(|pack| pack.size).sum(),
        })
    }
}

/// By the numbers that a manifest gives to packs: which worn pack that is.
fn numbers_in(manifest: &Manifest, worn: &HashMap<Uuid, u32>) -> Vec<Option<u32>> {
    let packs = manifest.packs.iter().map(|pack| worn.get(&pack.id).copied());
    std::iter::once(None).chain(packs).collect()
}

/// The page-hash cache names the generation that it mirrors. For that the new one is read as a
/// restore would read it, so that what is wrong with it comes to light while the old one is there.
fn refresh_cache(repository: &Repository, old: &Head, new: &Head) -> Result<()> {
    if cache::open(repository, old)?.is_some() {
        let table = Snapshot::open(&**repository.local(), new)?.page_table(&repository.scratch()?)?;
        cache::write(repository, new, &table)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
