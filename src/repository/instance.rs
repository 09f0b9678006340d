//! Which database made a snapshot: its *instance*.
//!
//! An instance is a configured name, or else the repository's id and the path of the database: relative
//! where it lies beside the repository, so that a folder that is moved or mounted elsewhere stays itself,
//! and as it was configured, so that a link which is changed to a new file does too.
//! `local/instances.json` remembers the databases of this host.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::folder::Repository;
use super::lineage::{Lineages, file_name};
use super::manifest::Head;
use crate::error::Result;

const FILE: &str = "local/instances.json";

/// Where a database is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Without links.
    pub(crate) path: PathBuf,
    /// As it was configured, links included.
    pub(crate) configured: PathBuf,
    /// `SNAPSHOT_DATABASE_ID`.
    pub(crate) id: Option<String>,
}

impl Place {
    /// The name that new snapshots tell.
    pub(crate) fn file_name(&self) -> String {
        file_name(&self.configured)
    }

    /// Whether a database of that file name may have been here.
    pub(super) fn is_called(&self, name: &str) -> bool {
        name == self.file_name() || name == file_name(&self.path)
    }
}

/// A file. The inode alone is no evidence: file systems give that of a deleted file to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileId {
    device: u64,
    inode: u64,
    /// Nanoseconds since 1970.
    born: u64,
}

impl FileId {
    /// `None` as well where the file system does not tell when a file was made.
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let born = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: u64::try_from(born.as_nanos()).ok()?,
        })
    }
}

/// A database of this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    /// Made of its path when it was first seen.
    instance: String,
    /// What its newest snapshot says: that, or the configured name.
    current: String,
    path: PathBuf,
    configured: PathBuf,
    file: Option<FileId>,
}

impl Known {
    fn exists(&self) -> bool {
        self.path.exists() || self.configured.exists()
    }

    /// Whether it is the file at that place under another name.
    fn is_at(&self, place: &Place) -> bool {
        let leads_elsewhere = || self.configured.canonicalize().is_ok_and(|path| path != place.path);
        self.path == place.path && !leads_elsewhere()
    }

    /// Whether its file was moved to that place.
    fn was_moved_to(&self, place: &Place) -> bool {
        !self.exists() && self.file.is_some() && self.file == FileId::of(&place.path)
    }
}

/// Whose the snapshots of a lineage are that do not tell it themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Adopted {
    lineage: Uuid,
    instance: String,
    database_name: String,
}

/// What this host knows of its databases.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Instances {
    /// By the name of their place.
    places: BTreeMap<String, Known>,
    /// `None` until something is written by a version that knows instances.
    adopted: Option<Vec<Adopted>>,
    /// Whose the old plain snapshots without a row are.
    pub(super) plain: Option<String>,
}

impl Instances {
    /// What is written down, and what follows from an older version's notes. `heads`: all in reach.
    pub(super) fn read(repository: &Repository, place: Option<&Place>, heads: &[Head]) -> Result<Self> {
        // Without it, which databases have snapshots here is worked out anew.
        let mut known: Self = repository.read_note(FILE)?.unwrap_or_default();
        if known.adopted.is_none() {
            known.adopt(repository, place, heads)?;
        }
        Ok(known)
    }

    /// Gives what older versions stored to the databases that they knew.
    fn adopt(&mut self, repository: &Repository, place: Option<&Place>, heads: &[Head]) -> Result<()> {
        let lineages = Lineages::read(repository)?.0;
        let mut adopted = Vec::new();
        for lineage in lineages.values().collect::<BTreeSet<_>>() {
            let paths: Vec<&PathBuf> = lineages
                .iter()
                .filter(|(_, of)| *of == lineage)
                .map(|(path, _)| path)
                .collect();
            // One that is missing just now gives way to one that exists only where that bears its name.
            let has_namesake = |path: &PathBuf| {
                paths
                    .iter()
                    .any(|other| other.exists() && file_name(other) == file_name(path))
            };
            for path in paths
                .iter()
                .copied()
                .filter(|path| path.exists() || !has_namesake(path))
            {
                let Some(instance) = name_of(repository, path)? else {
                    continue;
                };
                adopted.push(Adopted {
                    lineage: *lineage,
                    instance: instance.clone(),
                    database_name: file_name(path),
                });
                self.places.entry(instance.clone()).or_insert(Known {
                    current: instance.clone(),
                    instance,
                    path: path.clone(),
                    configured: path.clone(),
                    file: None,
                });
            }
        }
        if let Some(place) = place
            && let Some(lineage) = moved_lineage(repository, place, &lineages, heads)
            && let Some(instance) = name_of(repository, &place.configured)?
        {
            adopted.retain(|known| known.lineage != lineage);
            adopted.push(Adopted {
                lineage,
                instance,
                database_name: place.file_name(),
            });
        }
        self.adopted = Some(adopted);
        Ok(())
    }

    /// The instance of a place, without the configured name; `None`: there is no repository yet.
    pub(super) fn of(&self, repository: &Repository, place: &Place) -> Result<Option<String>> {
        let name = name_of(repository, &place.configured)?;
        let known = self.find(repository, name.as_deref(), place)?;
        Ok(known
            .map(|known| known.instance.clone())
            .or_else(|| name.map(|name| self.unused(name))))
    }

    /// The name itself, unless a database that was moved away from that place has it.
    fn unused(&self, name: String) -> String {
        let is_used = |name: &String| self.places.values().any(|known| known.instance == *name);
        let numbered = (2..).map(|number| format!("{name}#{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names.find(|name| !is_used(name)).unwrap_or(name)
    }

    /// What the newest snapshot of a place says, whatever is configured now.
    pub(super) fn current(&self, repository: &Repository, place: &Place) -> Result<Option<String>> {
        let name = name_of(repository, &place.configured)?;
        let known = self.find(repository, name.as_deref(), place)?;
        Ok(known.map(|known| known.current.clone()).or(name))
    }

    /// Where a link leads to comes first: a database that is known by its own name stays itself by every other one.
    fn find(&self, repository: &Repository, name: Option<&str>, place: &Place) -> Result<Option<&Known>> {
        let own_name = name_of(repository, &place.path)?;
        let named = |name: Option<&str>| name.and_then(|name| self.places.get(name));
        let all = || self.places.values();
        Ok(named(own_name.as_deref())
            .or_else(|| named(name))
            .or_else(|| all().find(|known| known.is_at(place)))
            .or_else(|| all().find(|known| known.was_moved_to(place))))
    }

    /// Where the file of a place was before it was moved there.
    pub(super) fn path_before(&self, place: &Place) -> Option<&Path> {
        let moved = self.places.values().find(|known| known.was_moved_to(place));
        moved.map(|known| known.path.as_path())
    }

    /// Whether a database other than these still exists here under that name.
    pub(super) fn is_taken(&self, instance: &str, mine: &BTreeSet<String>) -> bool {
        let is_other = |known: &&Known| !mine.contains(&known.instance) && !mine.contains(&known.current);
        let mut others = self.places.values().filter(is_other);
        others.any(|known| (known.instance == instance || known.current == instance) && known.exists())
    }

    /// Whether another database than these has ever had snapshots here.
    pub(super) fn has_others(&self, mine: &BTreeSet<String>) -> bool {
        let is_mine = |known: &Known| mine.contains(&known.instance) || mine.contains(&known.current);
        !self.places.values().all(is_mine)
    }

    /// Whose a snapshot is that does not tell it itself.
    pub(super) fn adopter(&self, head: &Head) -> Option<&str> {
        let of_lineage: Vec<&Adopted> = self
            .adopted
            .iter()
            .flatten()
            .filter(|known| known.lineage == head.lineage)
            .collect();
        let named = of_lineage
            .iter()
            .copied()
            .filter(|known| known.database_name == head.database_name)
            .collect::<Vec<_>>();
        match (&of_lineage[..], &named[..]) {
            ([only], _) | (_, [only]) => Some(&only.instance),
            _ => None,
        }
    }

    /// Writes down that this database is at that place.
    pub(super) fn remember(
        mut self,
        repository: &Repository,
        place: &Place,
        instance: &str,
        current: &str,
    ) -> Result<()> {
        let Some(name) = name_of(repository, &place.configured)? else {
            return Ok(());
        };
        let is_same = |known: &&Known| known.current == current && known.instance != instance && known.exists();
        if let Some(other) = self.places.values().find(is_same) {
            tracing::warn!(
                "{} has the name {current} (SNAPSHOT_DATABASE_ID) as well: {} now prunes its snapshots and vouches for it",
                other.path.display(),
                place.path.display()
            );
        }
        let before = serde_json::to_value(&self).ok();
        // It is at one place only: the one that it was moved away from may be another database's by tomorrow.
        self.places
            .retain(|other, known| *other == name || !known.was_moved_to(place));
        self.places.insert(
            name,
            Known {
                instance: instance.to_owned(),
                current: current.to_owned(),
                path: place.path.clone(),
                configured: place.configured.clone(),
                file: FileId::of(&place.path),
            },
        );
        let alone = self.places.values().all(|known| known.instance == instance);
        if alone && self.plain.is_none() {
            self.plain = Some(instance.to_owned());
        }
        if before != serde_json::to_value(&self).ok() || !Self::are_noted(repository) {
            self.save(repository)?;
        }
        Ok(())
    }

    pub(super) fn are_noted(repository: &Repository) -> bool {
        repository.path(FILE).exists()
    }

    pub(super) fn save(&self, repository: &Repository) -> Result<()> {
        repository.replace_json(FILE, self)
    }
}

/// The lineage of a database that an older version knew at another path, which is gone: it would have gone on
/// with the only lineage of that file name.
fn moved_lineage(
    repository: &Repository,
    place: &Place,
    lineages: &BTreeMap<PathBuf, Uuid>,
    heads: &[Head],
) -> Option<Uuid> {
    if lineages.contains_key(&place.path) || lineages.contains_key(&place.configured) {
        return None;
    }
    let of_name = || {
        heads
            .iter()
            .filter(|head| head.instance.is_none() && place.is_called(&head.database_name))
    };
    let found: BTreeSet<Uuid> = of_name().map(|head| head.lineage).collect();
    let only = found.first().copied().filter(|_| found.len() == 1)?;
    let paths: Vec<&PathBuf> = lineages
        .iter()
        .filter(|(_, of)| **of == only)
        .map(|(path, _)| path)
        .collect();
    let is_here = |head: &Head| repository.path(&head.key()).exists();
    let was_here = !paths.is_empty() || of_name().any(is_here);
    (was_here && !paths.iter().any(|path| path.exists())).then_some(only)
}

/// The instance that follows from a path; `None`: the repository has no id yet.
fn name_of(repository: &Repository, configured: &Path) -> Result<Option<String>> {
    let Some(id) = repository.id()? else {
        return Ok(None);
    };
    let root = repository.root();
    let folders: Vec<PathBuf> = [root.canonicalize().ok(), Some(root.to_path_buf())]
        .into_iter()
        .flatten()
        .filter_map(|root| root.parent().map(Path::to_path_buf))
        .collect();
    let without_links = configured
        .parent()
        .and_then(|folder| Some(folder.canonicalize().ok()?.join(configured.file_name()?)));
    let paths = [Some(configured.to_path_buf()), without_links];
    let below = paths.iter().flatten().find_map(|path| {
        let mut below = folders.iter().filter_map(|folder| path.strip_prefix(folder).ok());
        below.next().map(Path::to_path_buf)
    });
    let path = below.as_deref().unwrap_or(configured);
    Ok(Some(format!("{id}/{}", path.to_string_lossy())))
}

/// A short form of an instance, for notes that are kept by it.
pub(crate) fn key_of(instance: &str) -> Uuid {
    let hash = Sha256::digest(instance.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Builder::from_random_bytes(bytes).into_uuid()
}
