//! The only code that names `rusqlite`: pages in, pages out, and the application's table.

pub(crate) mod assertions;
mod byte_locks;
pub(crate) mod catalog;
mod catalog_dates;
pub(crate) mod catalog_mirror;
mod catalog_model;
pub(crate) mod check;
mod comparable;
pub(crate) mod connect;
pub(crate) mod content;
pub(crate) mod cookie;
mod findings;
pub(crate) mod gate;
pub(crate) mod header;
pub(crate) mod holders;
pub(crate) mod image;
mod image_vfs;
pub(crate) mod left_behind;
pub(crate) mod libraries;
pub(crate) mod live;
pub(crate) mod look;
pub(crate) mod migrations;
mod moved_set;
pub(crate) mod offline;
pub(crate) mod one_file;
pub(crate) mod plain_snapshots;
pub(crate) mod raw_files;
pub(crate) mod replay;
pub(crate) mod row_counts;
pub(crate) mod rows;
pub(crate) mod schema;
mod shape;
pub(crate) mod source;
mod sqlite_error;
mod stand_ins;
pub(crate) mod target;
pub(crate) mod watch;
pub(crate) mod write_lock;

#[cfg(test)]
pub(crate) mod testing;
