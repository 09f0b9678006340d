//! The only code that names `napi`: one function, called by `worker.cjs`.
//!
//! The application's process never loads this addon (docs/design.md, "The database is never
//! opened inside the application's process"), so there is nothing else to bind.

use napi_derive::napi;

/// Runs the worker: reads one job from standard input, answers on standard output.
/// Returns the exit code for the process.
#[napi]
#[must_use]
pub fn run_worker() -> i32 {
    std::panic::catch_unwind(crate::worker::run).unwrap_or(101)
}
