//! For tests: a bucket in memory, whose hosts take turns as the test says.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};

use super::lease::KEY;
use super::{Seen, SharedStore};
use crate::error::{Result, fail};
use crate::storage::{Object, Reader, Staged, Store};

/// A bucket in memory, as one of several hosts sees it. A listing shows one object a request, so
/// that it is no more of one instant than a long listing of a server.
#[derive(Clone)]
pub(super) struct Memory {
    world: Arc<World>,
    host: usize,
}

struct World {
    state: Mutex<State>,
    turned: Condvar,
}

struct State {
    objects: BTreeMap<String, (u64, Timestamp, Arc<[u8]>)>,
    versions: u64,
    /// How far the server's clock is ahead of ours.
    ahead: SignedDuration,
    has_conditions: bool,
    aborted_before: Option<Timestamp>,
    /// Whose turn it is, and after how many requests in all it is another one's.
    turn: usize,
    requests: usize,
    switches: BTreeSet<usize>,
    at_work: Vec<bool>,
    /// The version of the lease that each host read last.
    polled: Vec<u64>,
}

impl State {
    fn write(&mut self, key: &str, bytes: &[u8]) -> u64 {
        self.versions += 1;
        let now = Timestamp::now() + self.ahead;
        self.objects.insert(key.to_owned(), (self.versions, now, bytes.into()));
        self.versions
    }

    fn pass_turn(&mut self) {
        let hosts = self.at_work.len();
        let others = (1..=hosts).map(|step| (self.turn + step) % hosts);
        if let Some(next) = others.into_iter().find(|host| self.at_work[*host]) {
            self.turn = next;
        }
    }
}

impl Memory {
    /// A bucket with one host.
    pub(super) fn new() -> Self {
        let state = State {
            objects: BTreeMap::new(),
            versions: 0,
            ahead: SignedDuration::ZERO,
            has_conditions: true,
            aborted_before: None,
            turn: 0,
            requests: 0,
            switches: BTreeSet::new(),
            at_work: vec![true],
            polled: vec![0],
        };
        Self {
            world: Arc::new(World {
                state: Mutex::new(state),
                turned: Condvar::new(),
            }),
            host: 0,
        }
    }

    /// A bucket that holds the same, for another try.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::new();
        copy.state().objects.clone_from(&self.state().objects);
        copy.state().versions = self.state().versions;
        copy
    }

    pub(super) fn without_conditions(self) -> Self {
        self.state().has_conditions = false;
        self
    }

    pub(super) fn advance_clock(&self, by: SignedDuration) {
        self.state().ahead += by;
    }

    pub(super) fn aborted_before(&self) -> Option<Timestamp> {
        self.state().aborted_before
    }

    pub(super) fn tamper(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.state().objects[key].2.to_vec();
        change(&mut bytes);
        self.state().write(key, &bytes);
    }

    /// Lets hosts work at once, one request at a time: host 0 begins, and after each of these
    /// numbers of requests the next one has its turn. Returns how many requests there were.
    pub(super) fn interleave(&self, switches: &[usize], hosts: &[&(dyn Fn(Self) + Sync)]) -> usize {
        {
            let mut state = self.state();
            (state.turn, state.requests) = (0, 0);
            state.switches = switches.iter().copied().collect();
            state.at_work = vec![true; hosts.len()];
            state.polled = vec![0; hosts.len()];
        }
        std::thread::scope(|scope| {
            for (host, work) in hosts.iter().enumerate() {
                let memory = Self {
                    world: Arc::clone(&self.world),
                    host,
                };
                scope.spawn(move || {
                    // Passes the turn on when the work panics, too.
                    let _done = Done(memory.clone());
                    work(memory);
                });
            }
        });
        let mut state = self.state();
        (state.turn, state.at_work, state.polled) = (0, vec![true], vec![0]);
        state.requests
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.world.state.lock().unwrap()
    }

    /// One request, when it is our turn.
    fn request<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        while state.turn != self.host {
            state = self.world.turned.wait(state).unwrap();
        }
        let result = work(&mut state);
        state.requests += 1;
        let requests = state.requests;
        if state.switches.remove(&requests) {
            state.pass_turn();
            self.world.turned.notify_all();
        }
        result
    }

    /// Who reads the same lease again is waiting for it, and the others go on meanwhile.
    fn polled(&self, lease: u64) {
        let mut state = self.state();
        let is_waiting = std::mem::replace(&mut state.polled[self.host], lease) == lease;
        if is_waiting && state.turn == self.host {
            state.pass_turn();
            self.world.turned.notify_all();
        }
    }
}

struct Done(Memory);

impl Drop for Done {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.at_work[self.0.host] = false;
        if state.turn == self.0.host {
            state.pass_turn();
        }
        self.0.world.turned.notify_all();
    }
}

impl SharedStore for Memory {
    type Tag = u64;

    fn get(&self, key: &str) -> Result<Option<Seen<u64>>> {
        let found = self.request(|state| state.objects.get(key).cloned());
        if let (KEY, Some((tag, ..))) = (key, &found) {
            self.polled(*tag);
        }
        Ok(found.map(|(tag, modified, bytes)| Seen {
            bytes: bytes.to_vec(),
            tag,
            modified,
        }))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.request(|state| state.write(key, bytes));
        Ok(())
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<Option<u64>> {
        Ok(self.request(|state| (!state.objects.contains_key(key)).then(|| state.write(key, bytes))))
    }

    fn put_over(&self, key: &str, bytes: &[u8], tag: &u64) -> Result<Option<u64>> {
        Ok(self.request(|state| {
            let is_same = state.objects.get(key).is_some_and(|(found, ..)| found == tag);
            is_same.then(|| state.write(key, bytes))
        }))
    }

    fn check_conditional_writes(&self) -> Result<()> {
        if self.request(|state| state.has_conditions) {
            Ok(())
        } else {
            fail!(S3Unsupported, "no conditions here")
        }
    }

    fn abort_uploads_begun_before(&self, moment: Timestamp) -> Result<usize> {
        self.request(|state| state.aborted_before = Some(moment));
        Ok(0)
    }
}

impl Store for Memory {
    fn stage(&self, key: &str) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedBytes {
            memory: self.clone(),
            key: key.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        match self.request(|state| state.objects.get(key).cloned()) {
            Some((.., bytes)) => Ok(Box::new(Bytes(bytes))),
            None => fail!(SnapshotDamaged, "{key} is missing"),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut listed: Vec<Object> = Vec::new();
        loop {
            let last = listed.last().map(|object| object.key.clone());
            let next = self.request(|state| {
                let mut rest = state.objects.iter().filter(|(key, _)| key.starts_with(prefix));
                let next = rest.find(|(key, _)| Some(*key) > last.as_ref())?;
                let (key, (_, modified, bytes)) = next;
                Some(Object {
                    key: key.clone(),
                    size: bytes.len() as u64,
                    modified: *modified,
                })
            });
            match next {
                Some(object) => listed.push(object),
                None => return Ok(listed),
            }
        }
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.request(|state| state.objects.remove(key));
        Ok(())
    }

    fn locate(&self, key: &str) -> String {
        key.to_owned()
    }
}

struct StagedBytes {
    memory: Memory,
    key: String,
    bytes: Vec<u8>,
}

impl Write for StagedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Staged for StagedBytes {
    fn publish(self: Box<Self>) -> Result<()> {
        match self.memory.put_new(&self.key, &self.bytes)? {
            Some(_) => Ok(()),
            None => fail!(SnapshotExists, "{} exists", self.key),
        }
    }
}

struct Bytes(Arc<[u8]>);

impl Reader for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let range = offset as usize..offset as usize + buffer.len();
        match self.0.get(range) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => fail!(SnapshotDamaged, "the object ends before"),
        }
        Ok(())
    }
}
