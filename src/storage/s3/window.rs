//! Reading ahead of a reader that goes forward, in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::client::Bucket;
use super::get::Version;

/// What one request brings.
const SEGMENT: u64 = 1 << 20;
/// Segments ahead of one reader.
const DEEPEST: usize = 8;
/// Segments of all readers of a store.
const ALL: usize = 48;
/// A reader that leaves out no more than this still goes forward.
const LEAP: u64 = 1 << 20;

/// Segments that all readers of a store hold together.
#[derive(Default)]
pub(super) struct Budget(AtomicUsize);

/// One of them.
struct Permit(Arc<Budget>);

impl Budget {
    fn take(self: &Arc<Self>) -> Option<Permit> {
        let more = |taken| (taken < ALL).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit(self.clone()))
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of the object that is on its way or there.
struct Segment {
    range: Range<u64>,
    content: Mutex<Content>,
    arrived: Condvar,
    _permit: Permit,
}

enum Content {
    OnItsWay,
    There(Vec<u8>),
    Failed,
}

/// What comes ahead of one reader.
pub(super) struct Window {
    bucket: Arc<Bucket>,
    version: Arc<Version>,
    threads: Handle,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the last read ended.
    end: Option<u64>,
    /// How many segments to have ahead.
    depth: usize,
    /// Without gaps between them.
    segments: VecDeque<(Arc<Segment>, AbortHandle)>,
}

impl Window {
    pub(super) fn new(bucket: Arc<Bucket>, version: Arc<Version>, threads: Handle, budget: Arc<Budget>) -> Self {
        Self {
            bucket,
            version,
            threads,
            budget,
            state: Mutex::default(),
        }
    }

    /// These bytes were read without the window.
    pub(super) fn passed(&self, range: Range<u64>) {
        self.state().end = Some(range.end);
    }

    /// Fills the buffer if the reader goes forward and the bytes come; else they have to be got exactly.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let range = offset..offset + buffer.len() as u64;
        let segments = self.holding(&range);
        !segments.is_empty() && segments.iter().all(|segment| segment.copy(&range, buffer))
    }

    /// The segments that hold the range, with more on their way behind them; none when the reader does not go
    /// forward.
    fn holding(&self, range: &Range<u64>) -> Vec<Arc<Segment>> {
        let mut state = self.state();
        let fits = range.end - range.start < SEGMENT * DEEPEST as u64;
        if !fits || !state.goes_on_at(range.start) {
            state.turn_to(range);
            return Vec::new();
        }
        state.end = state.end.max(Some(range.end));
        state.drop_before(range.start);
        while state.ends().is_none_or(|end| end < range.end) || state.segments.len() < state.depth {
            let start = state.ends().unwrap_or(range.start);
            if start >= self.version.size || state.segments.len() == DEEPEST {
                break;
            }
            let Some(permit) = self.budget.take() else { break };
            let end = self.version.size.min(start + SEGMENT);
            state.segments.push_back(self.begin(start..end, permit));
        }
        if state.ends().is_none_or(|end| end < range.end) {
            return Vec::new();
        }
        let overlaps = |segment: &Arc<Segment>| segment.range.start < range.end && segment.range.end > range.start;
        let segments = state.segments.iter().map(|(segment, _)| segment.clone());
        segments.filter(overlaps).collect()
    }

    fn begin(&self, range: Range<u64>, permit: Permit) -> (Arc<Segment>, AbortHandle) {
        let segment = Arc::new(Segment {
            range: range.clone(),
            content: Mutex::new(Content::OnItsWay),
            arrived: Condvar::new(),
            _permit: permit,
        });
        let arrival = Arrival(segment.clone());
        let (bucket, version) = (self.bucket.clone(), self.version.clone());
        let task = self.threads.spawn(async move {
            let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
            if bucket.fill(&version, range, &mut bytes).await.is_ok() {
                arrival.0.settle(Content::There(bytes));
            }
        });
        (segment, task.abort_handle())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.state().forget();
    }
}

impl State {
    /// Where the segments end.
    fn ends(&self) -> Option<u64> {
        self.segments.back().map(|(last, _)| last.range.end)
    }

    /// Is a read from here there already, or the next one of a reader that goes forward?
    fn goes_on_at(&self, offset: u64) -> bool {
        let there = self.segments.iter().any(|(segment, _)| segment.range.contains(&offset));
        there || self.end.is_some_and(|end| (end..=end + LEAP).contains(&offset))
    }

    /// The reader is elsewhere now, unless it is one of several that go forward together and only a little behind.
    fn turn_to(&mut self, range: &Range<u64>) {
        let little_behind = self.end.is_some_and(|end| range.start < end && range.end + LEAP >= end);
        if !little_behind {
            self.forget();
            self.end = Some(range.end);
        }
    }

    /// Drops what the readers have left behind; each segment that they read through lets them have more ahead.
    fn drop_before(&mut self, offset: u64) {
        while let Some((first, task)) = self.segments.front()
            && first.range.end <= offset
        {
            task.abort();
            self.segments.pop_front();
            self.depth = (self.depth * 2).clamp(2, DEEPEST);
        }
    }

    fn forget(&mut self) {
        for (_, task) in self.segments.drain(..) {
            task.abort();
        }
        self.depth = 0;
    }
}

/// Whoever waits for a segment is told, also when its task ends early.
struct Arrival(Arc<Segment>);

impl Drop for Arrival {
    fn drop(&mut self) {
        self.0.settle(Content::Failed);
    }
}

impl Segment {
    /// The first outcome counts.
    fn settle(&self, outcome: Content) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*content, Content::OnItsWay) {
            *content = outcome;
            self.arrived.notify_all();
        }
    }

    /// Waits for the segment and copies what it holds of the range; false when it did not come.
    fn copy(&self, range: &Range<u64>, buffer: &mut [u8]) -> bool {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |content: &mut Content| matches!(content, Content::OnItsWay);
        let content = self.arrived.wait_while(content, waiting);
        let Content::There(bytes) = &*content.unwrap_or_else(PoisonError::into_inner) else {
            return false;
        };
        let common = self.range.start.max(range.start)..self.range.end.min(range.end);
        let from = &bytes[(common.start - self.range.start) as usize..(common.end - self.range.start) as usize];
        buffer[(common.start - range.start) as usize..][..from.len()].copy_from_slice(from);
        true
    }
}
