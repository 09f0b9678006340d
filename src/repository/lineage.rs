//! Where the content of a database comes from.
//!
//! A database gets a lineage id with its first snapshot: a new one, or that of the snapshot that it was
//! restored or copied from. `local/lineages.json` remembers it by the database's canonical path. Which
//! snapshots a database may remove or vouch for follows from its instance (`instance.rs`), never from this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folder::Repository;
use crate::error::Result;

const FILE: &str = "local/lineages.json";

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Lineages(pub(super) BTreeMap<PathBuf, Uuid>);

impl Lineages {
    pub(super) fn read(repository: &Repository) -> Result<Self> {
        // Without it a database is looked for among the heads, as on a new host.
        Ok(repository.read_note(FILE)?.unwrap_or_default())
    }
}

/// The lineage that this host remembers for a path.
pub(crate) fn known(repository: &Repository, database: &Path) -> Result<Option<Uuid>> {
    Ok(Lineages::read(repository)?.0.get(database).copied())
}

/// Remembers to which lineage a database belongs from now on.
pub(crate) fn set(repository: &Repository, database: &Path, id: Uuid) -> Result<()> {
    let mut known = Lineages::read(repository)?;
    if known.0.insert(database.to_path_buf(), id) != Some(id) {
        repository.replace_json(FILE, &known)?;
    }
    Ok(())
}

/// The database's file name, the part of its path that means something on another host.
pub(crate) fn file_name(database: &Path) -> String {
    database.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
