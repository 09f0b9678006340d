//! Snapshots, verifies and restores a live SQLite database.
//!
//! The way of a call: `index.js` (façade) → worker process → [`binding`] → [`worker`] →
//! [`engine`] (the use cases) → [`database`] | [`repository`] → [`storage`].
//! Arrows point right only; `src/layers.rs` tests that they do.

#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "napi leaves its exports out of test builds, so nothing calls the worker there"
    )
)]

mod binding;
mod config;
mod database;
mod engine;
mod error;
mod failpoint;
mod finding;
#[cfg(test)]
mod layers;
mod priority;
mod record;
mod repository;
mod storage;
mod worker;
