//! One job as the façade hands it to the worker: validated, absolute, without secrets.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a new snapshot is checked by SQLite before it is called complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Check {
    None,
    Quick,
    Full,
}

/// How `size` is written into the application's `Snapshot` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CatalogSize {
    /// At most 2,147,483,647: a Rust-engine Prisma client fails on every larger value.
    Clamped,
    Exact,
}

/// What to run after a restore; the restore is undone when it fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PostRestoreCommand {
    /// Program and arguments, or one string for the shell.
    pub(crate) command: CommandLine,
    pub(crate) timeout_ms: u64,
    /// Working directory: the application's.
    pub(crate) cwd: PathBuf,
}

/// A program with arguments, or a line for the platform's shell.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum CommandLine {
    Shell(String),
    Program(Vec<String>),
}

/// Where the bucket is. Credentials are the SDK's business: they come from its own chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct S3Config {
    pub(crate) bucket: String,
    /// What every key begins with: empty, or with a `/` at its end.
    pub(crate) prefix: String,
    /// `None`: what the SDK finds.
    pub(crate) region: Option<String>,
    /// `None`: the SDK's variables, else AWS.
    pub(crate) endpoint: Option<String>,
    /// `None`: for endpoints that are IP addresses or localhost.
    pub(crate) force_path_style: Option<bool>,
}

/// Configuration of one job. The façade has applied every default.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// Absolute path of the database; the file may be missing. `None`: no `DATABASE_URL`
    /// (only operations on the repository alone get that far).
    pub(crate) database_path: Option<PathBuf>,
    /// The same as it was configured, links included: where it leads elsewhere by the time that something is
    /// overwritten, nothing is.
    #[serde(default)]
    pub(crate) database_place: Option<PathBuf>,
    /// The name that identifies the database on every host.
    #[serde(default)]
    pub(crate) database_id: Option<String>,
    /// Absolute path of the local repository; made when something is first stored.
    pub(crate) snapshot_dir: PathBuf,
    pub(crate) lock_timeout_ms: u64,
    pub(crate) commit_timeout_ms: u64,
    pub(crate) max_writer_stall_ms: u64,
    pub(crate) check: Check,
    pub(crate) catalog_size: CatalogSize,
    /// Tables whose rows decide whether a database is empty.
    pub(crate) core_tables: Vec<String>,
    pub(crate) post_restore: Option<PostRestoreCommand>,
    /// `None`: stored locally only.
    #[serde(default)]
    pub(crate) s3: Option<S3Config>,
    /// How long a deleted snapshot's packs stay in the bucket, from the moment they were marked.
    #[serde(default)]
    pub(crate) delete_grace_ms: u64,
    /// How long a snapshot that `prune` removed can be brought back.
    #[serde(default)]
    pub(crate) trash_grace_ms: u64,
}

impl Config {
    pub(crate) fn lock_timeout(&self) -> Duration {
        Duration::from_millis(self.lock_timeout_ms)
    }
    pub(crate) fn commit_timeout(&self) -> Duration {
        Duration::from_millis(self.commit_timeout_ms)
    }
    pub(crate) fn delete_grace(&self) -> Duration {
        Duration::from_millis(self.delete_grace_ms)
    }
    pub(crate) fn trash_grace(&self) -> Duration {
        Duration::from_millis(self.trash_grace_ms)
    }
    pub(crate) fn max_writer_stall(&self) -> Duration {
        Duration::from_millis(self.max_writer_stall_ms)
    }
}
