//! The application's database, through SQLite.

// The use cases that call these are written beside them, on another branch.
#![allow(dead_code, reason = "called by the engine")]

pub(crate) mod catalog;
mod catalog_dates;
pub(crate) mod catalog_mirror;
pub(crate) mod content;
pub(crate) mod plain;
