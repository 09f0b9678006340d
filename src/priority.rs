//! CPU priority of the worker's threads.
//!
//! The application comes first, but not at any price: a thread that is kept waiting while it
//! holds a lock on the database keeps every writer waiting too. So the threads that compress,
//! hash and check are lowered, and the one that reads under a lock is not.

/// Lowers the calling thread, and the threads that it starts afterwards. (On Linux a priority
/// belongs to a thread; elsewhere to the process, which is then lowered as a whole.)
pub(crate) fn lower() {
    // Refused only where the platform knows no priorities: then all threads are equal.
    let _ = rustix::process::setpriority_process(None, 10);
}
