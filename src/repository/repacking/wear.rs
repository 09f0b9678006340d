//! How much of the stored packs is still needed, and which of them are worth rewriting.
//!
//! A pack stays as long as one of its pages is needed. Three things grow with time: what is stored
//! beyond what is needed, what a restore reads beyond what it uses (frames are read as a whole),
//! and the number of packs that it opens. Each has a limit at which packs are rewritten, and a goal
//! up to which, well below, so that this happens seldom.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::super::manifest::{Head, Kind, Manifest};
use super::super::order;
use super::super::pack::{MAX_BYTES, MAX_PAGES, PackEntry, pages_per_frame};
use crate::error::{Result, fail};
use crate::storage::Store;

/// Stored bytes for each byte that is needed.
pub(super) const STORED: Range = Range { limit: 2.0, goal: 1.5 };
/// Pages that a restore of the newest snapshot reads for each that it uses.
pub(super) const READ: Range = Range { limit: 1.5, goal: 1.2 };
/// Packs that it opens, beyond those that an image of its size fills.
pub(super) const PACKS: Range = Range {
    limit: 64.0,
    goal: 16.0,
};

/// Less than that is never worth the trouble: a small database would be repacked all the time.
const NEGLIGIBLE: f64 = (1 << 20) as f64;

pub(super) struct Range {
    pub(super) limit: f64,
    pub(super) goal: f64,
}

/// Every pack that a manifest needs, and what the newest snapshots read.
pub(crate) struct Wear {
    pub(super) packs: Vec<Pack>,
    /// The newest snapshot of each database.
    pub(super) newest: Vec<Reading>,
}

/// A pack and which of its pages are needed by any manifest.
pub(super) struct Pack {
    pub(super) entry: PackEntry,
    pub(super) needed: Bits,
}

/// What a restore of one snapshot reads of each pack.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) of: BTreeMap<usize, Share>,
}

/// Pages of one pack.
#[derive(Clone, Copy, Default)]
pub(super) struct Share {
    pub(super) used: u64,
    pub(super) read: u64,
}

impl Wear {
    /// Reads the extents of these snapshots.
    pub(crate) fn look(store: &dyn Store, heads: &[Head]) -> Result<Self> {
        let newest: HashSet<Uuid> = newest_of_each_database(heads);
        let (mut wear, mut numbers) = (
            Self {
                packs: Vec::new(),
                newest: Vec::new(),
            },
            HashMap::new(),
        );
        for head in heads {
            let reading = wear.add(&Manifest::open(store, &head.key())?, &mut numbers)?;
            wear.newest.extend(newest.contains(&head.id).then_some(reading));
        }
        Ok(wear)
    }

    fn add(&mut self, manifest: &Manifest, numbers: &mut HashMap<Uuid, usize>) -> Result<Reading> {
        let own: Vec<usize> = manifest
            .packs
            .iter()
            .map(|entry| {
                *numbers.entry(entry.id).or_insert_with(|| {
                    self.packs.push(Pack {
                        entry: entry.clone(),
                        needed: Bits::new(entry.pages),
                    });
                    self.packs.len() - 1
                })
            })
            .collect();
        let frame = pages_per_frame(manifest.head.page_size);
        let mut frames: HashMap<usize, Bits> = HashMap::new();
        let mut reading = Reading::default();
        for extent in manifest.extents()? {
            let extent = extent?;
            if extent.pack == 0 {
                continue;
            }
            let pack = own[extent.pack as usize - 1];
            let (first, pages) = (extent.position, self.packs[pack].entry.pages);
            let Some(end) = first.checked_add(extent.count).filter(|end| *end <= pages) else {
                fail!(
                    SnapshotDamaged,
                    "the manifest of {} names pages that its pack does not hold",
                    manifest.head.name
                );
            };
            for position in first..end {
                self.packs[pack].needed.insert(position);
            }
            let share = reading.of.entry(pack).or_default();
            share.used += u64::from(extent.count);
            let read = frames.entry(pack).or_insert_with(|| Bits::new(pages.div_ceil(frame)));
            for number in first / frame..=(end - 1) / frame {
                if read.insert(number) {
                    share.read += u64::from(frame.min(pages - number * frame));
                }
            }
        }
        Ok(reading)
    }

    /// Whether a restore of the newest snapshot reads too much.
    pub(crate) fn is_slow(&self) -> bool {
        self.reads_too_much() || self.has_too_many_packs()
    }

    pub(super) fn reads_too_much(&self) -> bool {
        let is_too_much = |newest: &Reading| {
            let in_vain = self.bytes(newest, |share| share.read - share.used);
            newest.amplification() > READ.limit && in_vain > NEGLIGIBLE
        };
        self.newest.iter().any(is_too_much)
    }

    pub(super) fn has_too_many_packs(&self) -> bool {
        self.newest.iter().any(|newest| self.surplus(newest) > PACKS.limit)
    }

    /// Whether too much is stored.
    pub(crate) fn is_wasteful(&self) -> bool {
        let (stored, needed) = (self.stored(), self.needed());
        stored > STORED.limit * needed && stored - needed > NEGLIGIBLE
    }

    /// Bytes of all packs that are needed at all.
    pub(super) fn stored(&self) -> f64 {
        self.packs.iter().map(|pack| pack.entry.size as f64).sum()
    }

    /// Bytes of the pages that are needed.
    pub(super) fn needed(&self) -> f64 {
        let bytes = |pack: &Pack| pack.bytes_of(u64::from(pack.needed.count));
        self.packs.iter().map(bytes).sum()
    }

    /// Packs beyond those that an image of that size fills.
    pub(super) fn surplus(&self, reading: &Reading) -> f64 {
        let bytes = self.bytes(reading, |share| share.used) / MAX_BYTES as f64;
        let pages = reading.sum(|share| share.used) / f64::from(MAX_PAGES);
        reading.of.len() as f64 - bytes.max(pages).floor()
    }

    fn bytes(&self, reading: &Reading, pages: impl Fn(&Share) -> u64) -> f64 {
        let bytes = |(pack, share): (&usize, &Share)| self.packs[*pack].bytes_of(pages(share));
        reading.of.iter().map(bytes).sum()
    }

    /// Pages that restores of the newest snapshots read of a pack without using them, for each page
    /// that would have to be rewritten.
    pub(super) fn read_in_vain(&self, pack: usize) -> f64 {
        let shares = self.newest.iter().filter_map(|newest| newest.of.get(&pack));
        let in_vain: u64 = shares.map(|share| share.read - share.used).sum();
        in_vain as f64 / f64::from(self.packs[pack].needed.count.max(1))
    }
}

impl Reading {
    pub(super) fn amplification(&self) -> f64 {
        let used = self.sum(|share| share.used);
        if used == 0.0 {
            1.0
        } else {
            self.sum(|share| share.read) / used
        }
    }

    fn sum(&self, pages: impl Fn(&Share) -> u64) -> f64 {
        self.of.values().map(pages).sum::<u64>() as f64
    }
}

impl Pack {
    /// Bytes of so many of its pages, as if all compressed alike.
    pub(super) fn bytes_of(&self, pages: u64) -> f64 {
        self.entry.size as f64 * pages as f64 / f64::from(self.entry.pages.max(1))
    }

    pub(super) fn share_unneeded(&self) -> f64 {
        1.0 - f64::from(self.needed.count) / f64::from(self.entry.pages.max(1))
    }
}

fn newest_of_each_database(heads: &[Head]) -> HashSet<Uuid> {
    let mut made: Vec<&Head> = heads.iter().filter(|head| head.kind == Kind::Snapshot).collect();
    order::oldest_first(&mut made, |head| head.mark());
    let of_database = |head: &&Head| (head.lineage, head.instance.clone());
    let newest: HashMap<_, Uuid> = made.iter().map(|head| (of_database(head), head.id)).collect();
    newest.into_values().collect()
}

/// A set of small numbers: one bit for each page that is stored.
pub(super) struct Bits {
    words: Vec<u64>,
    pub(super) count: u32,
}

impl Bits {
    fn new(size: u32) -> Self {
        Self {
            words: vec![0; size.div_ceil(64) as usize],
            count: 0,
        }
    }

    /// Whether the number is new.
    fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (&mut self.words[number as usize / 64], 1 << (number % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        self.count += u32::from(is_new);
        is_new
    }
}
