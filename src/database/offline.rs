//! The database's files moved and published whole: for a database that is missing, and for one
//! that cannot take the image in place while nobody has it open.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::gate;
use super::holders::{self, COMPANIONS, Holder, companion, describe};
use super::raw_files::file_error;
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::storage::{adopt, rename_no_replace, sync_folder};

/// How often to look whether the last one has closed the database.
const PAUSE: Duration = Duration::from_millis(50);

/// Moves what a missing database has left beside it out of the way, and tells where to; with the file
/// itself, where that has zero bytes and SQLite would delete the others.
///
/// Beside a new file SQLite would apply it, and the new file would be malformed. It is never
/// deleted: it may be all that is left of the last writes.
pub(crate) fn move_orphans_aside(database: &Path) -> Result<Vec<PathBuf>> {
    if exists(database)? && gate::stranded(database)?.is_empty() {
        return Ok(Vec::new());
    }
    move_set_aside(database, "orphaned").map(MovedSet::keep)
}

/// Publishes the assembled file, which lies in the database's folder, as a database that did not exist.
pub(crate) fn publish_new(assembled: NamedTempFile, database: &Path) -> Result<()> {
    adopt_like(&assembled, folder_of(database))?;
    give_name(assembled, database)?;
    sync_database_folder(database)
}

/// Puts the assembled file in the place of a database that nobody has open, and tells where the
/// old files are. Waits until `deadline` for the last one to close it.
pub(crate) fn replace(assembled: NamedTempFile, database: &Path, deadline: Instant) -> Result<Vec<PathBuf>> {
    // A link stays a link: the file that it names is replaced.
    let database = &fs::canonicalize(database).map_err(|error| file_error("find", database, error))?;
    wait_until_closed(database, deadline)?;
    adopt_like(&assembled, database)?;
    if !has_companions(database)?
        && let Some(old) = swap_if_possible(&assembled, database)?
    {
        return Ok(vec![old]);
    }
    let aside = move_set_aside(database, "replaced")?;
    // Somebody may have opened the old file between the look and the move; by its new name it is found.
    let named = check_nobody_has_it_open(database, &aside.database)
        .and_then(|()| failpoint::reached("replace.before-publish"))
        .and_then(|()| give_name(assembled, database));
    if let Err(error) = named {
        aside.move_back()?;
        return Err(error);
    }
    sync_database_folder(database)?;
    Ok(aside.keep())
}

fn has_companions(database: &Path) -> Result<bool> {
    let found: Vec<bool> = COMPANIONS
        .iter()
        .map(|suffix| exists(&companion(database, suffix)))
        .collect::<Result<_>>()?;
    Ok(found.contains(&true))
}

/// Replaces a database that is one file in one step, so that its name is never without a file:
/// the old file gets a second name first. `None` where the file system has no hard links.
fn swap_if_possible(assembled: &NamedTempFile, database: &Path) -> Result<Option<PathBuf>> {
    let old = free_name(database, "replaced")?;
    if fs::hard_link(database, &old).is_err() {
        return Ok(None);
    }
    let swap = || {
        assembled
            .as_file()
            .sync_all()
            .map_err(|error| file_error("sync", assembled.path(), error))?;
        check_nobody_has_it_open(database, database)?;
        failpoint::reached("replace.before-publish")?;
        fs::rename(assembled.path(), database).map_err(|error| file_error("publish", database, error))?;
        // Somebody may have opened the old file between the look and the rename.
        check_nobody_has_it_open(database, &old).or_else(|open| {
            fs::rename(&old, database)
                .map_err(|error| file_error("put back", database, error))
                .and(Err(open))
        })
    };
    if let Err(error) = swap() {
        let _ = fs::remove_file(&old);
        return Err(error);
    }
    sync_database_folder(database)?;
    Ok(Some(old))
}

/// Moves the newest set that [`replace`] has moved aside back, when nothing is in its place: the
/// process was killed in between. Returns the names that exist again.
pub(crate) fn put_back(database: &Path) -> Result<Vec<PathBuf>> {
    let prefix = format!(
        "{}.replaced-",
        database.file_name().unwrap_or_default().to_string_lossy()
    );
    if exists(database)? {
        remove_second_name(database, &prefix)?;
        return Ok(Vec::new());
    }
    let sets = siblings(database, &prefix)?.into_iter().filter(|path| {
        let name = path.to_string_lossy();
        !COMPANIONS.iter().any(|suffix| name.ends_with(suffix))
    });
    let Some(newest) = sets.max() else {
        return Ok(Vec::new());
    };
    let mut set = MovedSet {
        moves: Vec::new(),
        database: newest.clone(),
        old_name: database.to_owned(),
    };
    for suffix in std::iter::once("").chain(COMPANIONS) {
        let to = companion(&newest, suffix);
        if exists(&to)? {
            set.moves.push((companion(database, suffix), to));
        }
    }
    set.move_back()?;
    Ok(set.moves.into_iter().map(|(from, _)| from).collect())
}

/// Killed between the two steps of a swap, the database has two names.
fn remove_second_name(database: &Path, prefix: &str) -> Result<()> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    for name in siblings(database, prefix)? {
        if identity(&name) == identity(database) {
            fs::remove_file(&name).map_err(|error| file_error("remove", &name, error))?;
        }
    }
    Ok(())
}

/// Removes the files beside the database whose names begin with `prefix`: what a killed restore had assembled.
pub(crate) fn remove_assembled(database: &Path, prefix: &str) -> Result<()> {
    for file in siblings(database, prefix)? {
        fs::remove_file(&file).map_err(|error| file_error("remove", &file, error))?;
    }
    Ok(())
}

/// The files in the database's folder whose names begin with `prefix`.
fn siblings(database: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let folder = folder_of(database);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error("list", folder, error)),
    };
    let named = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    Ok(named.map(|entry| entry.path()).collect())
}

fn wait_until_closed(database: &Path, deadline: Instant) -> Result<()> {
    loop {
        match check_nobody_has_it_open(database, database) {
            Err(error) if error.code == Code::DatabaseBusy && Instant::now() < deadline => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

/// `file` is the database under its present name.
fn check_nobody_has_it_open(database: &Path, file: &Path) -> Result<()> {
    if holders::is_open_here(file) {
        fail!(
            Internal,
            "{} cannot be replaced while this process has a connection to it",
            database.display()
        );
    }
    if !holders::are_known() {
        fail!(
            DatabaseBusy,
            "{} cannot be replaced: this system does not tell who has it open; {}",
            database.display(),
            offline_command()
        );
    }
    refuse(database, &holders::holders(file), "is open in")?;
    refuse(database, &holders::hidden(file), "may be open in")
}

fn refuse(database: &Path, holders: &[Holder], how: &str) -> Result<()> {
    if holders.is_empty() {
        return Ok(());
    }
    fail!(
        DatabaseBusy,
        "{} {how} {}, and this image can only replace the file as a whole (other page size, other text \
         encoding or damaged header); {}",
        database.display(),
        describe(holders),
        offline_command()
    );
}

fn offline_command() -> &'static str {
    "stop what has it open, then run: snapshot-writer restore <name> --yes"
}

/// The database's files under their new names.
struct MovedSet {
    /// From, to; in the order in which they were moved.
    moves: Vec<(PathBuf, PathBuf)>,
    /// The new name of the database itself.
    database: PathBuf,
    old_name: PathBuf,
}

impl MovedSet {
    fn keep(self) -> Vec<PathBuf> {
        self.moves.into_iter().map(|(_, to)| to).collect()
    }

    /// The companions first: a database without its WAL is an older database.
    ///
    /// Not beside a database that has come into being meanwhile: SQLite would apply them to it.
    fn move_back(&self) -> Result<()> {
        if exists(&self.old_name)? {
            fail!(
                DatabaseMoved,
                "{} has come into being during the restore; the files that were there before are {}*",
                self.old_name.display(),
                self.database.display()
            );
        }
        for (from, to) in self.moves.iter().rev() {
            rename_no_replace(to, from).map_err(|error| {
                let left = format!("{} could not be moved back and is now {}", from.display(), to.display());
                Error::new(Code::DatabaseMoved, left).because(error)
            })?;
        }
        sync_database_folder(&self.database)
    }
}

/// Renames the database and its companions, as far as they exist, so that they stay one set:
/// SQLite opens `<new name>` with `<new name>-wal`.
fn move_set_aside(database: &Path, why: &str) -> Result<MovedSet> {
    let mut set = MovedSet {
        moves: Vec::new(),
        database: free_name(database, why)?,
        old_name: database.to_owned(),
    };
    // The database first: for the moment that this takes, a missing database is a plain failure,
    // while one without its WAL would silently be an older one.
    for suffix in std::iter::once("").chain(COMPANIONS) {
        let (from, to) = (companion(database, suffix), companion(&set.database, suffix));
        match rename_no_replace(&from, &to) {
            Ok(()) => set.moves.push((from, to)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                set.move_back()?;
                return Err(file_error("move aside", &from, error));
            }
        }
    }
    if !set.moves.is_empty() {
        sync_database_folder(database)?;
    }
    Ok(set)
}

/// `<database>.<why>-<time>`, with a number when the set of that millisecond exists.
pub(super) fn free_name(database: &Path, why: &str) -> Result<PathBuf> {
    let time = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S-%3fZ");
    let mut name = companion(database, &format!(".{why}-{time}"));
    for number in 2_u32.. {
        let mut is_free = true;
        for suffix in std::iter::once("").chain(COMPANIONS) {
            is_free &= !exists(&companion(&name, suffix))?;
        }
        if is_free {
            break;
        }
        name = companion(database, &format!(".{why}-{time}-{number}"));
    }
    Ok(name)
}

fn adopt_like(assembled: &NamedTempFile, like: &Path) -> Result<()> {
    adopt(assembled.path(), like).map_err(|error| {
        let message = format!("cannot give the restored file the owner and mode of {}", like.display());
        Error::new(Code::DatabaseReadonly, message).because(error)
    })
}

/// Syncs the file and names it; nothing that exists is overwritten.
fn give_name(assembled: NamedTempFile, database: &Path) -> Result<()> {
    assembled
        .as_file()
        .sync_all()
        .map_err(|error| file_error("sync", assembled.path(), error))?;
    // Closed before it gets its name: from then on somebody may have locks on it.
    let staged = assembled.into_temp_path();
    rename_no_replace(&staged, database).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            Code::DatabaseMoved,
            format!(
                "{} has come into being during the restore; it was left as it is",
                database.display()
            ),
        )
        .because(error),
        _ => file_error("publish", database, error),
    })?;
    // The name has moved; there is nothing left to delete when `staged` goes.
    let _ = staged.keep();
    Ok(())
}

fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file_error("look at", path, error)),
    }
}

fn folder_of(database: &Path) -> &Path {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn sync_database_folder(database: &Path) -> Result<()> {
    sync_folder(folder_of(database)).map_err(|error| {
        let message = format!("cannot sync the folder of {}", database.display());
        Error::new(Code::Internal, message).because(error)
    })
}

#[cfg(test)]
#[path = "offline_tests.rs"]
mod tests;
