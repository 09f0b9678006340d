//! The format: packs of compressed pages, one manifest per snapshot, the page-hash cache, the
//! lock, the counters, and the journal of restores. Knows no SQLite and no S3.
//!
//! ```text
//! repository.json                     format version, id, room for encryption
//! snapshots/<uuid>.<generation>       manifests
//! packs/<uuid>                        packs
//! local/                              this host only: lock, cache, scratch, restores, lineages,
//!                                     instances
//! ```
//! The byte tables are in `docs/format.md`.

pub(crate) mod bucket;
pub(crate) mod bytes;
pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod counters;
pub(crate) mod damaged_packs;
pub(crate) mod drills;
pub(crate) mod extents;
pub(crate) mod folder;
pub(crate) mod hash;
mod head_cache;
pub(crate) mod identity;
pub(crate) mod instance;
pub(crate) mod lineage;
pub(crate) mod lock;
pub(crate) mod manifest;
pub(crate) mod mirror;
pub(crate) mod notes;
pub(crate) mod operations;
pub(crate) mod order;
pub(crate) mod pack;
pub(crate) mod pack_reader;
pub(crate) mod pack_writer;
pub(crate) mod packed_pages;
pub(crate) mod page_table;
pub(crate) mod repacking;
pub(crate) mod restores;
pub(crate) mod retention;
pub(crate) mod runner;
pub(crate) mod schedule;
pub(crate) mod sequence;
pub(crate) mod snapshot;
pub(crate) mod survey;
pub(crate) mod tiers;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use folder::Repository;
