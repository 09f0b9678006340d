//! The safety snapshot: what the database held before it was overwritten. It never blocks a
//! restore: where pages cannot be read through SQLite, the raw files are copied.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::recorder::{Changed, Recorder};
use super::{Context, create, names};
use crate::config::Check;
use crate::database::live::Live;
use crate::database::raw_files::RawFiles;
use crate::database::source::{BATCH_BYTES, Batch};
use crate::database::write_lock::WriteLock;
use crate::error::{Code, Error, Result, fail};
use crate::repository::manifest::{self, Description, Head, Kind};
use crate::repository::pack::PackEntry;
use crate::repository::page_table::PageTable;
use crate::repository::sequence;
use crate::repository::snapshot::Snapshot;

/// What could be done before the write lock.
pub(crate) enum Before {
    Stored(Box<Copied>),
    /// Too much is written for a copy without a lock.
    TooBusy(Error),
    /// The database cannot be read page by page.
    Unreadable,
}

/// The database as it was once.
pub(crate) struct Copied {
    pub(crate) safety: Safety,
    /// As the connection that copied it saw it; while it sees no other, the copy is what the database holds.
    pub(crate) version: i64,
}

/// The snapshot that has the pages of the live database, and where they are.
pub(crate) struct Safety {
    pub(crate) head: Head,
    pub(crate) table: PageTable,
    pub(crate) packs: Vec<PackEntry>,
}

/// Stores the live database as it is now, unchecked, in the place of the safety snapshot `stale`.
pub(crate) fn store(context: &Context, database: &Path, live: &Live, stale: Option<Uuid>) -> Result<Before> {
    let heads = context.repository.readable_heads()?;
    let created_at = create::now();
    let new = create::New {
        id: Uuid::new_v4(),
        name: names::generate("safety", created_at, |name| heads.iter().any(|head| head.name == name)),
        kind: Kind::Safety,
        check: Check::None,
        sequence: sequence::next(&context.repository, &[]),
        created_at,
    };
    let identity = context.identity_at(database, &heads)?;
    let stored = live
        .source(context.config.lock_timeout())
        .and_then(|mut source| create::make_through(context, &mut source, database, &identity, &heads, new));
    match stored {
        Ok((head, version)) => {
            if let Some(stale) = stale {
                context.repository.remove_manifest(stale)?;
            }
            let safety = open(context, head)?;
            Ok(Before::Stored(Box::new(Copied { safety, version })))
        }
        Err(error) => {
            create::clean_up(context);
            if error.code == Code::WritersTooBusy {
                return Ok(Before::TooBusy(error));
            }
            if is_unreadable(&error) {
                tracing::warn!(reason = %error, "the database cannot be read page by page before it is overwritten; its files are copied as they are");
                return Ok(Before::Unreadable);
            }
            // No property of the database: it would hit what comes next as well.
            Err(error)
        }
    }
}

/// Whether the database itself is why its pages cannot be read.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    error.code.is_damage() || error.code == Code::DatabaseEncrypted
}

/// Copies the raw files of a database that SQLite cannot read into the repository, as the last
/// resort. Under the write lock.
pub(crate) fn copy_raw(context: &Context, raw: &RawFiles, reason: &Error) -> Result<()> {
    let folder = context
        .repository
        .path(&format!("local/kept/{:.3}", create::now()).replace(':', "-"));
    context.repository.check_held()?;
    let copied = raw.copy(&folder, context.repository.root())?;
    tracing::warn!(%reason, folder = %folder.display(), files = copied as u64, "the files of the damaged database were copied; every page is overwritten");
    Ok(())
}

fn open(context: &Context, head: Head) -> Result<Safety> {
    let snapshot = Snapshot::open(&**context.repository.local(), &head)?;
    Ok(Safety {
        head,
        table: snapshot.page_table(&context.repository.scratch()?)?,
        packs: snapshot.manifest.packs,
    })
}

/// Brings the safety snapshot of that id up to date while nobody else has the database open, so that nobody waits.
/// Returns the one that has taken its place.
pub(crate) fn complete_alone(context: &Context, database: &Path, lock: &WriteLock, before: Uuid) -> Result<Safety> {
    let heads = context.repository.readable_heads()?;
    let before = heads.into_iter().find(|head| head.id == before);
    let before = before.map(|head| open(context, head)).transpose()?;
    let safety = complete_within(context, database, lock, before, None)?;
    context.repository.check_stored(&safety.head, &safety.packs)?;
    Ok(safety)
}

/// Records under the write lock what has changed since `before` was stored, and replaces it.
/// Writers wait meanwhile, so reading and hashing may take `maxWriterStallMs`.
pub(crate) fn complete(context: &Context, database: &Path, lock: &WriteLock, before: Option<Safety>) -> Result<Safety> {
    complete_within(context, database, lock, before, Some(context.config.max_writer_stall()))
}

fn complete_within(
    context: &Context,
    database: &Path,
    lock: &WriteLock,
    before: Option<Safety>,
    limit: Option<Duration>,
) -> Result<Safety> {
    let page_size = lock.page_size();
    let (before, base) = match before {
        Some(Safety { head, table, packs }) if head.page_size == page_size => (Some(head), Some((table, packs))),
        Some(Safety { head, .. }) => (Some(head), None),
        None => (None, None),
    };
    let begun = Instant::now();
    let mut recorder = Recorder::new(&context.repository, page_size, base)?;
    let ((), pass) = recorder.pass(Changed::Spool, true, |sink| {
        let mut next = 1;
        while next <= lock.page_count() {
            context.host.check_alive()?;
            if let Some(limit) = limit.filter(|limit| begun.elapsed() > *limit) {
                fail!(
                    WritersTooBusy,
                    "{} is written to all the time, and to store what it holds would keep writers waiting for more than \
                     maxWriterStallMs ({} ms); nothing was changed. Try again when fewer writes happen, or raise \
                     maxWriterStallMs",
                    database.display(),
                    limit.as_millis()
                );
            }
            let mut batch = Batch {
                first_page: next,
                of_pages: lock.page_count(),
                data: Vec::with_capacity(BATCH_BYTES),
            };
            while next <= lock.page_count() && batch.data.len() < BATCH_BYTES {
                let start = batch.data.len();
                batch.data.resize(start + page_size as usize, 0);
                lock.read_page(next, &mut batch.data[start..])?;
                next += 1;
            }
            sink(batch)?;
        }
        Ok(())
    })?;
    let recording = recorder.finish()?;
    if let Some(head) = &before
        && pass.changed == 0
        && recording.table.pages() == head.page_count
    {
        return Ok(Safety {
            head: head.clone(),
            table: recording.table,
            packs: recording.packs,
        });
    }
    let heads = context.repository.readable_heads()?;
    let identity = context.identity_at(database, &heads)?;
    let lineage = before
        .as_ref()
        .map(|head| head.lineage)
        .or(identity.lineage)
        .unwrap_or_else(Uuid::new_v4);
    identity.remember(&context.repository, lineage)?;
    let new_packs = &recording.packs[recording.packs.len() - recording.new_packs..];
    let created_at = create::now();
    let description = Description {
        id: Uuid::new_v4(),
        generation: 1,
        name: names::generate("safety", created_at, |name| heads.iter().any(|head| head.name == name)),
        kind: Kind::Safety,
        sequence: Some(sequence::next(&context.repository, &[])),
        created_at,
        lineage,
        instance: identity.instance.clone(),
        database_name: identity.file_name(),
        page_size,
        checksum: pass.checksum.unwrap_or_default(),
        // Somebody has written since, and nobody looks into it while the lock is held.
        is_empty: false,
        core_counts: BTreeMap::new(),
        core_tables: None,
        check: "none".to_owned(),
        finding: None,
        unjudged: Vec::new(),
        stored_bytes: new_packs.iter().map(|pack| pack.size).sum(),
    };
    let head = manifest::write(
        &**context.repository.local(),
        &context.repository.scratch()?,
        description,
        &recording.table,
        &recording.packs,
    )?;
    if let Some(before) = before {
        context.repository.remove_manifest(before.id)?;
    }
    Ok(Safety {
        head,
        table: recording.table,
        packs: recording.packs,
    })
}
