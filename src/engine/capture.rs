//! Capturing one instant of the live database into packs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use super::recorder::{Changed, Recorder, Recording};
use super::{Context, known_damage, parents};
use crate::database::raw_files;
use crate::database::source::{Batch, Mark, PageSource, Sliced};
use crate::error::{Code, Result, fail};
use crate::failpoint;
use crate::repository::manifest::Head;
use crate::repository::pack::PackEntry;
use crate::repository::page_table::{PageEntry, PageTable, PageTableWriter};
use crate::repository::snapshot::Snapshot;
use crate::repository::{cache, damaged_packs};

/// A pass that took longer leaves time for many changes, so another one comes before the last.
const LONG_PASS: Duration = Duration::from_secs(10);
const MAX_PASSES: u32 = 5;

/// One instant of a database, stored but not yet named by a manifest.
pub(crate) struct Captured {
    pub(crate) recording: Recording,
    pub(crate) page_size: u32,
    /// `None` where it could not be worked out without holding up writers.
    pub(crate) checksum: Option<String>,
    /// The newest snapshot before, when the image was compared with one.
    pub(crate) base: Option<Head>,
    /// What a connection that stays open compares.
    pub(crate) data_version: i64,
    identity: (u64, u64),
}

impl Captured {
    /// The lineage of the snapshot that it was compared with, if at least half of its pages are from there.
    pub(crate) fn origin(&self) -> Result<Option<Uuid>> {
        let Some(base) = &self.base else { return Ok(None) };
        let old_packs = self.recording.packs.len() - self.recording.new_packs;
        let (mut same, mut all) = (0, 0);
        for entry in self.recording.table.iter() {
            let pack = entry?.pack as usize;
            all += usize::from(pack > 0);
            same += usize::from(pack > 0 && pack <= old_packs);
        }
        Ok((same * 2 >= all && same > 0).then_some(base.lineage))
    }

    /// Fails when the file at `path` is no longer the one that was captured.
    pub(crate) fn check_not_moved(&self, path: &Path) -> Result<()> {
        if identity(path) != Some(self.identity) {
            fail!(
                DatabaseMoved,
                "{} was replaced while its snapshot was made; nothing was stored",
                path.display()
            );
        }
        Ok(())
    }
}

/// Device and inode of a file.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Captures `database`; pages that the closest of these snapshots has are not stored again.
pub(crate) fn capture<'a>(
    context: &Context,
    database: &Path,
    parents: impl IntoIterator<Item = &'a Head>,
) -> Result<Captured> {
    let mut source = PageSource::open(database, context.config.lock_timeout())?;
    capture_through(context, &mut source, database, parents)
}

/// That the database is damaged counts when it shows again, and when it is no error of the disk.
pub(crate) fn twice(context: &Context, database: &Path, parents: &[&Head]) -> Result<Captured> {
    match capture(context, database, parents.iter().copied()) {
        Err(error) if error.code.is_damage() => {
            raw_files::check_readable(database)?;
            capture(context, database, parents.iter().copied())
        }
        captured => captured,
    }
}

/// The same through a connection that is there already.
pub(crate) fn capture_through<'a>(
    context: &Context,
    source: &mut PageSource,
    database: &Path,
    parents: impl IntoIterator<Item = &'a Head>,
) -> Result<Captured> {
    let Some(identity) = identity(database) else {
        fail!(DatabaseMoved, "{} disappeared while it was opened", database.display());
    };
    let page_size = source.page_size();
    let fitting: Vec<&Head> = parents.into_iter().filter(|head| head.page_size == page_size).collect();
    let base = match fitting[..] {
        [parent] => open_base(context, parent)?,
        _ => parents::closest(context, source, &fitting)?,
    };
    let base_head = base.as_ref().map(|(head, _, _)| head.clone());
    let mut recorder = Recorder::new(
        &context.repository,
        page_size,
        base.map(|(_, table, packs)| (table, packs)),
    )?;
    let (checksum, data_version) = record(context, source, &mut recorder)?;
    source.check_not_moved()?;
    failpoint::reached("create.captured")?;
    let recording = recorder.finish()?;
    Ok(Captured {
        recording,
        page_size,
        checksum,
        base: base_head,
        data_version,
        identity,
    })
}

/// Runs the passes; returns the checksum when a pass that was one instant worked it out, and the
/// version of the data at that instant.
fn record(context: &Context, source: &mut PageSource, recorder: &mut Recorder) -> Result<(Option<String>, i64)> {
    let mark = source.begin()?;
    if mark.wal {
        let checksum = in_one_transaction(context, source, recorder, &mark, None)?;
        source.end()?;
        return Ok((checksum, mark.data_version));
    }
    source.end()?;
    let (mut sliced, mut pass, mut took) = in_slices(context, source, recorder, true)?;
    let mut passes = 1;
    loop {
        if let Some(mark) = sliced.unchanged {
            return Ok((pass.checksum, mark.data_version));
        }
        let stall = sliced.held.max(pass.hashing).mul_f64(1.2);
        let fits = stall <= context.config.max_writer_stall();
        if fits && (took < LONG_PASS || passes == MAX_PASSES) {
            break;
        }
        if passes == MAX_PASSES {
            fail!(
                WritersTooBusy,
                "a consistent copy would hold up writers for about {} ms, more than maxWriterStallMs ({} ms); nothing was stored. \
                 Try again when fewer writes happen, raise maxWriterStallMs, or use WAL mode, where nobody waits",
                stall.as_millis(),
                context.config.max_writer_stall_ms
            );
        }
        let before = pass.changed;
        (sliced, pass, took) = in_slices(context, source, recorder, true)?;
        passes += 1;
        if pass.changed >= before {
            passes = MAX_PASSES;
        }
    }
    let mark = source.begin()?;
    let limit = (!mark.wal).then(|| context.config.max_writer_stall());
    let outcome = in_one_transaction(context, source, recorder, &mark, limit);
    source.end()?;
    let checksum = outcome?;
    recorder.store_spooled()?;
    Ok((checksum, mark.data_version))
}

type SlicedPass = (Sliced, super::recorder::Pass, Duration);

fn in_slices(
    context: &Context,
    source: &mut PageSource,
    recorder: &mut Recorder,
    checksum: bool,
) -> Result<SlicedPass> {
    let (started, page_size) = (std::time::Instant::now(), source.page_size());
    let (sliced, pass) = recorder.pass(Changed::Store, checksum, |sink| {
        source.read_in_slices(&mut |batch| relay(context, page_size, batch, sink))
    })?;
    Ok((sliced, pass, started.elapsed()))
}

/// One pass under one read transaction. With a limit (rollback mode: writers wait) pages that
/// changed are only set aside, no checksum is worked out, and the limit is kept.
fn in_one_transaction(
    context: &Context,
    source: &PageSource,
    recorder: &mut Recorder,
    mark: &Mark,
    limit: Option<Duration>,
) -> Result<Option<String>> {
    let changed = if limit.is_some() {
        Changed::Spool
    } else {
        Changed::Store
    };
    let begun = std::time::Instant::now();
    let ((), pass) = recorder.pass(changed, limit.is_none(), |sink| {
        source.read_in_transaction(mark, &mut |batch| {
            if let Some(limit) = limit.filter(|limit| begun.elapsed() > *limit) {
                fail!(
                    WritersTooBusy,
                    "a consistent copy held up writers for maxWriterStallMs ({} ms) and was given up; nothing was stored. \
                     Try again when fewer writes happen, raise maxWriterStallMs, or use WAL mode, where nobody waits",
                    limit.as_millis()
                );
            }
            relay(context, source.page_size(), batch, sink)
        })
    })?;
    Ok(pass.checksum)
}

fn relay(context: &Context, page_size: u32, batch: Batch, sink: &mut crate::database::source::Sink<'_>) -> Result<()> {
    context.host.check_alive()?;
    let read = u64::from(batch.first_page) - 1 + (batch.data.len() / page_size as usize) as u64;
    context.host.progress("read", read, batch.of_pages.into(), "pages");
    sink(batch)
}

pub(super) type Base = (Head, PageTable, Vec<PackEntry>);

/// Page table and packs of the newest snapshot; `None` when it cannot be read, which makes the next
/// snapshot a full one instead of building on it.
pub(super) fn open_base(context: &Context, head: &Head) -> Result<Option<Base>> {
    let open = || -> Result<_> {
        known_damage::refuse(&context.repository, head)?;
        let snapshot = Snapshot::open(&**context.repository.local(), head)?;
        let scratch = context.repository.scratch()?;
        let table = match cached_table(context, &snapshot)? {
            Some(table) => table,
            None => snapshot.page_table(&scratch)?,
        };
        Ok((table, snapshot.manifest.packs))
    };
    match open() {
        Ok((table, packs)) => {
            let table = without_damaged(context, table, &packs)?;
            Ok(Some((head.clone(), table, packs)))
        }
        Err(error) if error.code == Code::SnapshotDamaged => {
            tracing::warn!(snapshot = %head.name, reason = %error, "the newest snapshot is damaged: the next one stores every page again");
            Ok(None)
        }
        // A bad sector of an old pack must not keep new ones from being made.
        Err(error) if error.code == Code::RepositoryIo => {
            tracing::warn!(snapshot = %head.name, reason = %error, "the newest snapshot cannot be read: the next one stores every page again");
            Ok(None)
        }
        // A full disk, say, which is no property of that snapshot.
        Err(error) => Err(error),
    }
}

/// Pages in packs that are known to be damaged count as changed: they are stored again. The manifest then does without
/// those packs.
fn without_damaged(context: &Context, table: PageTable, packs: &[PackEntry]) -> Result<PageTable> {
    let known = damaged_packs::known(&context.repository)?;
    let is_damaged = |number: u32| {
        let pack = packs.get((number as usize).wrapping_sub(1));
        pack.is_some_and(|pack| known.contains(&pack.id))
    };
    if !packs.iter().any(|pack| known.contains(&pack.id)) {
        return Ok(table);
    }
    tracing::warn!("a pack is known to be damaged: its pages are stored again");
    let mut rewritten = PageTableWriter::new(&context.repository.scratch()?)?;
    for entry in table.iter() {
        let entry = entry?;
        rewritten.push(if is_damaged(entry.pack) {
            &PageEntry::HOLE
        } else {
            &entry
        })?;
    }
    rewritten.finish()
}

/// Joins the page-hash cache with the manifest's extents.
fn cached_table(context: &Context, snapshot: &Snapshot) -> Result<Option<PageTable>> {
    let Some(hashes) = cache::open(&context.repository, snapshot.head())? else {
        return Ok(None);
    };
    let mut hashes = hashes.iter();
    let mut table = PageTableWriter::new(&context.repository.scratch()?)?;
    for extent in snapshot.manifest.extents()? {
        let extent = extent?;
        for offset in 0..extent.count {
            let Some(Ok(hash)) = hashes.next() else { return Ok(None) };
            let position = if extent.pack == 0 { 0 } else { extent.position + offset };
            table.push(&PageEntry {
                hash,
                pack: extent.pack,
                position,
            })?;
        }
    }
    table.finish().map(Some)
}
