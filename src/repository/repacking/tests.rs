#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::repository::manifest::Description;
use crate::repository::page_table::{PageTable, PageTableWriter};
use crate::repository::testing::{Place, draft, page};
use crate::storage::Store;

const PAGE_SIZE: u32 = 4096;
const PAGES: u32 = 2000;
const KEPT: usize = 10;

/// A database of pages with a seed each, and its newest snapshots.
struct Simulation {
    place: Place,
    seeds: Vec<u32>,
    table: Option<(PageTable, Vec<PackEntry>)>,
    kept: Vec<(Head, Vec<u32>)>,
    lineage: Uuid,
    next: u32,
}

impl Simulation {
    fn new() -> Self {
        Self {
            place: Place::new(),
            seeds: (1..=PAGES).collect(),
            table: None,
            kept: Vec::new(),
            lineage: Uuid::new_v4(),
            next: PAGES,
        }
    }

    fn local(&self) -> &dyn Store {
        &**self.place.repository.local()
    }

    /// Gives every `step`th page from `first` another content.
    fn change(&mut self, first: usize, step: usize) {
        for seed in self.seeds.iter_mut().skip(first).step_by(step) {
            self.next += 1;
            *seed = self.next;
        }
    }

    /// Stores the pages that changed since the last snapshot.
    fn snapshot(&mut self) {
        let repository = &self.place.repository;
        let mut writer = PackWriter::new(Arc::clone(repository.local()), PAGE_SIZE);
        let mut table = PageTableWriter::new(&self.place.scratch()).unwrap();
        let (base, mut packs) = match self.kept.last() {
            None => (None, Vec::new()),
            Some((head, _)) => {
                let snapshot = Snapshot::open(&**repository.local(), head).unwrap();
                let table = snapshot.page_table(&self.place.scratch()).unwrap();
                (Some(table), snapshot.manifest.packs)
            }
        };
        for (number, seed) in (1..).zip(&self.seeds) {
            let data = page(*seed, PAGE_SIZE);
            let hash = crate::repository::hash::page_hash(&data);
            let known = base.as_ref().map(|table| table.get(number).unwrap());
            let entry = known.filter(|entry| entry.hash == hash).unwrap_or_else(|| {
                let at = writer.push(number, &hash, &data).unwrap();
                PageEntry {
                    hash,
                    pack: packs.len() as u32 + at.pack + 1,
                    position: at.page,
                }
            });
            table.push(&entry).unwrap();
        }
        packs.extend(writer.finish().unwrap());
        let description = Description {
            lineage: self.lineage,
            created_at: Timestamp::from_second(1_800_000_000 + i64::from(self.next)).unwrap(),
            ..draft(&format!("at {}", self.next), PAGE_SIZE)
        };
        let table = table.finish().unwrap();
        let head = self.place.publish(description, &table, &packs).unwrap();
        cache::write(repository, &head, &table).unwrap();
        self.kept.push((head, self.seeds.clone()));
        self.table = Some((table, packs));
    }

    fn forget_oldest(&mut self) {
        let (oldest, _) = self.kept.remove(0);
        self.place.repository.remove_manifest(oldest.id).unwrap();
        self.place.repository.remove_unneeded_packs().unwrap();
    }

    fn heads(&self) -> Vec<Head> {
        self.place.repository.local_heads().unwrap()
    }

    fn repack(&mut self, budget: Budget) -> Option<Repacked> {
        let repacked = repack(&self.place.repository, &self.heads(), budget, &|| Ok(())).unwrap();
        self.place.repository.remove_unneeded_packs().unwrap();
        for (head, _) in &mut self.kept {
            *head = self
                .place
                .repository
                .local_heads()
                .unwrap()
                .into_iter()
                .find(|new| new.id == head.id)
                .unwrap();
        }
        repacked
    }

    /// Every kept snapshot has the pages that it had when it was made.
    fn assert_whole(&self) {
        assert_eq!(self.heads().len(), self.kept.len());
        for (head, seeds) in &self.kept {
            let mut snapshot = Snapshot::open(self.local(), head).unwrap();
            let table = snapshot.page_table(&self.place.scratch()).unwrap();
            let mut read = Vec::new();
            snapshot
                .read_from(1, &table, |run| {
                    read.extend_from_slice(run);
                    Ok(())
                })
                .unwrap();
            let expected: Vec<u8> = seeds.iter().flat_map(|seed| page(*seed, PAGE_SIZE)).collect();
            assert!(read == expected, "{} is not what it was", head.name);
        }
    }

    fn stored(&self) -> u64 {
        self.local()
            .list("packs/")
            .unwrap()
            .iter()
            .map(|object| object.size)
            .sum()
    }

    /// Bytes of the different pages of all kept snapshots, as if each compressed by half.
    fn needed(&self) -> f64 {
        let seeds: HashSet<u32> = self.kept.iter().flat_map(|(_, seeds)| seeds).copied().collect();
        seeds.len() as f64 * self.bytes_of_a_page()
    }

    fn bytes_of_a_page(&self) -> f64 {
        let (_, packs) = self.table.as_ref().unwrap();
        let (bytes, pages) = packs
            .iter()
            .fold((0, 0), |(bytes, pages), pack| (bytes + pack.size, pages + pack.pages));
        bytes as f64 / f64::from(pages)
    }

    /// Pages of the frames that a restore of the newest snapshot reads, for each page of the image.
    fn read_of_newest(&self) -> f64 {
        let (head, _) = self.kept.last().unwrap();
        let manifest = Manifest::open(self.local(), &head.key()).unwrap();
        let frame = crate::repository::pack::pages_per_frame(PAGE_SIZE);
        let mut frames = BTreeMap::new();
        for entry in Snapshot::open(self.local(), head)
            .unwrap()
            .page_table(&self.place.scratch())
            .unwrap()
            .iter()
        {
            let entry = entry.unwrap();
            let pages = manifest.packs[entry.pack as usize - 1].pages;
            let number = entry.position / frame;
            frames.insert((entry.pack, number), frame.min(pages - number * frame));
        }
        f64::from(frames.values().sum::<u32>()) / f64::from(PAGES)
    }
}

#[test]
fn what_is_fresh_is_left_alone() {
    let mut simulation = Simulation::new();
    simulation.snapshot();
    simulation.change(3, 100);
    simulation.snapshot();
    assert!(simulation.repack(Budget::ONE_RUN).is_none());
    assert!(simulation.heads().iter().all(|head| head.generation == 1));
}

#[test]
fn many_generations_of_changes_stay_small_and_fast_to_read() {
    let mut simulation = Simulation::new();
    simulation.snapshot();
    let (mut most_stored, mut most_read, mut written) = (0.0_f64, 0.0_f64, 0);
    for round in 0..150 {
        simulation.change(round * 37 % 100, 100);
        simulation.snapshot();
        if simulation.kept.len() > KEPT {
            simulation.forget_oldest();
        }
        if let Some(repacked) = simulation.repack(Budget::ONE_RUN) {
            written += repacked.bytes_written;
            assert!(simulation.repack(Budget::ONE_RUN).is_none(), "one run is enough here");
            let newest = &simulation.kept.last().unwrap().0;
            assert!(
                cache::open(&simulation.place.repository, newest).unwrap().is_some(),
                "the cache follows"
            );
            simulation.assert_whole();
        }
        most_stored = most_stored.max(simulation.stored() as f64 / simulation.needed());
        most_read = most_read.max(simulation.read_of_newest());
        assert!(simulation.kept.last().unwrap().0.packs() <= 65);
    }
    assert!(written > 0, "something was repacked");
    assert!(most_stored < 2.2, "stored {most_stored} times what is needed");
    assert!(most_read < 1.6, "a restore reads {most_read} times the image");
    // A part of what was stored is written again, not all of it over and over.
    let changes = 2.5 * f64::from(PAGES) * simulation.bytes_of_a_page();
    assert!((written as f64) < 4.0 * changes, "{written} bytes were rewritten");
}

#[test]
fn what_only_deletions_made_wasteful_is_repacked() {
    let mut simulation = Simulation::new();
    simulation.snapshot();
    for first in 0..6 {
        simulation.change(first, 8);
        simulation.snapshot();
    }
    while simulation.kept.len() > 1 {
        simulation.forget_oldest();
    }
    let before = simulation.stored();
    let repacked = simulation.repack(Budget::ONE_RUN).unwrap();
    assert!(repacked.packs_after < repacked.packs_before || simulation.stored() < before);
    assert!(simulation.stored() as f64 <= 1.6 * simulation.needed());
    assert_eq!(simulation.kept[0].0.generation, 2);
    simulation.assert_whole();
}

#[test]
fn a_run_keeps_to_its_budget_and_the_next_one_goes_on() {
    let mut simulation = Simulation::new();
    simulation.snapshot();
    for round in 0..70 {
        simulation.change(round, 200);
        simulation.snapshot();
    }
    let five_packs = Budget {
        bytes: 1 << 20,
        pages: 50,
    };
    let packs = |simulation: &Simulation| simulation.kept.last().unwrap().0.packs();
    assert_eq!(packs(&simulation), 71);
    for left in [67, 63] {
        let repacked = simulation.repack(five_packs).unwrap();
        assert_eq!((repacked.packs_before, repacked.packs_after), (5, 1));
        assert_eq!(packs(&simulation), left);
    }
    assert!(simulation.repack(five_packs).is_none());
    simulation.assert_whole();
}

#[test]
fn a_damaged_pack_is_left_as_it_is_and_the_others_are_rewritten() {
    let mut simulation = Simulation::new();
    simulation.snapshot();
    let base = simulation.table.as_ref().unwrap().1[0].clone();
    for round in 0..70 {
        simulation.change(round, 100);
        simulation.snapshot();
    }
    simulation.place.tamper(&base.key(), |bytes| bytes[100] ^= 1);
    let repacked = simulation.repack(Budget::ONE_RUN).unwrap();
    assert!(repacked.packs_before > 1);
    let objects = simulation.local().list(&base.key()).unwrap();
    assert_eq!(objects.len(), 1, "the damaged pack is still there");
    let newest = simulation.kept.last().unwrap();
    let snapshot = Snapshot::open(simulation.local(), &newest.0).unwrap();
    assert!(snapshot.page_table(&simulation.place.scratch()).is_ok());
}

#[test]
fn a_failure_in_between_leaves_whole_snapshots() {
    let mut simulation = Simulation::new();
    simulation.snapshot();
    for first in 0..6 {
        simulation.change(first, 8);
        simulation.snapshot();
    }
    while simulation.kept.len() > 2 {
        simulation.forget_oldest();
    }
    for refused_at in (0..).map(|power| 1 << power) {
        let asked = std::cell::Cell::new(0);
        let alive = || {
            asked.set(asked.get() + 1);
            if asked.get() == refused_at {
                fail!(Aborted, "the application is gone");
            }
            Ok(())
        };
        let outcome = repack(
            &simulation.place.repository,
            &simulation.heads(),
            Budget::ONE_RUN,
            &alive,
        );
        if outcome.is_ok() {
            assert!(refused_at > 2, "it was asked in between");
            return;
        }
        simulation.place.repository.remove_unneeded_packs().unwrap();
        simulation.assert_whole();
    }
}
