//! Everything that touches the live database: SQLite connections and the files beside it.

pub(crate) mod connect;
pub(crate) mod header;
pub(crate) mod holders;
pub(crate) mod offline;
pub(crate) mod plain;
pub(crate) mod target;
#[cfg(test)]
mod testing;
mod write_lock;
