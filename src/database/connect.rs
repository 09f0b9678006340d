//! Opening connections to the live database, and what SQLite's refusals mean to the caller.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::gate;
use super::holders::{self, describe};
use super::raw_files::looks_encrypted;
use super::sqlite_error::is_damage;
use crate::error::{Code, Error, Result, fail};

/// How long to pause between tries; the last one repeats.
const PAUSES_MS: [u64; 5] = [1, 2, 5, 10, 25];
/// A commit keeps everybody out too. Who does so at both ends of a wait this long is not committing.
const LONGER_THAN_A_COMMIT: Duration = Duration::from_millis(200);

/// Opens the database as a snapshot does: it changes nothing but what SQLite itself must
/// (a hot journal is rolled back, a missing `-shm` is made).
///
/// Never `immutable=1`: it would ignore locks, journals and the WAL. When the first look at the
/// database finds it locked the connection is returned all the same: waiting is the caller's.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection> {
    gate::check(path)?;
    // Writable, because only then can SQLite clear up after a writer that died.
    let first_try = open_and_look(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let outcome = match first_try {
        Err(error) if is_not_permitted(&error) => open_and_look(path, OpenFlags::SQLITE_OPEN_READ_ONLY),
        other => other,
    };
    outcome.map_err(|error| match error.sqlite_error_code() {
        // The connection is gone by now, so the file may be looked at.
        Some(ErrorCode::NotADatabase) if looks_encrypted(path) => Error::new(
            Code::DatabaseEncrypted,
            format!(
                "cannot read {}: it looks encrypted; only plain SQLite databases can be read",
                path.display()
            ),
        )
        .because(error),
        _ => database_error("read", path, error),
    })
}

/// Opens a database that nobody has open and that has no WAL, without making the files that SQLite
/// would want beside a database in WAL mode. Who opens it meanwhile makes the answers stale, no more.
pub(super) fn open_settled(path: &Path) -> Result<Connection> {
    gate::check(path)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let escaped: String = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| {
            if plain(*byte) {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), access)
        .and_then(|connection| {
            run_nothing_of_the_schema(&connection)?;
            Ok(connection)
        })
        .map_err(|error| database_error("read", path, error))
}

/// Opens the database for small changes of rows: journal mode as found, no checkpoint at the end.
///
/// Foreign keys are enforced, as they are for the application: a row that something else refers to goes
/// the way that the schema says, or stays.
pub(super) fn open_for_rows(path: &Path) -> Result<Connection> {
    gate::check(path)?;
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
            Ok(connection)
        })
        .map_err(|error| database_error("write", path, error))
}

/// Version of the SQLite that is built into this package.
pub(crate) fn own_sqlite() -> &'static str {
    rusqlite::version()
}

/// Opens the database as a restore does. No lock is taken and nothing is read yet:
/// [`set_synchronous_extra`] and everything after it may have to wait.
pub(crate) fn open_for_restore(path: &Path) -> Result<Connection> {
    gate::check(path)?;
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| {
            // First of all, so that a damaged schema is never a reason to refuse.
            connection.execute_batch("PRAGMA writable_schema=ON")?;
            connection.execute_batch("PRAGMA foreign_keys=OFF")?;
            Ok(connection)
        })
        .map_err(|error| database_error("write", path, error))
}

/// The commit is to survive a power loss. With FULL, the journal that was deleted last may come
/// back afterwards, and would undo the restore.
///
/// SQLite reads the schema for this pragma. When that is damaged the first try fails, and the
/// second sees as much of it as could be read (that is what `writable_schema` is for).
pub(crate) fn set_synchronous_extra(connection: &Connection) -> rusqlite::Result<()> {
    const EXTRA: i64 = 3;
    let set = || connection.execute_batch("PRAGMA synchronous=EXTRA");
    match set() {
        Err(error) if is_damage(&error) => set()?,
        other => other?,
    }
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    debug_assert_eq!(synchronous, EXTRA);
    Ok(())
}

/// Whether the name of the database now means another file, or none.
pub(crate) fn has_moved(connection: &Connection) -> Result<bool> {
    let mut moved: std::ffi::c_int = 0;
    #[expect(unsafe_code, reason = "rusqlite has no wrapper for sqlite3_file_control")]
    // SAFETY: the handle lives as long as `connection`; the name is NUL-terminated; this operation
    // writes one int through the pointer and keeps nothing.
    let status = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_HAS_MOVED,
            (&raw mut moved).cast(),
        )
    };
    if status != ffi::SQLITE_OK {
        fail!(
            Internal,
            "SQLite does not tell whether the database has moved (code {status})"
        );
    }
    Ok(moved != 0)
}

/// What SQLite's error means to the caller. `verb` says what was tried ("read", "write", "lock").
pub(crate) fn database_error(verb: &str, path: &Path, error: rusqlite::Error) -> Error {
    let moved = error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == ffi::SQLITE_READONLY_DBMOVED);
    let (code, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let holders = holders::holders(path);
            let hint = format!("it is locked by another connection; open in {}", describe(&holders));
            return Error::new(Code::DatabaseBusy, sentence(verb, path, &hint)).because(error);
        }
        Some(ErrorCode::NotADatabase) => (Code::DatabaseInvalid, "it is not an SQLite database"),
        _ if is_damage(&error) => (Code::DatabaseCorrupt, "SQLite finds it damaged"),
        Some(ErrorCode::DiskFull) => (
            Code::RepositoryFull,
            "no space left on the database's disk; the database is as it was",
        ),
        _ if moved => (Code::DatabaseMoved, "it was renamed or replaced meanwhile"),
        _ if fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) => {
            (Code::DatabaseNotFound, "it does not exist")
        }
        _ if is_not_permitted(&error) => (
            Code::DatabaseReadonly,
            "SQLite may not write the database or the files that it needs beside it \
             (WAL index, journal of a writer that died); check owner and mode of the file and its folder",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Code::DatabaseIo,
            "the operating system could not read or write it; see what the system log says of the disk",
        ),
        _ => (Code::Internal, "SQLite reports an error"),
    };
    Error::new(code, sentence(verb, path, hint)).because(error)
}

/// Whether another connection's lock is what hindered.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Repeats `step` while the database is locked, until `deadline`; once at least.
pub(crate) fn wait_while_busy<T>(
    path: &Path,
    deadline: Instant,
    step: impl FnMut() -> rusqlite::Result<T>,
) -> Result<T> {
    retry_while_busy(path, deadline, step)?.map_err(|error| database_error("use", path, error))
}

/// As [`wait_while_busy`], for callers that look at the other errors themselves.
pub(crate) fn retry_while_busy<T>(
    path: &Path,
    deadline: Instant,
    mut step: impl FnMut() -> rusqlite::Result<T>,
) -> Result<rusqlite::Result<T>> {
    let mut pauses = PAUSES_MS.into_iter();
    let mut first_busy = None;
    loop {
        let busy = match step() {
            Err(error) if is_busy(&error) => error,
            other => return Ok(other),
        };
        let (since, exclusive) = *first_busy.get_or_insert_with(|| (Instant::now(), holders::exclusive_holder(path)));
        let now = Instant::now();
        if now >= deadline {
            let waited = now - since;
            return Err(match exclusive {
                Some(pid) if waited >= LONGER_THAN_A_COMMIT && holders::exclusive_holder(path) == exclusive => {
                    exclusive_error(path, pid).because(busy)
                }
                _ => database_error("lock", path, busy),
            });
        }
        let pause = Duration::from_millis(pauses.next().unwrap_or(PAUSES_MS[PAUSES_MS.len() - 1]));
        sleep(pause.min(deadline - now));
    }
}

fn exclusive_error(path: &Path, pid: u32) -> Error {
    let holders: Vec<_> = holders::holders(path)
        .into_iter()
        .filter(|holder| holder.pid == pid)
        .collect();
    let who = if holders.is_empty() {
        format!("process {pid}")
    } else {
        describe(&holders)
    };
    let hint = format!(
        "{who} keeps everybody else out, as PRAGMA locking_mode=EXCLUSIVE does; \
         use locking_mode=NORMAL there, or stop it"
    );
    Error::new(Code::DatabaseExclusive, sentence("lock", path, &hint))
}

fn sentence(verb: &str, path: &Path, hint: &str) -> String {
    format!("cannot {verb} {}: {hint}", path.display())
}

fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // A relative name that begins with `file:` would be taken for a URI.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let connection = Connection::open_with_flags(absolute, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Waiting is ours: it has one deadline, and SQLite's own handler does not wait in every case.
    connection.busy_timeout(Duration::ZERO)?;
    run_nothing_of_the_schema(&connection)?;
    Ok(connection)
}

/// The application's triggers and views are code for the application's own changes: what we write into a
/// table must not empty another one. Settings of the connection; nothing of it is stored.
fn run_nothing_of_the_schema(connection: &Connection) -> rusqlite::Result<()> {
    for switch in [
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW,
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
    ] {
        connection.set_db_config(switch, false)?;
    }
    Ok(())
}

fn open_and_look(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = open(path, access)?;
    // The last one out must not checkpoint away the application's WAL.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA query_only=ON")?;
    // SQLite opens the files at the first read only.
    match connection.query_row("PRAGMA schema_version", [], |_| Ok(())) {
        Err(error) if !is_busy(&error) => Err(error),
        _ => Ok(connection),
    }
}

fn is_not_permitted(error: &rusqlite::Error) -> bool {
    let deletes_in_vain = error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_DELETE);
    deletes_in_vain
        || matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
        )
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
