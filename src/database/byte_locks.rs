//! Locks on ranges of bytes, as SQLite takes them: asked about, and taken on files that SQLite cannot
//! open because they have no name any more.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

/// A range of bytes that SQLite gives a meaning to.
#[derive(Clone, Copy)]
pub(super) struct Bytes {
    first: u64,
    length: u64,
}

impl Bytes {
    /// Of the database file: a writer waits for readers to leave, new ones are kept out.
    pub(super) const PENDING: Self = Self::one(0x4000_0000);
    /// A writer prepares its transaction.
    pub(super) const RESERVED: Self = Self::one(0x4000_0001);
    /// Readers, and every connection in WAL mode as long as it is open.
    pub(super) const SHARED: Self = Self {
        first: 0x4000_0002,
        length: 510,
    };
    /// Of `-shm`: whoever moves pages from the WAL into the database file.
    pub(super) const WAL_CHECKPOINT: Self = Self::one(121);
    /// Every connection that uses this `-shm`, as long as it is open ("dead man's switch").
    pub(super) const WAL_USERS: Self = Self::one(128);

    const fn one(first: u64) -> Self {
        Self { first, length: 1 }
    }
}

/// Somebody else's lock.
pub(super) struct Held {
    /// `None`: of another PID namespace, or of no process.
    pub(super) pid: Option<u32>,
    pub(super) is_exclusive: bool,
}

/// A lock of another process on any of these bytes.
pub(super) fn holder(file: &File, bytes: Bytes) -> io::Result<Option<Held>> {
    let wanted = Flock {
        start: bytes.first,
        length: bytes.length,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let found = fcntl_getlk(file, &wanted)?;
    Ok(found.map(|lock| Held {
        pid: lock.pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()),
        is_exclusive: lock.typ == FlockType::WriteLock,
    }))
}

/// What to do to a range.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Share,
    Exclude,
    Release,
}

/// Changes our lock on a range, which belongs to `file` and ends with it; false when somebody else's
/// is in the way.
pub(super) fn change(file: &File, bytes: Bytes, change: Change) -> io::Result<bool> {
    let kind = match change {
        Change::Share => libc::F_RDLCK,
        Change::Exclude => libc::F_WRLCK,
        Change::Release => libc::F_UNLCK,
    };
    #[expect(unsafe_code, reason = "rustix locks whole files only")]
    // SAFETY: `flock` is a plain C structure, for which zeros are valid; the kernel reads it during
    // the call and keeps nothing; the descriptor lives as long as `file`.
    let status = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = kind as _;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = bytes.first.cast_signed();
        lock.l_len = bytes.length.cast_signed();
        // Of the open file, not of the process: closing another descriptor drops nothing.
        libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock)
    };
    if status == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}
