#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::error::Code;
use crate::repository::testing::{Place, code, page, pages};

const SIZE: u32 = 512;

/// An image of `stored` beside a live file that holds `live`.
fn image(place: &Place, stored: &[Vec<u8>], live: Option<&[Vec<u8>]>) -> LiveImage {
    let (table, packs) = place.store(SIZE, stored);
    let packed = PackedPages::open(&**place.repository.local(), &packs, SIZE).unwrap();
    let path = place.beside("live.db");
    match live {
        Some(live) => std::fs::write(&path, live.concat()).unwrap(),
        None => assert!(!path.exists()),
    }
    let image = LiveImage::new(Some(&path), table, packed, SIZE);
    // From here on the packs are of no use: what is still right comes from the live file.
    if live.is_some() {
        place.tamper(&packs[0].key(), |bytes| bytes[64..300].fill(0));
    }
    image
}

fn read(image: &mut LiveImage, number: u32) -> Result<Vec<u8>> {
    let mut out = vec![0xEE; SIZE as usize];
    image.page(number, &mut out).map(|()| out)
}

#[test]
fn pages_that_the_live_file_still_has_come_from_there() {
    let (place, stored) = (Place::new(), pages(10, SIZE));
    let mut image = image(&place, &stored, Some(&stored));
    for (number, data) in (1..).zip(&stored) {
        assert!(read(&mut image, number).unwrap() == *data);
    }
    assert_eq!(image.page_count(), 10);
}

#[test]
fn pages_that_the_live_file_has_no_more_come_from_the_packs() {
    let (place, stored) = (Place::new(), pages(10, SIZE));
    let mut live = stored[..8].to_vec();
    live[3] = page(99, SIZE);
    let path = place.beside("live.db");
    std::fs::write(&path, live.concat()).unwrap();
    let (table, packs) = place.store(SIZE, &stored);
    let packed = PackedPages::open(&**place.repository.local(), &packs, SIZE).unwrap();
    let mut image = LiveImage::new(Some(&path), table, packed, SIZE);
    for (number, data) in (1..).zip(&stored) {
        assert!(read(&mut image, number).unwrap() == *data, "page {number}");
    }
    let mut hasher = ImageHasher::default();
    hasher.update(&stored.concat());
    assert_eq!(image.checksum().unwrap(), hasher.finish());
}

#[test]
fn a_page_that_neither_has_is_damage() {
    let (place, stored) = (Place::new(), pages(10, SIZE));
    let mut live = stored.clone();
    live[3] = page(99, SIZE);
    let mut image = image(&place, &stored, Some(&live));
    assert_eq!(code(read(&mut image, 4)), Some(Code::SnapshotDamaged));
    assert!(read(&mut image, 5).unwrap() == stored[4]);
}

#[test]
fn without_a_live_file_everything_comes_from_the_packs() {
    let (place, stored) = (Place::new(), pages(10, SIZE));
    let mut image = image(&place, &stored, None);
    for (number, data) in (1..).zip(&stored) {
        assert!(read(&mut image, number).unwrap() == *data);
    }
}

#[test]
fn an_image_that_was_taken_back_is_not_read() {
    let (place, stored) = (Place::new(), pages(3, SIZE));
    let shared: Shared = Arc::new(Mutex::new(Some(image(&place, &stored, None))));
    let mut lent = SharedImage(Arc::clone(&shared));
    let mut out = vec![0; SIZE as usize];
    lent.page(2, &mut out).unwrap();
    assert!(out == stored[1]);
    shared.lock().unwrap().take();
    assert_eq!(code(lent.page(2, &mut out)), Some(Code::Internal));
    assert_eq!(page_count(&shared), 0);
}
