//! Writes manifests.

use std::io::{Seek, Write};
use std::path::Path;

use super::super::extents;
use super::super::hash::hex;
use super::super::pack::PackEntry;
use super::super::page_table::{PageEntry, PageTable};
use super::{Description, Head, MAX_HEAD, Manifest, PRELUDE_LEN, prelude};
use crate::error::{Code, Error, Result, fail};
use crate::storage::{Store, io_error};

/// Writes a manifest. `packs` are those that `table` counts from 1; unused ones are left out.
pub(crate) fn write(
    store: &dyn Store,
    scratch: &Path,
    description: Description,
    table: &PageTable,
    packs: &[PackEntry],
) -> Result<Head> {
    let (pages, page_list_hash) = (table.pages(), hex(&table.list_hash()?));
    publish(store, scratch, (description, pages, page_list_hash), packs, || {
        Ok(table.iter())
    })
}

/// Writes another generation of a manifest: the same pages in other places. `place` gets the number
/// of a page and where it was, and counts `packs` from 1.
pub(crate) fn rewrite(
    store: &dyn Store,
    scratch: &Path,
    (old, generation): (&Manifest, u32),
    packs: &[PackEntry],
    place: impl Fn(u32, PageEntry) -> Result<PageEntry>,
) -> Result<Head> {
    let description = Description {
        generation,
        ..Description::clone(&old.head)
    };
    let pages = (description, old.head.page_count, old.head.page_list_hash.clone());
    publish(store, scratch, pages, packs, || {
        let moved = (1..).zip(old.entries()?);
        Ok(moved.map(|(page, entry)| place(page, entry?)))
    })
}

/// Writes head, packs and extents, and makes them visible. `pages` yields where each page is, as
/// often as it is called.
fn publish<I: Iterator<Item = Result<PageEntry>>>(
    store: &dyn Store,
    scratch: &Path,
    (description, page_count, page_list_hash): (Description, u32, String),
    packs: &[PackEntry],
    pages: impl Fn() -> Result<I>,
) -> Result<Head> {
    let (used, numbers) = used_packs(pages()?, packs)?;
    let mut pack_table = Vec::with_capacity(used.len() * PackEntry::LEN);
    used.iter().for_each(|pack| pack.encode(&mut pack_table));

    let mut body = tempfile::tempfile_in(scratch).map_err(|error| io_error("create a file in", scratch, error))?;
    let entries = pages()?.map(|entry| {
        let entry = entry?;
        Ok(PageEntry {
            pack: numbers[entry.pack as usize],
            ..entry
        })
    });
    let extent_count = extents::write(entries, used.len(), &mut body)?;
    let io = |error| io_error("use", Path::new("a scratch file"), error);
    let extents_len = body.stream_position().map_err(io)?;
    body.rewind().map_err(io)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&body).map_err(io)?;
    body.rewind().map_err(io)?;

    let head = Head {
        description,
        page_count,
        page_list_hash,
        pack_count: used.len() as u32,
        pack_table_hash: hex(blake3::hash(&pack_table).as_bytes()),
        extent_count,
        extents_len,
        extents_hash: hex(hasher.finalize().as_bytes()),
    };
    let json = serde_json::to_vec(&head)
        .map_err(|error| Error::new(Code::Internal, "cannot encode the head").because(error))?;
    if json.len() > MAX_HEAD - PRELUDE_LEN {
        fail!(
            Internal,
            "the head of the manifest has {} bytes, more than {MAX_HEAD}",
            json.len()
        );
    }
    let mut object = store.stage(&head.key())?;
    let io = |error| io_error("write", Path::new("a manifest"), error);
    object.write_all(&prelude(&json)).map_err(io)?;
    object.write_all(&json).map_err(io)?;
    object.write_all(&pack_table).map_err(io)?;
    std::io::copy(&mut body, &mut object).map_err(io)?;
    object.publish()?;
    Ok(head)
}

/// The packs that the pages are in, and their new numbers by their old ones.
fn used_packs(
    pages: impl Iterator<Item = Result<PageEntry>>,
    packs: &[PackEntry],
) -> Result<(Vec<PackEntry>, Vec<u32>)> {
    let mut is_used = vec![false; packs.len() + 1];
    for entry in pages {
        is_used[entry?.pack as usize] = true;
    }
    let mut used = Vec::new();
    let mut numbers = vec![0; packs.len() + 1];
    for (index, pack) in packs.iter().enumerate() {
        if is_used[index + 1] {
            used.push(pack.clone());
            numbers[index + 1] = used.len() as u32;
        }
    }
    Ok((used, numbers))
}
