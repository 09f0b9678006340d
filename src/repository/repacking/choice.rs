//! Which packs to rewrite.

use std::collections::HashSet;

use uuid::Uuid;

use super::super::pack::PackEntry;
use super::wear::{PACKS, READ, STORED, Wear};

/// What one run may rewrite. It keeps a map of the pages, and somebody may be waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) bytes: u64,
    pub(crate) pages: u64,
}

impl Budget {
    pub(crate) const ONE_RUN: Self = Self {
        bytes: 512 << 20,
        pages: 1 << 20,
    };
}

impl Wear {
    /// The packs to rewrite, within a budget; none when nothing is over its limit. `damaged` ones
    /// cannot be read and stay.
    pub(super) fn worth_rewriting(self, budget: Budget, damaged: &HashSet<Uuid>) -> Vec<PackEntry> {
        let is_readable = |pack: &usize| !damaged.contains(&self.packs[*pack].entry.id);
        let mut choice = Choice {
            open: (0..self.packs.len()).filter(is_readable).collect(),
            left: budget,
            chosen: Vec::new(),
            wear: self,
        };
        if choice.wear.is_wasteful() {
            choice.save_space();
        }
        if choice.wear.reads_too_much() {
            choice.read_less();
        }
        if choice.wear.has_too_many_packs() {
            choice.merge();
        }
        let entry = |pack: usize| choice.wear.packs[pack].entry.clone();
        choice.chosen.into_iter().map(entry).collect()
    }
}

/// Packs that are chosen one after the other. What a restore reads of them counts as used.
struct Choice {
    wear: Wear,
    open: Vec<usize>,
    left: Budget,
    chosen: Vec<usize>,
}

impl Choice {
    /// Those first of which least is needed.
    fn save_space(&mut self) {
        let (mut stored, goal) = (self.wear.stored(), STORED.goal * self.wear.needed());
        for pack in self.by_gain(|wear, pack| wear.packs[pack].share_unneeded()) {
            if stored <= goal {
                break;
            }
            if self.take(pack) {
                let pack = &self.wear.packs[pack];
                stored -= pack.share_unneeded() * pack.entry.size as f64;
            }
        }
    }

    /// Those first of which a restore of the newest snapshot reads most in vain.
    fn read_less(&mut self) {
        for pack in self.by_gain(Wear::read_in_vain) {
            if self
                .wear
                .newest
                .iter()
                .all(|newest| newest.amplification() <= READ.goal)
            {
                break;
            }
            self.take(pack);
        }
    }

    /// The smallest ones of the newest snapshot.
    fn merge(&mut self) {
        let is_alone = self.chosen.is_empty();
        let wear = &self.wear;
        let is_read = |pack: &usize| wear.newest.iter().any(|newest| newest.of.contains_key(pack));
        let mut order: Vec<usize> = self.open.iter().copied().filter(is_read).collect();
        order.sort_by_key(|pack| wear.packs[*pack].needed.count);
        for pack in order {
            if self
                .wear
                .newest
                .iter()
                .all(|newest| self.wear.surplus(newest) <= PACKS.goal)
            {
                break;
            }
            if self.take(pack) {
                for newest in &mut self.wear.newest {
                    newest.of.remove(&pack);
                }
            }
        }
        // One alone would only be copied.
        if is_alone && self.chosen.len() == 1 {
            self.chosen.clear();
        }
    }

    /// The open packs with a gain for each page to rewrite, the largest gain first.
    fn by_gain(&self, gain: impl Fn(&Wear, usize) -> f64) -> Vec<usize> {
        let mut order: Vec<(f64, usize)> = self.open.iter().map(|pack| (gain(&self.wear, *pack), *pack)).collect();
        order.retain(|(gain, _)| *gain > 0.0);
        order.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        order.into_iter().map(|(_, pack)| pack).collect()
    }

    /// Chooses a pack unless that is too much for one run. The first one never is.
    fn take(&mut self, number: usize) -> bool {
        let pack = &self.wear.packs[number];
        let pages = u64::from(pack.needed.count);
        let bytes = pack.bytes_of(pages) as u64;
        let fits = bytes <= self.left.bytes && pages <= self.left.pages;
        if !fits && !self.chosen.is_empty() {
            return false;
        }
        self.left.bytes = self.left.bytes.saturating_sub(bytes);
        self.left.pages = self.left.pages.saturating_sub(pages);
        self.chosen.push(number);
        self.open.retain(|open| *open != number);
        for newest in &mut self.wear.newest {
            if let Some(share) = newest.of.get_mut(&number) {
                share.read = share.used;
            }
        }
        true
    }
}
