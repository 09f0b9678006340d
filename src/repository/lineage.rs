//! Which snapshots belong to which database.
//!
//! A database gets a lineage id with its first snapshot; `local/lineages.json` remembers it by
//! the database's canonical path. A new host knows no path yet: it adopts the one lineage of
//! that file name, unless another database that still exists has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folder::Repository;
use super::manifest::Head;
use crate::error::Result;

const FILE: &str = "local/lineages.json";

#[derive(Default, Serialize, Deserialize)]
struct Lineages(BTreeMap<PathBuf, Uuid>);

/// What is known about a database in this repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lineage {
    Known(Uuid),
    /// No snapshot here is certain to be of this database; these file names were found.
    Unknown {
        found: Vec<String>,
    },
}

/// The lineage that this host remembers for a path.
pub(crate) fn known(repository: &Repository, database: &Path) -> Result<Option<Uuid>> {
    Ok(Lineages::read(repository)?.0.get(database).copied())
}

/// Whether a database that still exists here has that lineage.
pub(crate) fn is_taken(repository: &Repository, id: Uuid) -> bool {
    // What cannot be read may hold it.
    Lineages::read(repository).map_or(true, |known| known.is_taken(&id))
}

impl Lineages {
    fn read(repository: &Repository) -> Result<Self> {
        // Without it a database is looked for among the heads, as on a new host.
        Ok(repository.read_note(FILE)?.unwrap_or_default())
    }

    fn is_taken(&self, id: &Uuid) -> bool {
        self.0.iter().any(|(path, taken)| taken == id && path.exists())
    }
}

/// Finds the lineage of a database among `heads`.
pub(crate) fn find(repository: &Repository, database: &Path, heads: &[Head]) -> Result<Lineage> {
    let known = Lineages::read(repository)?;
    if let Some(id) = known.0.get(database) {
        return Ok(Lineage::Known(*id));
    }
    let name = file_name(database);
    let mut candidates: Vec<Uuid> = heads
        .iter()
        .filter(|head| head.database_name == name)
        .map(|head| head.lineage)
        .collect();
    candidates.sort();
    candidates.dedup();
    match candidates.as_slice() {
        [id] if !known.is_taken(id) => Ok(Lineage::Known(*id)),
        _ => {
            let mut found: Vec<String> = heads.iter().map(|head| head.database_name.clone()).collect();
            found.sort();
            found.dedup();
            Ok(Lineage::Unknown { found })
        }
    }
}

/// The lineage of a database, a new one when it has none, remembered from now on.
pub(crate) fn claim(repository: &Repository, database: &Path, heads: &[Head]) -> Result<Uuid> {
    let id = match find(repository, database, heads)? {
        Lineage::Known(id) => id,
        Lineage::Unknown { .. } => Uuid::new_v4(),
    };
    set(repository, database, id)?;
    Ok(id)
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

#[cfg(test)]
#[path = "lineage_tests.rs"]
mod tests;
