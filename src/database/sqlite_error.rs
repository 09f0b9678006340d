//! What an error of SQLite is about: the file, the statement, or neither.

use rusqlite::{Error, ErrorCode, ffi};

/// Whether SQLite objects to the structure of the file. Nothing else is damage: not a function, collation, module or
/// tokenizer that only the application has, not a lack of memory, not an input/output error.
pub(super) fn is_damage(error: &Error) -> bool {
    match error.sqlite_error() {
        // The module of a virtual table objects to what it keeps, not SQLite to the file.
        Some(error) if error.extended_code == ffi::SQLITE_CORRUPT_VTAB => false,
        Some(known) => match known.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
            // A header that names a schema format which no SQLite has ever written.
            ErrorCode::Unknown => said(error).starts_with("unsupported file format"),
            _ => false,
        },
        None => false,
    }
}

/// `SQLITE_ERROR`: the statement is not possible, in contrast to a lock, a full disk or damage.
pub(super) fn is_about_the_statement(error: &Error) -> bool {
    // rusqlite has a variant of its own for it when the error has a place in the statement.
    let is_input = matches!(error, Error::SqlInputError { .. });
    is_input || (error.sqlite_error_code() == Some(ErrorCode::Unknown) && !is_damage(error))
}

/// SQLite's own words, without the statement.
pub(super) fn said(error: &Error) -> String {
    match error {
        Error::SqlInputError { msg, .. } | Error::SqliteFailure(_, Some(msg)) => msg.clone(),
        other => other.to_string(),
    }
}
