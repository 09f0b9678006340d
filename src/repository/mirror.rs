//! Copying snapshots between the tiers: packs before the manifest, each object whole or not at all.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bytes::ObjectRange;
use super::damaged_packs;
use super::hash::hex;
use super::manifest::{Head, Manifest};
use super::pack::PackEntry;
use super::packed_pages::PackedPages;
use crate::error::{Code, Error, Result, fail};
use crate::storage::{Reader, S3Store, Store, io_error};

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

/// Told how many more bytes were copied; its failure ends the copying.
pub(crate) type Copied<'a> = dyn FnMut(u64) -> Result<()> + 'a;

/// Packs of a snapshot that the bucket lacks.
pub(crate) struct Missing {
    pub(crate) packs: Vec<PackEntry>,
    /// Every pack that the snapshot needs.
    pub(crate) needed: Vec<PackEntry>,
    /// Bytes of the missing ones.
    pub(crate) bytes: u64,
}

/// Sizes of the packs of a store, by their keys.
pub(crate) type Inventory = HashMap<String, u64>;

/// Lists the packs of a store.
pub(crate) fn inventory(store: &dyn Store) -> Result<Inventory> {
    let packs = store.list("packs/")?.into_iter();
    Ok(packs.map(|object| (object.key, object.size)).collect())
}

/// Finds out which packs of a snapshot in `from` the store with that inventory lacks, or has with
/// another size.
pub(crate) fn missing(from: &dyn Store, there: &Inventory, head: &Head) -> Result<Missing> {
    let needed = Manifest::open(from, &head.key())?.packs;
    let lacks = |pack: &&PackEntry| there.get(&pack.key()) != Some(&pack.size);
    let packs: Vec<PackEntry> = needed.iter().filter(lacks).cloned().collect();
    Ok(Missing {
        bytes: packs.iter().map(|pack| pack.size).sum(),
        needed,
        packs,
    })
}

/// Copies one pack, over one of another size, and, with `read_back`, compares every page of the copy with its hash.
pub(crate) fn copy_pack(
    from: &dyn Store,
    to: &dyn Store,
    pack: &PackEntry,
    page_size: u32,
    read_back: bool,
    copied: &mut Copied<'_>,
) -> Result<()> {
    let packs = std::slice::from_ref(pack);
    // What is damaged here is not spread.
    let checked = PackedPages::open(from, packs, page_size)?;
    let found = to.list(&pack.key())?;
    if found.iter().any(|object| object.size != pack.size) {
        tracing::warn!(pack = %pack.id, "a pack has another size than its manifest says; it is written again");
        to.remove(&pack.key())?;
    }
    copy(from, to, &pack.key(), copied)?;
    drop(checked);
    if read_back && let Err(error) = PackedPages::open(to, packs, page_size).and_then(|packs| packs.read_back()) {
        if error.code == Code::SnapshotDamaged {
            // The copy is what it was copied from.
            damaged_packs::found_far(pack, &error);
        }
        to.remove(&pack.key())?;
        return Err(error);
    }
    Ok(())
}

/// Copies one object, hashing it on the way. One that is there already stays as it is.
pub(crate) fn copy(from: &dyn Store, to: &dyn Store, key: &str, copied: &mut Copied<'_>) -> Result<()> {
    let object = from.open(key)?;
    let mut staged = to.stage(key)?;
    if !object.is_far() {
        // Reading a file twice is cheap, and the bucket is told what it will hold.
        staged.expect(&sha256(&*object)?);
    }
    let mut input = whole(&*object);
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = read_some(&mut input, &mut chunk, key)?;
        if length == 0 {
            break;
        }
        staged
            .write_all(&chunk[..length])
            .map_err(|error| written(error, &to.locate(key)))?;
        copied(length as u64)?;
    }
    match staged.publish() {
        Err(error) if error.code == Code::SnapshotExists => Ok(()),
        other => other,
    }
}

fn sha256(object: &dyn Reader) -> Result<String> {
    let mut hasher = Sha256::new();
    let (mut input, mut chunk) = (whole(object), vec![0; CHUNK]);
    loop {
        match read_some(&mut input, &mut chunk, "an object")? {
            0 => return Ok(hex(&hasher.finalize())),
            length => hasher.update(&chunk[..length]),
        }
    }
}

fn whole(object: &dyn Reader) -> ObjectRange<'_> {
    ObjectRange {
        object,
        offset: 0,
        end: object.size(),
    }
}

fn read_some(input: &mut impl Read, chunk: &mut [u8], key: &str) -> Result<usize> {
    input.read(chunk).map_err(|error| written(error, key))
}

/// An error of ours that went through `std::io` comes out as it was.
fn written(error: std::io::Error, what: &str) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => io_error("copy", Path::new(what), error),
    }
}

/// What the bucket's `repository.json` says.
#[derive(Serialize, Deserialize)]
struct InBucket {
    format: u16,
    encryption: Option<serde_json::Value>,
}

const DESCRIPTION: &str = "repository.json";

/// Refuses a bucket of a newer format; marks an unused one as ours.
pub(crate) fn prepare_bucket(bucket: &S3Store) -> Result<()> {
    let Some(found) = bucket.get(DESCRIPTION)? else {
        let description = InBucket {
            format: super::pack::VERSION,
            encryption: None,
        };
        let json = serde_json::to_vec_pretty(&description)
            .map_err(|error| Error::new(Code::Internal, "cannot encode JSON").because(error))?;
        bucket.put_new(DESCRIPTION, &json)?;
        return Ok(());
    };
    let what = format!("the repository in the bucket ({})", bucket.locate(DESCRIPTION));
    match serde_json::from_slice::<InBucket>(&found.bytes) {
        Ok(description) => {
            super::pack::refuse_newer(description.format, description.encryption.is_some().into(), &what)
        }
        Err(error) => fail!(
            RepositoryIo,
            "{what} cannot be understood ({error}); nothing was uploaded: look whether S3_PREFIX is right"
        ),
    }
}
