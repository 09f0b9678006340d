//! Writing a snapshot as a plain database file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::Context;
use super::find::find;
use super::target::Target;
use crate::database::raw_files::in_the_way_of;
use crate::error::{Code, Error, Result, fail};
use crate::storage::leftovers::new_file_in;
use crate::storage::{adopt, publish};

/// Writes the image of a snapshot to `path`, which must not exist; its SHA-256 is the record's checksum.
pub(crate) fn export(context: &Context, name: &str, path: &Path) -> Result<Value> {
    check_is_free(path)?;
    let _lock = context.lock_for_reading("exportSnapshot")?;
    let found = find(context, name)?;
    let mut target = Target::open(context, &found)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let file = new_file_in(folder).map_err(|error| unwritable(path, error))?;
    write_image(context, &mut target, &file, |error| unwritable(path, error))?;
    adopt(file.path(), folder)?;
    check_is_free(path)?;
    publish(file, path).map_err(|error| match error.code {
        Code::SnapshotExists => Error::new(
            Code::ExportTargetExists,
            format!("{} exists; it was left as it is", path.display()),
        ),
        _ => error,
    })?;
    let size = u64::from(target.page_size) * u64::from(target.page_count());
    Ok(json!({ "path": path, "size": size, "checksum": target.checksum }))
}

/// Refuses a name that is taken, or beside which SQLite would find what it applies to the new file.
fn check_is_free(path: &Path) -> Result<()> {
    let taken = in_the_way_of(path);
    if taken.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = taken.iter().map(|path| path.display().to_string()).collect();
    fail!(
        ExportTargetExists,
        "cannot export to {}: in its way are {}, which were left as they are (SQLite would take a -wal, -shm or -journal \
         beside the new file for its own). Choose another path, or move them away",
        path.display(),
        names.join(", ")
    );
}

/// Writes an image into a new file in `folder` and compares it with its SHA-256.
pub(crate) fn assemble(
    context: &Context,
    target: &mut Target,
    folder: &Path,
    prefix: &str,
    unwritable: impl Fn(io::Error) -> Error,
) -> Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(prefix)
        .tempfile_in(folder)
        .map_err(&unwritable)?;
    write_image(context, target, &file, unwritable)?;
    Ok(file)
}

/// Writes an image and compares it with its SHA-256.
pub(crate) fn write_image(
    context: &Context,
    target: &mut Target,
    out: impl Write,
    unwritable: impl Fn(io::Error) -> Error,
) -> Result<()> {
    let total = u64::from(target.page_size) * u64::from(target.page_count());
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let mut done = 0;
    target.read_all(|run| {
        context.host.check_alive()?;
        out.write_all(run).map_err(&unwritable)?;
        done += run.len() as u64;
        context.host.progress("assemble", done, total, "bytes");
        Ok(())
    })?;
    out.flush().map_err(unwritable)
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::RepositoryFull,
        _ => Code::ExportTargetUnwritable,
    };
    Error::new(
        code,
        format!("cannot write {}; nothing was left behind", path.display()),
    )
    .because(error)
}

/// SHA-256 of any file, lower-case hex. In the worker, because it may be the live database.
pub(crate) fn checksum_of_file(path: &Path) -> Result<String> {
    let mut hasher = crate::repository::hash::ImageHasher::default();
    let read = || -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match io::Read::read(&mut file, &mut buffer)? {
                0 => return Ok(()),
                length => hasher.update(&buffer[..length]),
            }
        }
    };
    let mut read = read;
    read()
        .map_err(|error| Error::new(Code::InvalidArgument, format!("cannot read {}", path.display())).because(error))?;
    Ok(hasher.finish())
}
