//! Snapshots, verifies and restores a live SQLite database.
//!
//! The way of a call: `index.js` (façade) → worker process → [`binding`] → [`worker`] →
//! [`engine`] (the use cases) → [`database`] | [`repository`] → [`storage`].
//! Arrows point right only; `src/layers.rs` tests that they do.

mod binding;
mod config;
mod database;
mod engine;
mod error;
mod failpoint;
mod record;
mod repository;
mod storage;
mod worker;
