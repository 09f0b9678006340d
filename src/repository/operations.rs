//! What the backups before operations are for: one note beside each, in its own words.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::folder::Repository;
use crate::error::Result;

const FOLDER: &str = "local/operations/";

/// The operation that a backup was made for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Operation {
    /// Of the backup.
    pub(crate) id: Uuid,
    /// Of the backup: a damaged manifest no longer tells.
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) operation: String,
    pub(crate) metadata: Option<Value>,
}

impl Operation {
    pub(crate) fn save(&self, repository: &Repository) -> Result<()> {
        repository.replace_json(&key(self.id), self)
    }
}

fn key(id: Uuid) -> String {
    format!("{FOLDER}{id}")
}

/// Every note, in no particular order.
pub(crate) fn all(repository: &Repository) -> Result<Vec<Operation>> {
    let notes = repository.notes(FOLDER)?;
    Ok(notes.into_iter().map(|(_, note)| note).collect())
}
