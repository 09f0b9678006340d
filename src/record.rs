//! The `Snapshot` record: what a result, a listing and a row of the application's table share.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// State of a snapshot, as the application's table spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Pending,
    Completed,
    Failed,
}

/// State of the last restore from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RestoreStatus {
    InProgress,
    Success,
    Failed,
}

/// One row of the catalog (contract: section "The `Snapshot` record and table").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Lower-case UUID v4.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Absolute path of the manifest (of the `.db` for old plain snapshots); empty when `FAILED`.
    pub(crate) s3_key: String,
    /// SHA-256 of the whole image, lower-case hex; empty when `FAILED`.
    pub(crate) checksum: String,
    /// Bytes of the image.
    pub(crate) size: u64,
    pub(crate) status: Status,
    pub(crate) restore_status: Option<RestoreStatus>,
    pub(crate) restore_message: Option<String>,
    /// Serialised as ISO 8601 in UTC with milliseconds.
    pub(crate) last_restored_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) schema_version: i64,
}

impl Status {
    /// As stored in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

impl RestoreStatus {
    /// As stored in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
        }
    }
}
