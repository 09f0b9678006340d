//! What the operating system is told about the worker.

/// Lowers the CPU priority, so that a snapshot never competes with the application.
/// (`worker.cjs` ignores SIGINT and SIGTERM: PM2 and terminals send them to children too,
/// and the last snapshot at shutdown has to finish.)
pub(crate) fn lower() {
    let _ = rustix::process::setpriority_process(None, 10);
}
