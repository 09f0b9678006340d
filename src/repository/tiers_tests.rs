//! Two folders stand for the two tiers: what is read from where.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use super::*;
use crate::repository::manifest::read_head;
use crate::repository::mirror;
use crate::repository::snapshot::Snapshot;
use crate::repository::testing::{Place, code, draft, pages};

/// The folder of a repository, the folder of another one as its bucket, and both as one.
struct Both {
    here: Place,
    there: Place,
    store: LocalFirst,
}

fn both() -> Both {
    let (here, there) = (Place::new(), Place::new());
    let store = LocalFirst {
        local: Arc::clone(here.repository.local()),
        bucket: Arc::clone(there.repository.local()),
    };
    Both { here, there, store }
}

/// Copies every object of a snapshot.
fn copy(from: &Place, to: &Place, head: &crate::repository::manifest::Head) {
    let (from, to) = (&**from.repository.local(), &**to.repository.local());
    let missing = mirror::missing(from, &mirror::inventory(to).unwrap(), head).unwrap();
    for pack in &missing.packs {
        mirror::copy_pack(from, to, pack, head.page_size, true, &mut |_| Ok(())).unwrap();
    }
    mirror::copy(from, to, &head.key(), &mut |_| Ok(())).unwrap();
}

fn image(store: &dyn Store, head: &crate::repository::manifest::Head, place: &Place) -> Result<Vec<u8>> {
    let mut snapshot = Snapshot::open(store, head)?;
    let table = snapshot.page_table(&place.scratch())?;
    let mut image = Vec::new();
    snapshot.read_from(1, &table, |run| {
        image.extend_from_slice(run);
        Ok(())
    })?;
    Ok(image)
}

#[test]
fn what_one_tier_lacks_comes_from_the_other() {
    let Both { here, there, store } = both();
    let local = here.snapshot(draft("here", 512), &pages(3, 512));
    let far = there.snapshot(draft("there", 512), &pages(5, 512));
    for head in [&local, &far] {
        assert_eq!(read_head(&store, &head.key()).unwrap().name, head.name);
        assert_eq!(image(&store, head, &here).unwrap().len() as u64, head.size());
    }
    let keys: Vec<String> = store
        .list("snapshots/")
        .unwrap()
        .into_iter()
        .map(|object| object.key)
        .collect();
    let mut expected = vec![local.key(), far.key()];
    expected.sort();
    assert_eq!(keys, expected);
    assert_eq!(code(store.open("packs/none").map(drop)), Some(Code::SnapshotDamaged));
}

#[test]
fn a_copy_has_every_page_and_lists_once() {
    let Both { here, there, store } = both();
    let head = here.snapshot(draft("a", 512), &pages(7, 512));
    copy(&here, &there, &head);
    assert_eq!(
        store.list("").unwrap().len(),
        here.repository.local().list("").unwrap().len()
    );
    let expected = pages(7, 512).concat();
    assert_eq!(image(&**there.repository.local(), &head, &there).unwrap(), expected);
}

#[test]
fn a_damaged_local_object_is_replaced_by_the_far_one() {
    // Prelude, head, tables and frames; header, frames and footer.
    for (prefix, share) in [
        ("snapshots/", 0),
        ("snapshots/", 50),
        ("snapshots/", 99),
        ("packs/", 0),
        ("packs/", 30),
        ("packs/", 99),
    ] {
        let Both { here, there, store } = both();
        let head = here.snapshot(draft("a", 512), &pages(40, 512));
        copy(&here, &there, &head);
        let key = here.repository.local().list(prefix).unwrap()[0].key.clone();
        here.tamper(&key, |bytes| {
            let at = bytes.len() * share / 100;
            bytes[at] ^= 1;
        });
        let alone = image(&**here.repository.local(), &head, &here);
        assert_eq!(code(alone), Some(Code::SnapshotDamaged), "{prefix} at {share} %");
        assert_eq!(
            image(&store, &head, &here).unwrap(),
            pages(40, 512).concat(),
            "{prefix} at {share} %"
        );
    }
}

#[test]
fn damage_is_not_spread() {
    let Both { here, there, .. } = both();
    let head = here.snapshot(draft("a", 512), &pages(40, 512));
    let (from, to) = (&**here.repository.local(), &**there.repository.local());
    let pack = mirror::missing(from, &mirror::inventory(to).unwrap(), &head)
        .unwrap()
        .packs
        .remove(0);
    here.tamper(&pack.key(), |bytes| bytes[100] ^= 1);
    let copied = mirror::copy_pack(from, to, &pack, 512, true, &mut |_| Ok(()));
    assert_eq!(code(copied), Some(Code::SnapshotDamaged));
    assert_eq!(to.list("packs/").unwrap(), []);
}

#[test]
fn a_pack_of_another_size_is_written_again() {
    let Both { here, there, .. } = both();
    let head = here.snapshot(draft("a", 512), &pages(7, 512));
    copy(&here, &there, &head);
    let key = there.repository.local().list("packs/").unwrap()[0].key.clone();
    there.tamper(&key, |bytes| bytes.truncate(100));
    let (from, to) = (&**here.repository.local(), &**there.repository.local());
    let missing = mirror::missing(from, &mirror::inventory(to).unwrap(), &head).unwrap();
    assert_eq!(missing.packs.len(), 1);
    assert_eq!(missing.bytes, missing.packs[0].size);
    mirror::copy_pack(from, to, &missing.packs[0], 512, true, &mut |_| Ok(())).unwrap();
    assert_eq!(image(to, &head, &there).unwrap(), pages(7, 512).concat());
}

#[test]
fn whoever_watches_a_copy_can_end_it() {
    let Both { here, there, .. } = both();
    let head = here.snapshot(draft("a", 512), &pages(7, 512));
    let (from, to) = (&**here.repository.local(), &**there.repository.local());
    let stop = &mut |_| Err(crate::error::Error::new(Code::Aborted, "enough"));
    assert_eq!(code(mirror::copy(from, to, &head.key(), stop)), Some(Code::Aborted));
    assert_eq!(to.list("snapshots/").unwrap(), []);
}
