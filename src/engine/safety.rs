//! The safety snapshot: what the database held before it was overwritten. It never blocks a
//! restore: where pages cannot be read through SQLite, the raw files are copied.

use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use super::recorder::{Changed, Recorder};
use super::{Context, create, names};
use crate::config::Check;
use crate::database::raw_files;
use crate::database::source::{BATCH_BYTES, Batch};
use crate::database::target::RestoreTransaction;
use crate::error::{Code, Result};
use crate::repository::lineage;
use crate::repository::manifest::{self, Description, Head, Kind};
use crate::repository::page_table::PageTable;
use crate::repository::sequence;
use crate::repository::snapshot::Snapshot;

/// What could be done before the write lock.
pub(crate) enum Before {
    Stored(Box<Head>),
    /// Too much is written for a copy without a lock; it is made under the write lock.
    TooBusy,
    /// The database cannot be read page by page.
    Unreadable,
}

/// Stores the live database as it is now, unchecked.
pub(crate) fn store(context: &Context, database: &Path) -> Result<Before> {
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
    let lineage = lineage::claim(&context.repository, database, &heads)?;
    match create::make(context, database, lineage, &heads, new) {
        Ok(head) => Ok(Before::Stored(Box::new(head))),
        Err(error) => {
            create::clean_up(context);
            match error.code {
                Code::WritersTooBusy => Ok(Before::TooBusy),
                Code::DatabaseCorrupt | Code::DatabaseInvalid | Code::DatabaseEncrypted | Code::Internal => {
                    tracing::warn!(reason = %error, "the database cannot be read page by page before the restore; its files are copied as they are");
                    Ok(Before::Unreadable)
                }
                // No property of the database: it would hit the restore as well.
                _ => Err(error),
            }
        }
    }
}

/// Copies the raw files of a database that SQLite cannot read into the repository, as the last
/// resort. No connection may be open.
pub(crate) fn copy_raw(context: &Context, database: &Path, at: Timestamp) -> Result<()> {
    let folder = context
        .repository
        .path(&format!("local/kept/{at:.3}").replace(':', "-"));
    let copied = raw_files::copy_set(database, &folder, context.repository.root())?;
    tracing::warn!(folder = %folder.display(), files = copied as u64, "the files of the damaged database were copied");
    Ok(())
}

/// The live database under the write lock: where its pages are, and the snapshot that has them.
pub(crate) struct Safety {
    pub(crate) head: Head,
    pub(crate) table: PageTable,
}

/// The safety snapshot `head`, which is still what the database holds.
pub(crate) fn reopen(context: &Context, head: &Head) -> Result<Safety> {
    let snapshot = Snapshot::open(&**context.repository.local(), head)?;
    Ok(Safety {
        head: head.clone(),
        table: snapshot.page_table(&context.repository.scratch()?)?,
    })
}

/// Records under the write lock what changed since the snapshot `before` was stored, and
/// replaces it.
pub(crate) fn complete(
    context: &Context,
    database: &Path,
    transaction: &mut RestoreTransaction,
    before: Option<&Head>,
) -> Result<Safety> {
    let page_size = transaction.page_size();
    let base = before.filter(|head| head.page_size == page_size).map(|head| {
        let snapshot = Snapshot::open(&**context.repository.local(), head)?;
        let table = snapshot.page_table(&context.repository.scratch()?)?;
        Ok::<_, crate::error::Error>((table, snapshot.manifest.packs))
    });
    let mut recorder = Recorder::new(&context.repository, page_size, base.transpose()?)?;
    let ((), pass) = recorder.pass(Changed::Spool, true, |sink| {
        let mut next = 1;
        while next <= transaction.page_count() {
            context.host.check_alive()?;
            let mut batch = Batch {
                first_page: next,
                of_pages: transaction.page_count(),
                data: Vec::with_capacity(BATCH_BYTES),
            };
            while next <= transaction.page_count() && batch.data.len() < BATCH_BYTES {
                let start = batch.data.len();
                batch.data.resize(start + page_size as usize, 0);
                transaction.read_page(next, &mut batch.data[start..])?;
                next += 1;
            }
            sink(batch)?;
        }
        Ok(())
    })?;
    let recording = recorder.finish()?;
    if let Some(head) = before
        && pass.changed == 0
        && recording.table.pages() == head.page_count
    {
        return Ok(Safety {
            head: head.clone(),
            table: recording.table,
        });
    }
    let heads = context.repository.readable_heads()?;
    let lineage = lineage::claim(&context.repository, database, &heads)?;
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
        database_name: lineage::file_name(database),
        page_size,
        checksum: pass.checksum.unwrap_or_default(),
        is_empty: before.is_some_and(|head| head.is_empty),
        core_counts: before.map(|head| head.core_counts.clone()).unwrap_or_default(),
        check: "none".to_owned(),
        finding: None,
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
    })
}
