//! The one public error of the crate.
//!
//! Rules:
//! 1. `code` and the façade's prefix are API; the rest of the message is prose and may change.
//! 2. A message says what was wrong, what was left untouched when that is not obvious, and what to do.
//! 3. Steps are wrapped as "verb object", the cause goes into `source` and is not repeated in the message.
//! 4. A code tells the caller what to *do*. Two failures with the same remedy share a code;
//!    every code has a row in `docs/errors.md` (a test compares the two lists).
//! 5. No secret and no content of the database appears in a message.

use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Result with the crate's error.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// Stable, upper-case names of everything that can go wrong (`err.code` in JavaScript).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$doc])* $variant,)* }
        impl Code {
            /// Every code, for the test that compares them with `docs/errors.md`.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Code] = &[$(Code::$variant,)*];
            /// The text that JavaScript sees.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
            /// Whether the file of a database is what is wrong: the structure that SQLite reads, nothing around it. Lack of
            /// memory, input/output errors, locks and what only the application has are no damage.
            pub(crate) fn is_damage(self) -> bool {
                matches!(self, Code::DatabaseCorrupt | Code::DatabaseInvalid)
            }
            /// Whether the bucket, or the way to it, is what failed.
            pub(crate) fn is_of_s3(self) -> bool {
                self.as_str().starts_with("S3_")
            }
        }
    };
}

codes! {
    /// An argument or option that the façade let through but the engine cannot use.
    InvalidArgument => "INVALID_ARGUMENT",
    /// The database file does not exist.
    DatabaseNotFound => "DATABASE_NOT_FOUND",
    /// The database path is a directory or another thing that is not a regular file.
    DatabaseNotAFile => "DATABASE_NOT_A_FILE",
    /// The file is not an SQLite database.
    DatabaseInvalid => "DATABASE_INVALID",
    /// The file looks encrypted.
    DatabaseEncrypted => "DATABASE_ENCRYPTED",
    /// SQLite found the database damaged.
    DatabaseCorrupt => "DATABASE_CORRUPT",
    /// SQLite's locks could not be had in time.
    DatabaseBusy => "DATABASE_BUSY",
    /// A connection in `locking_mode=EXCLUSIVE` keeps everybody out.
    DatabaseExclusive => "DATABASE_EXCLUSIVE",
    /// The database is open in WAL mode by another name, so its companions are not beside this one.
    DatabaseAliased => "DATABASE_ALIASED",
    /// The database file has zero bytes, and its companions hold content.
    DatabaseTruncated => "DATABASE_TRUNCATED",
    /// The database file was deleted, and a process still writes into it.
    DatabaseDeleted => "DATABASE_DELETED",
    /// The database file was replaced while we worked on it.
    DatabaseMoved => "DATABASE_MOVED",
    /// The database cannot be read without writing beside it, and that is not permitted.
    DatabaseReadonly => "DATABASE_READONLY",
    /// The operating system could not read or write the database.
    DatabaseIo => "DATABASE_IO",
    /// Writers are too busy for a consistent read within `maxWriterStallMs`.
    WritersTooBusy => "WRITERS_TOO_BUSY",
    /// The captured database failed SQLite's own check.
    CheckFailed => "CHECK_FAILED",
    /// A snapshot of that name exists.
    SnapshotExists => "SNAPSHOT_EXISTS",
    /// No snapshot of that name.
    SnapshotNotFound => "SNAPSHOT_NOT_FOUND",
    /// The name is empty, too long or holds a NUL.
    SnapshotNameInvalid => "SNAPSHOT_NAME_INVALID",
    /// A manifest or pack is missing, truncated or altered.
    SnapshotDamaged => "SNAPSHOT_DAMAGED",
    /// The snapshot was made by another database.
    SnapshotForeign => "SNAPSHOT_FOREIGN",
    /// The snapshot is pinned.
    SnapshotPinned => "SNAPSHOT_PINNED",
    /// The snapshot is the last good one before a loss of content that nobody has acknowledged.
    SnapshotLastGood => "SNAPSHOT_LAST_GOOD",
    /// A retention policy that keeps nothing, or that cannot be understood.
    RetentionPolicyInvalid => "RETENTION_POLICY_INVALID",
    /// Another operation holds the repository.
    RepositoryBusy => "REPOSITORY_BUSY",
    /// The repository cannot be written (permissions, read-only file system).
    RepositoryUnwritable => "REPOSITORY_UNWRITABLE",
    /// No space left for the repository or the scratch files.
    RepositoryFull => "REPOSITORY_FULL",
    /// Written by a newer version of this package.
    RepositoryNewer => "REPOSITORY_NEWER",
    /// The repository's folder is no longer the one that the operation began with.
    RepositoryMoved => "REPOSITORY_MOVED",
    /// Reading or writing the repository failed in another way.
    RepositoryIo => "REPOSITORY_IO",
    /// The snapshot is stored locally but not in the bucket; it stays `PENDING` until an upload succeeds.
    UploadFailed => "UPLOAD_FAILED",
    /// No credentials, or the server does not accept them.
    S3Credentials => "S3_CREDENTIALS",
    /// The credentials are good but may not do this.
    S3AccessDenied => "S3_ACCESS_DENIED",
    /// The bucket does not exist.
    S3BucketNotFound => "S3_BUCKET_NOT_FOUND",
    /// The bucket is in another region.
    S3RegionWrong => "S3_REGION_WRONG",
    /// Nobody answers at the endpoint, or not in time, or not in HTTP or TLS.
    S3Unreachable => "S3_UNREACHABLE",
    /// This machine's clock differs too much from the server's.
    S3ClockSkew => "S3_CLOCK_SKEW",
    /// The provider lacks conditional writes, without which hosts cannot delete safely.
    S3Unsupported => "S3_UNSUPPORTED",
    /// S3 is needed and not configured.
    S3Disabled => "S3_DISABLED",
    /// The server answered with another error.
    S3Failed => "S3_FAILED",
    /// A restore was cut off or could not be looked up; the next writing call settles it.
    Unsettled => "UNSETTLED",
    /// There is no restore to undo.
    UndoUnavailable => "UNDO_UNAVAILABLE",
    /// Somebody committed after the restore, so undoing it would lose their writes.
    UndoConflict => "UNDO_CONFLICT",
    /// `postRestoreCommand` failed; the restore was undone.
    PostRestoreFailed => "POST_RESTORE_FAILED",
    /// The file to export to exists.
    ExportTargetExists => "EXPORT_TARGET_EXISTS",
    /// The file to export to cannot be written.
    ExportTargetUnwritable => "EXPORT_TARGET_UNWRITABLE",
    /// The application is gone; the operation was given up before its point of no return.
    Aborted => "ABORTED",
    /// A bug in this package.
    Internal => "INTERNAL",
}

/// What went wrong, for the caller (`code`), for the reader (`message`) and for the curious (`source`).
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) code: Code,
    message: String,
    source: Option<Source>,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the inner error.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The message and those of the inner errors, in one line.
    pub(crate) fn story(&self) -> String {
        std::iter::once(self.to_string())
            .chain(self.causes())
            .collect::<Vec<_>>()
            .join(": ")
    }

    /// The messages of the inner errors, outermost first.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Shorthand for `return Err(Error::new(...))` with a formatted message.
macro_rules! fail {
    ($code:ident, $($message:tt)*) => {
        return Err($crate::error::Error::new($crate::error::Code::$code, format!($($message)*)))
    };
}
pub(crate) use fail;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    /// The codes that have a row in the table below `## Engine`.
    fn documented() -> BTreeSet<&'static str> {
        let page = include_str!("../docs/errors.md");
        let section = page
            .split("\n## ")
            .find_map(|section| section.strip_prefix("Engine\n"))
            .expect("the page has a section named Engine");
        let rows: Vec<_> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(code, _)| code)
            .collect();
        let codes: BTreeSet<_> = rows.iter().copied().collect();
        assert_eq!(codes.len(), rows.len(), "a code has two rows");
        codes
    }

    #[test]
    fn the_codes_are_those_of_errors_md() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len(), "two variants have one text");
        assert_eq!(documented(), codes);
    }
}
