//! What an application adds to SQLite and this process lacks: collations, functions, modules. With something in their
//! place SQLite can read what does not depend on them: whether there are rows, how many, how the pages hang together.
//! For connections that only read: an index that is written by another order is broken.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::Null;
use rusqlite::{Connection, Error, Result, ffi};

use super::sqlite_error::said;

/// Any collation that is asked for and unknown compares bytes.
pub(super) fn collations(conn: &Connection) -> Result<()> {
    conn.collation_needed(|conn, name| conn.create_collation(name, |one, other| one.cmp(other)))
}

/// Gives a function that is missing the value NULL; `false` when the error is not about one.
pub(super) fn function(conn: &Connection, error: &Error) -> Result<bool> {
    let said = said(error);
    let missing = ["unknown function: ", "no such function: "]
        .into_iter()
        .find_map(|words| said.strip_prefix(words));
    let Some(name) = missing else { return Ok(false) };
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function(name.trim_end_matches("()"), -1, flags, |_| Ok(Null))?;
    Ok(true)
}

/// Makes every virtual table one of an unknown module, which SQLite's checks pass over. What such tables keep lies in
/// ordinary ones.
pub(super) fn forget_modules(conn: &Connection) {
    #[expect(unsafe_code, reason = "rusqlite has no wrapper for sqlite3_drop_modules")]
    // SAFETY: the handle lives as long as `conn`; without a list of names it keeps none and reads nothing.
    unsafe {
        ffi::sqlite3_drop_modules(conn.handle(), std::ptr::null_mut());
    }
}
