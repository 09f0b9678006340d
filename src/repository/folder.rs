//! The repository as a whole: where it is, its version, its snapshots.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempPath};
use uuid::Uuid;

use super::lock::Lock;
use super::manifest::{self, Head, Manifest};
use super::pack::{self, PackEntry, VERSION};
use super::survey::{self, Survey, Without};
use super::tiers::{LocalFirst, Tier};
use crate::config::S3Config;
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::storage::{LocalStore, S3Store, Store, adopt, io_error, make_folder, replace};

const DESCRIPTION: &str = "repository.json";
const ANY_MODE: u32 = 0o7777;

/// What `repository.json` says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    format: u16,
    id: Uuid,
    created_at: Timestamp,
    /// Reserved: wrapped data key and its parameters.
    encryption: Option<serde_json::Value>,
}

/// A repository: a local folder, and a bucket where S3 is on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Repository {
    folder: LocalStore,
    local: Arc<dyn Store>,
    bucket: Option<S3Store>,
    /// Whether this process holds the exclusive lock.
    pub(super) exclusive: Arc<AtomicBool>,
    /// Damaged notes that were named in a warning.
    pub(super) named: Arc<Mutex<HashSet<String>>>,
}

impl Repository {
    /// Touches nothing but `repository.json`, which is refused when it is of a newer format.
    pub(crate) fn open(root: &Path, s3: Option<&S3Config>) -> Result<Self> {
        let folder = LocalStore::new(root);
        let bucket = s3.map(|s3| S3Store::new(s3, &folder.path(crate::storage::SCRATCH)));
        let repository = Self {
            local: Arc::new(folder.clone()),
            bucket: bucket.transpose()?,
            folder,
            exclusive: Arc::default(),
            named: Arc::default(),
        };
        if let Some(value) = repository.read_json::<serde_json::Value>(DESCRIPTION)? {
            let format = value.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
            let encrypted = value.get("encryption").is_some_and(|encryption| !encryption.is_null());
            pack::refuse_newer(
                u16::try_from(format).unwrap_or(u16::MAX),
                encrypted.into(),
                &format!("the repository {}", root.display()),
            )?;
        }
        Ok(repository)
    }

    /// Whether something was stored here before.
    pub(crate) fn is_made(&self) -> bool {
        self.path(DESCRIPTION).exists()
    }

    /// Makes the folder and `repository.json` when they are missing.
    pub(crate) fn init(&self) -> Result<()> {
        if self.is_made() {
            return Ok(());
        }
        make_folder(self.root(), self.root())?;
        let description = Description {
            format: VERSION,
            id: Uuid::new_v4(),
            created_at: Timestamp::now(),
            encryption: None,
        };
        self.replace_json(DESCRIPTION, &description)
    }

    /// While `lock` is held, nothing is written or removed where the folder's path no longer leads to it.
    pub(crate) fn hold(&self, lock: &Lock) -> Result<()> {
        lock.anchor(self.folder.anchor())
    }

    /// The lock is given back.
    pub(crate) fn let_go(&self) {
        self.folder.anchor().weigh();
    }

    /// Fails when the lock that is held is no longer the one at the folder's path.
    pub(crate) fn check_held(&self) -> Result<()> {
        self.folder.anchor().check()
    }

    /// Looks at what was stored through the folder's path as it is now. Before that, nobody is told
    /// that it is there.
    pub(crate) fn check_stored(&self, head: &Head, packs: &[PackEntry]) -> Result<()> {
        let manifest = Some((head.key(), None));
        let packs = packs.iter().map(|pack| (pack.key(), Some(pack.size)));
        for (key, size) in manifest.into_iter().chain(packs) {
            let path = self.path(&key);
            let found = path.metadata().map(|found| found.len());
            if !found.as_ref().is_ok_and(|found| size.is_none_or(|size| size == *found)) {
                self.check_held()?;
                fail!(
                    RepositoryMoved,
                    "{} was stored and is no longer there; look what has become of SNAPSHOT_DIR, and call again",
                    path.display()
                );
            }
        }
        self.check_held()
    }

    /// Its id; `None` where nothing was stored yet.
    pub(crate) fn id(&self) -> Result<Option<Uuid>> {
        let description: Option<Description> = self.read_json(DESCRIPTION)?;
        Ok(description.map(|description| description.id))
    }

    /// Since when it has been there.
    pub(crate) fn made_at(&self) -> Result<Option<Timestamp>> {
        let description: Option<Description> = self.read_json(DESCRIPTION)?;
        Ok(description.map(|description| description.created_at))
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.folder.path(key)
    }

    /// The local tier: what is new is stored here first, and notes live here.
    pub(crate) fn local(&self) -> &Arc<dyn Store> {
        &self.local
    }

    /// The tier in the bucket; `None` when S3 is off.
    pub(crate) fn bucket(&self) -> Option<&S3Store> {
        self.bucket.as_ref()
    }

    /// As [`Repository::bucket`], for what cannot be done without.
    pub(crate) fn require_bucket(&self) -> Result<&S3Store> {
        match &self.bucket {
            Some(bucket) => Ok(bucket),
            None => fail!(
                S3Disabled,
                "S3 is off: set S3_BUCKET (and neither S3_DISABLE nor SNAPSHOT_S3_DISABLE)"
            ),
        }
    }

    /// What to read from: one tier when it is named, else each object from wherever it is, local first.
    pub(crate) fn reading(&self, tier: Option<Tier>) -> Result<Arc<dyn Store>> {
        Ok(match (tier, &self.bucket) {
            (Some(Tier::S3), _) => Arc::new(self.require_bucket()?.clone()),
            (Some(Tier::Local), _) | (None, None) => Arc::clone(&self.local),
            (None, Some(bucket)) => Arc::new(LocalFirst {
                local: Arc::clone(&self.local),
                bucket: Arc::new(bucket.clone()),
            }),
        })
    }

    /// Where scratch files go. A repository that may only be read has none; reading it uses the
    /// system's folder (whoever wants to store fails later, with the right error).
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        match self.folder.scratch() {
            Err(error) if error.code == Code::RepositoryUnwritable => Ok(std::env::temp_dir()),
            other => other,
        }
    }

    /// Leaves a mark in the scratch folder for as long as an operation works: whoever finds it
    /// there under the lock knows that the operation was cut off.
    pub(crate) fn mark_as_busy(&self) -> Result<TempPath> {
        let scratch = self.scratch()?;
        let marker = NamedTempFile::new_in(&scratch).map_err(|error| io_error("create a file in", &scratch, error))?;
        Ok(marker.into_temp_path())
    }

    /// Cleans up after a killed process: scratch files, and packs that no manifest names.
    /// Call it under the exclusive lock.
    pub(crate) fn sweep_after_crash(&self) -> Result<()> {
        let scratch = self.path(crate::storage::SCRATCH);
        let left_over = std::fs::read_dir(&scratch).is_ok_and(|mut entries| entries.next().is_some());
        if left_over {
            tracing::info!("cleaning up after an operation that was cut off");
            self.folder.sweep_scratch()?;
            self.remove_superseded_manifests()?;
            self.remove_unneeded_packs()?;
        }
        self.forget_notes_of_nothing()
    }

    /// Heads of the snapshots in the local tier, oldest first. Damaged manifests are left out and
    /// named in the log.
    pub(crate) fn local_heads(&self) -> Result<Vec<Head>> {
        survey::local(self).map(Survey::into_heads)
    }

    /// As [`Repository::local_heads`], without those that cannot be read for any other reason: for what
    /// only needs some of them.
    pub(crate) fn readable_heads(&self) -> Result<Vec<Head>> {
        survey::local_without(self, Without::Unreadable).map(Survey::into_heads)
    }

    /// Heads of the snapshots in reach, oldest first: a bucket that cannot be asked is left out
    /// with a warning.
    pub(crate) fn heads(&self) -> Result<Vec<Head>> {
        self.survey().map(Survey::into_heads)
    }

    /// As [`Repository::heads`], with the tiers, and with what could not be read.
    pub(crate) fn survey(&self) -> Result<Survey> {
        self.survey_without(Without::Damaged)
    }

    /// As [`Repository::survey`], with a say in what is left out.
    pub(crate) fn survey_without(&self, without: Without) -> Result<Survey> {
        let survey = survey::both(self, without)?;
        if let Some(error) = &survey.bucket_failure {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the bucket cannot be asked; only local snapshots are seen");
        }
        Ok(survey)
    }

    /// Newest generation of every manifest, damaged ones included.
    fn manifest_keys(&self) -> Result<BTreeMap<Uuid, u32>> {
        let mut newest = BTreeMap::new();
        for object in self.local.list("snapshots/")? {
            if let Some((id, generation)) = manifest::parse_key(&object.key) {
                let known = newest.entry(id).or_insert(generation);
                *known = generation.max(*known);
            }
        }
        Ok(newest)
    }

    /// Removes every generation of a manifest.
    pub(crate) fn remove_manifest(&self, id: Uuid) -> Result<()> {
        for object in self.local.list(&format!("snapshots/{id}."))? {
            self.local.remove(&object.key)?;
        }
        Ok(())
    }

    /// Removes the generations that a newer one of the same snapshot replaces.
    pub(crate) fn remove_superseded_manifests(&self) -> Result<()> {
        let newest = self.manifest_keys()?;
        for object in self.local.list("snapshots/")? {
            let Some((id, generation)) = manifest::parse_key(&object.key) else {
                continue;
            };
            let newest = newest.get(&id).copied().unwrap_or_default();
            // Read first: the older one would be the last that is whole.
            if generation < newest && Manifest::open(&*self.local, &manifest::key(id, newest)).is_ok() {
                self.local.remove(&object.key)?;
            }
        }
        Ok(())
    }

    /// Removes the packs that no manifest names; returns how many bytes that freed. When a
    /// manifest cannot be read, its packs are unknown and nothing is removed.
    pub(crate) fn remove_unneeded_packs(&self) -> Result<u64> {
        let mut needed = HashSet::new();
        for (id, generation) in self.manifest_keys()? {
            match Manifest::open(&*self.local, &manifest::key(id, generation)) {
                Ok(manifest) => needed.extend(manifest.packs.iter().map(PackEntry::key)),
                Err(error) => {
                    tracing::warn!(snapshot = %id, reason = %error, "a manifest cannot be read: no pack is removed, because it may need any of them");
                    return Ok(0);
                }
            }
        }
        let mut freed = 0;
        for object in self.local.list("packs/")? {
            if !needed.contains(&object.key) {
                failpoint::reached("delete.before-packs")?;
                self.local.remove(&object.key)?;
                freed += object.size;
            }
        }
        Ok(freed)
    }

    /// Bytes of all packs and manifests.
    pub(crate) fn stored_bytes(&self) -> Result<u64> {
        let objects = self
            .local
            .list("packs/")?
            .into_iter()
            .chain(self.local.list("snapshots/")?);
        Ok(objects.map(|object| object.size).sum())
    }

    /// Reads a small JSON file that nothing can do without; `None` when there is none. Notes: [`Self::read_note`].
    fn read_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let path = self.path(key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path, error)),
        };
        match serde_json::from_reader(std::io::BufReader::new(file)) {
            Ok(value) => Ok(Some(value)),
            Err(error) => fail!(
                RepositoryIo,
                "{} cannot be understood ({error}); move it away to go on without it",
                path.display()
            ),
        }
    }

    /// Writes a small JSON file of the repository atomically.
    pub(crate) fn replace_json(&self, key: &str, value: &impl Serialize) -> Result<()> {
        let scratch = self.scratch()?;
        let file = NamedTempFile::new_in(&scratch).map_err(|error| io_error("create a file in", &scratch, error))?;
        self.replace_with(file, key, value, ANY_MODE)
    }

    /// As [`Repository::replace_json`], for what only those may read who may write the repository.
    pub(crate) fn replace_private_json(&self, key: &str, value: &impl Serialize) -> Result<()> {
        let scratch = self.scratch()?;
        let file = NamedTempFile::new_in(&scratch).map_err(|error| io_error("create a file in", &scratch, error))?;
        let is_shared = std::fs::metadata(self.root()).is_ok_and(|root| root.mode() & 0o020 != 0);
        self.replace_with(file, key, value, if is_shared { 0o660 } else { 0o600 })
    }

    /// The same for a file that has a lock of its own: who holds the repository's may clear the
    /// scratch folder at any time. What a killed process leaves is overwritten by the next one.
    pub(crate) fn replace_json_beside(&self, key: &str, value: &impl Serialize) -> Result<()> {
        let unfinished = self.path(&format!("{key}.new"));
        let folder = unfinished.parent().unwrap_or(self.root());
        make_folder(folder, self.root())?;
        if let Err(error) = std::fs::remove_file(&unfinished)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(io_error("remove", &unfinished, error));
        }
        let name = unfinished.file_name().unwrap_or_default();
        let file = tempfile::Builder::new().prefix(name).rand_bytes(0).tempfile_in(folder);
        let file = file.map_err(|error| io_error("create", &unfinished, error))?;
        self.replace_with(file, key, value, ANY_MODE)
    }

    /// `mode`: what is left of the folder's.
    fn replace_with(&self, mut file: NamedTempFile, key: &str, value: &impl Serialize, mode: u32) -> Result<()> {
        self.check_held()?;
        let target = self.path(key);
        if let Some(folder) = target.parent() {
            make_folder(folder, self.root())?;
        }
        // A folder in the place of a note is a disk's doing.
        if target.is_dir() {
            self.set_aside(key)?;
        }
        adopt(file.path(), self.root())?;
        let narrow = || {
            let mode = file.as_file().metadata()?.mode() & mode;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))
        };
        narrow().map_err(|error: std::io::Error| io_error("set the mode of", file.path(), error))?;
        let json = serde_json::to_vec_pretty(value)
            .map_err(|error| Error::new(Code::Internal, "cannot encode JSON").because(error))?;
        file.write_all(&json)
            .map_err(|error| io_error("write", &target, error))?;
        replace(file, &target)
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
