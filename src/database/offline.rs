//! The database's files moved and published whole: for a database that is missing, and for one
//! that cannot take the image in place while nobody has it open.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempPath};

use super::gate;
use super::holders::{self, Holder, describe};
use super::moved_set::{self, MovedSet, exists, folder_of, sync_database_folder};
pub(crate) use super::moved_set::{is_aside, put_back};
use super::one_file;
use super::raw_files::{file_error, file_id};
use super::write_lock::WriteLock;
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::storage::{FileId, Moved, adopt, is_one_file, rename_no_replace};

/// How often to look whether the last one has closed the database.
const PAUSE: Duration = Duration::from_millis(50);

/// What is about to be moved and published. It is written down before it is carried out, so that whoever
/// finds it half-done knows what was there.
pub(crate) struct Exchange {
    database: PathBuf,
    assembled: TempPath,
    published: FileId,
    moves: Vec<Moved>,
    /// For a database that SQLite can read: nobody else does meanwhile.
    alone: Option<WriteLock>,
    is_replacement: bool,
}

impl Exchange {
    /// The assembled file, which lies in the database's folder, is to be a database that is missing.
    ///
    /// What it has left beside its name is moved out of the way: SQLite would apply it to the new file,
    /// which would be malformed. It is never deleted: it may be all that is left of the last writes.
    pub(crate) fn of_missing(assembled: NamedTempFile, database: &Path) -> Result<Self> {
        adopt_like(&assembled, folder_of(database))?;
        // A file of zero bytes goes with them: SQLite would delete what lies beside it.
        let moves = match exists(database)? && gate::stranded(database)?.is_empty() {
            false => moved_set::plan(database, "orphaned")?,
            true => Vec::new(),
        };
        Self::new(assembled, database.to_owned(), moves, None, false)
    }

    /// The assembled file is to take the place of a database that nobody has open. Waits until `deadline`
    /// for the last one to close it. `is_readable`: SQLite can read it.
    pub(crate) fn of_existing(
        assembled: NamedTempFile,
        database: &Path,
        is_readable: bool,
        deadline: Instant,
    ) -> Result<Self> {
        // A link stays a link: the file that it names is replaced.
        let database = fs::canonicalize(database).map_err(|error| file_error("find", database, error))?;
        adopt_like(&assembled, &database)?;
        loop {
            wait_until_closed(&database, deadline)?;
            let is_readable = is_readable && one_file::collect(&database, deadline)?;
            let moves = moved_set::plan(&database, "replaced")?;
            if !is_readable {
                return Self::new(assembled, database, moves, None, true);
            }
            if let Some(alone) = one_file::keep_to_ourselves(&database, deadline)?
                // What was planned to be moved is what is kept to ourselves.
                && moves.iter().any(|moved| moved.from == database && moved.file.has_number_of(&database))
            {
                return Self::new(assembled, database, moves, Some(alone), true);
            }
            if Instant::now() >= deadline {
                fail!(
                    DatabaseBusy,
                    "{} is opened again and again, and can only be replaced while nobody has it open; {}",
                    database.display(),
                    offline_command()
                );
            }
        }
    }

    fn new(
        assembled: NamedTempFile,
        database: PathBuf,
        moves: Vec<Moved>,
        alone: Option<WriteLock>,
        is_replacement: bool,
    ) -> Result<Self> {
        let synced = assembled.as_file().sync_all();
        let published = synced.and_then(|()| FileId::of(assembled.as_file()));
        Ok(Self {
            published: published.map_err(|error| file_error("sync", assembled.path(), error))?,
            // Closed before it gets its name: from then on somebody may have locks on it.
            assembled: assembled.into_temp_path(),
            database,
            moves,
            alone,
            is_replacement,
        })
    }

    /// The file that the database will be.
    pub(crate) fn published(&self) -> &FileId {
        &self.published
    }

    /// The lock on a database that SQLite can read: until it is exchanged, nobody else reads or writes it.
    pub(crate) fn lock(&self) -> Option<&WriteLock> {
        self.alone.as_ref()
    }

    /// The files that get other names.
    pub(crate) fn moves(&self) -> &[Moved] {
        &self.moves
    }

    /// Moves and publishes; nothing that exists is overwritten. On failure, everything is where it was, or
    /// the error says where it is.
    pub(crate) fn carry_out(self) -> Result<()> {
        let mut set = MovedSet::of(&self.database, &self.moves);
        let exchanged = match set.main() {
            Some(main) if self.is_replacement => self.replace(main, &mut set),
            _ => set.move_aside(self.moves.iter()).and_then(|()| {
                failpoint::reached("restore.before-publish")?;
                self.give_name()
            }),
        };
        exchanged.map_err(|error| set.move_back(error))?;
        sync_database_folder(&self.database);
        Ok(())
    }

    fn replace<'a>(&'a self, main: &'a Moved, set: &mut MovedSet<'a>) -> Result<()> {
        let is_single = self.moves.len() == 1;
        if self.alone.is_some() || is_single {
            // Beside a database that is alone, they hold nothing that it needs.
            set.move_aside(set.companions())?;
            if self.swap(main)? {
                return Ok(());
            }
        }
        // The database first: for the moment that this takes, a missing database is a plain failure,
        // while one without its WAL would silently be an older one.
        let is_left = |moved: &&Moved| exists(&moved.from).unwrap_or(true);
        set.move_aside(std::iter::once(main).chain(set.companions().filter(is_left)))?;
        // Somebody may have opened the old file between the look and the move; by its new name it is found.
        self.check_nobody_has_it_open(&main.to)?;
        failpoint::reached("aside.before-publish")?;
        self.give_name()
    }

    /// Another file that has taken the database's name has no second one, and would be lost.
    fn check_is_planned(&self, main: &Moved) -> Result<()> {
        if !main.file.has_number_of(&main.from) {
            fail!(
                DatabaseMoved,
                "{} was replaced during the restore; the file that is there now was left as it is",
                self.database.display()
            );
        }
        Ok(())
    }

    /// Replaces one file in one step, so that its name is never without a file: the old one gets a second
    /// name first. `false`: the file system has no hard links.
    fn swap(&self, main: &Moved) -> Result<bool> {
        failpoint::reached("replace.before-link")?;
        self.check_is_planned(main)?;
        if fs::hard_link(&main.from, &main.to).is_err() {
            return Ok(false);
        }
        let renamed = self.check_nobody_has_it_open(&main.from).and_then(|()| {
            failpoint::reached("replace.before-publish")?;
            self.check_is_planned(main)?;
            fs::rename(&self.assembled, &self.database).map_err(|error| file_error("publish", &self.database, error))
        });
        if let Err(error) = renamed {
            // The old file keeps the name that it has had.
            if is_one_file(&main.from, &main.to) {
                let _ = fs::remove_file(&main.to);
            }
            return Err(error);
        }
        // Somebody may have opened the old file between the look and the rename.
        let looked = failpoint::reached("replace.published").and_then(|()| self.check_nobody_has_it_open(&main.to));
        match looked {
            Ok(()) => Ok(true),
            Err(reason) => Err(match fs::rename(&main.to, &self.database) {
                Ok(()) => reason,
                Err(_) => {
                    let story = format!(
                        "{} holds the restored data, and what it held before could not be put back and is now {}",
                        self.database.display(),
                        main.to.display()
                    );
                    Error::new(Code::DatabaseMoved, story).because(reason)
                }
            }),
        }
    }

    fn check_nobody_has_it_open(&self, file: &Path) -> Result<()> {
        if self.alone.is_none() {
            check_not_open_here(&self.database, file)?;
        }
        check_nobody_else_has_it_open(&self.database, file)
    }

    /// Nothing that exists is overwritten.
    fn give_name(&self) -> Result<()> {
        rename_no_replace(&self.assembled, &self.database).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::new(
                Code::DatabaseMoved,
                format!(
                    "{} has come into being during the restore; it was left as it is",
                    self.database.display()
                ),
            )
            .because(error),
            _ => file_error("publish", &self.database, error),
        })
    }
}

/// Whether the file that was published is the database.
pub(crate) fn is_published(database: &Path, published: &FileId) -> Result<bool> {
    Ok(file_id(database, database)?.is_some_and(|found| found.is(published)))
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
    check_not_open_here(database, database)?;
    loop {
        match check_nobody_else_has_it_open(database, database) {
            Err(error) if error.code == Code::DatabaseBusy && Instant::now() < deadline => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

/// `file` is the database under its present name.
fn check_not_open_here(database: &Path, file: &Path) -> Result<()> {
    if holders::is_open_here(file) {
        fail!(
            Internal,
            "{} cannot be replaced while this process has a connection to it",
            database.display()
        );
    }
    Ok(())
}

fn check_nobody_else_has_it_open(database: &Path, file: &Path) -> Result<()> {
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

fn adopt_like(assembled: &NamedTempFile, like: &Path) -> Result<()> {
    adopt(assembled.path(), like).map_err(|error| {
        let message = format!("cannot give the restored file the owner and mode of {}", like.display());
        Error::new(Code::DatabaseReadonly, message).because(error)
    })
}

#[cfg(test)]
#[path = "offline_tests.rs"]
mod tests;
