//! The application's database, through SQLite.

// The use cases that call these are written beside them, on another branch.
#![allow(dead_code, reason = "called by the engine")]

mod catalog;
mod catalog_dates;
mod catalog_mirror;
mod content;
mod plain;
