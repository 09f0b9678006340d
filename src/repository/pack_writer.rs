//! Writes pages into packs: frames are compressed by two threads and written in order.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use uuid::Uuid;

use super::hash::{PageHash, StructureHash};
use super::pack::{self, FRAME_ENTRY_LEN, HEADER_LEN, Header, MAX_BYTES, MAX_PAGES, PackEntry, TRAILER_LEN, Trailer};
use crate::error::{Code, Error, Result};
use crate::failpoint;
use crate::priority;
use crate::storage::{Staged, Store, io_error};

/// zstd 1: 0.41 GB/s a core at a ratio of 1.86 on the application's data (docs/design.md).
const LEVEL: i32 = 1;
/// The worker is allowed two cores' worth of compression.
const THREADS: usize = 2;
/// Frames on their way through the compressors: at most 8 × 256 KiB, raw and compressed.
const IN_FLIGHT: usize = 8;

type Frame = std::io::Result<Vec<u8>>;
/// A raw frame, and where its compressed form goes.
type FrameJob = (Vec<u8>, Sender<Frame>);

/// Where a page was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Index among the packs of this writer.
    pub(crate) pack: u32,
    /// Place of the page in the pack, counted in pages.
    pub(crate) page: u32,
}

/// Writes as many packs as the pages need. Nothing is visible in the store before a pack is
/// full or [`PackWriter::finish`] is called; dropping it discards the pack in work.
pub(crate) struct PackWriter {
    store: Arc<dyn Store>,
    page_size: u32,
    pages_per_frame: u32,
    /// [`MAX_PAGES`], except in tests.
    max_pages: u32,
    published: Vec<PackEntry>,
    open: Option<OpenPack>,
    compressors: Compressors,
}

struct OpenPack {
    id: Uuid,
    object: Box<dyn Staged>,
    header: [u8; HEADER_LEN],
    /// Page entries of the footer.
    entries: Vec<u8>,
    pages: u32,
    frame_lengths: Vec<u32>,
    bytes: u64,
    /// Pages of the frame in work.
    frame: Vec<u8>,
    pending: VecDeque<Receiver<Frame>>,
}

impl PackWriter {
    pub(crate) fn new(store: Arc<dyn Store>, page_size: u32) -> Self {
        Self {
            store,
            page_size,
            pages_per_frame: pack::pages_per_frame(page_size),
            max_pages: MAX_PAGES,
            published: Vec::new(),
            open: None,
            compressors: Compressors::default(),
        }
    }

    /// Adds one page.
    pub(crate) fn push(&mut self, page: u32, hash: &PageHash, data: &[u8]) -> Result<Position> {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.pages == self.max_pages || open.bytes >= MAX_BYTES)
        {
            self.publish_open()?;
        }
        let frame_len = (self.pages_per_frame * self.page_size) as usize;
        if self.open.is_none() {
            self.open = Some(self.start_pack()?);
        }
        let Some(open) = self.open.as_mut() else {
            unreachable!("a pack was just opened")
        };
        let position = Position {
            pack: self.published.len() as u32,
            page: open.pages,
        };
        open.entries.extend_from_slice(&page.to_le_bytes());
        open.entries.extend_from_slice(hash);
        open.frame.extend_from_slice(data);
        open.pages += 1;
        if open.frame.len() == frame_len {
            open.compress_frame(&mut self.compressors, frame_len)?;
        }
        Ok(position)
    }

    /// Publishes what is open and returns every pack written, in the order of [`Position::pack`].
    pub(crate) fn finish(mut self) -> Result<Vec<PackEntry>> {
        self.publish_open()?;
        Ok(std::mem::take(&mut self.published))
    }

    fn start_pack(&self) -> Result<OpenPack> {
        failpoint::reached("create.before-pack")?;
        let id = Uuid::new_v4();
        let header = Header {
            id,
            page_size: self.page_size,
            pages_per_frame: self.pages_per_frame,
        }
        .encode();
        let mut object = self.store.stage(&pack::key(id))?;
        write(&mut object, &header)?;
        Ok(OpenPack {
            id,
            object,
            header,
            entries: Vec::new(),
            pages: 0,
            frame_lengths: Vec::new(),
            bytes: HEADER_LEN as u64,
            frame: Vec::new(),
            pending: VecDeque::new(),
        })
    }

    fn publish_open(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        if !open.frame.is_empty() {
            open.compress_frame(&mut self.compressors, 0)?;
        }
        while !open.pending.is_empty() {
            open.write_oldest_frame()?;
        }
        self.published.push(open.publish()?);
        Ok(())
    }
}

impl OpenPack {
    fn compress_frame(&mut self, compressors: &mut Compressors, next_len: usize) -> Result<()> {
        let frame = std::mem::replace(&mut self.frame, Vec::with_capacity(next_len));
        self.pending.push_back(compressors.compress(frame));
        if self.pending.len() > IN_FLIGHT {
            self.write_oldest_frame()?;
        }
        Ok(())
    }

    fn write_oldest_frame(&mut self) -> Result<()> {
        let Some(oldest) = self.pending.pop_front() else {
            return Ok(());
        };
        let frame = oldest
            .recv()
            .map_err(|error| Error::new(Code::Internal, "a compressing thread died").because(error))?
            .map_err(|error| Error::new(Code::Internal, "cannot compress a frame").because(error))?;
        write(&mut self.object, &frame)?;
        self.frame_lengths.push(frame.len() as u32);
        self.bytes += frame.len() as u64;
        Ok(())
    }

    fn publish(mut self) -> Result<PackEntry> {
        let footer_offset = self.bytes;
        let mut frames = Vec::with_capacity(self.frame_lengths.len() * FRAME_ENTRY_LEN);
        for length in &self.frame_lengths {
            frames.extend_from_slice(&length.to_le_bytes());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.header).update(&self.entries).update(&frames);
        let footer_hash: StructureHash = hasher.finalize().into();
        let trailer = Trailer {
            pages: self.pages,
            frames: self.frame_lengths.len() as u32,
            footer_offset,
            footer_hash,
        }
        .encode();
        write(&mut self.object, &self.entries)?;
        write(&mut self.object, &frames)?;
        write(&mut self.object, &trailer)?;
        let size = footer_offset + (self.entries.len() + frames.len() + TRAILER_LEN) as u64;
        let entry = PackEntry {
            id: self.id,
            size,
            pages: self.pages,
            footer_hash,
        };
        self.object.publish()?;
        Ok(entry)
    }
}

fn write(object: &mut Box<dyn Staged>, bytes: &[u8]) -> Result<()> {
    object
        .write_all(bytes)
        .map_err(|error| io_error("write", Path::new("a pack"), error))
}

/// Threads that compress, started when the first frame comes.
#[derive(Default)]
struct Compressors {
    jobs: Option<SyncSender<FrameJob>>,
    threads: Vec<JoinHandle<()>>,
}

impl Compressors {
    fn compress(&mut self, frame: Vec<u8>) -> Receiver<Frame> {
        let (done, result) = channel();
        let jobs = self.jobs.get_or_insert_with(|| {
            let (jobs, queue) = sync_channel::<FrameJob>(IN_FLIGHT);
            let queue = Arc::new(Mutex::new(queue));
            self.threads = (0..THREADS).map(|_| spawn_compressor(Arc::clone(&queue))).collect();
            jobs
        });
        // Fails when the threads are gone; the receiver of `result` then says so.
        let _ = jobs.send((frame, done));
        result
    }
}

impl Drop for Compressors {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn_compressor(queue: Arc<Mutex<Receiver<FrameJob>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        priority::lower();
        let Ok(mut compressor) = zstd::bulk::Compressor::new(LEVEL) else {
            return;
        };
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((frame, done)) = job else { return };
            // Nobody listens any more when the writer was dropped half-way.
            let _ = done.send(compressor.compress(&frame));
        }
    })
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
