//! The lease: whose turn it is to delete. An object that is taken with a conditional write,
//! renewed while it is held, and taken over when its holder has been silent for too long.
//!
//! The holder must never act on a lease that somebody else may have taken over. So it stops long
//! before that ([`USABLE`]), by its own clock from before its last renewal was sent, while the
//! others wait a whole [`TTL`], by theirs from after they saw that renewal. The time between is for
//! a request that was sent at the last moment: the store gives one up, with all its repetitions,
//! in little more than half a minute. An answer that never came leaves the lease to expire, because
//! the request itself may still be on its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use uuid::Uuid;

use super::note::{Note, Watch};
use super::{Seen, SharedStore};
use crate::error::{Code, Error, Result, fail};

pub(super) const KEY: &str = "lease.json";
/// Silence after which others take the lease over. Shorter than the default `lockTimeoutMs`: a
/// single call outwaits a holder that was killed.
const TTL: Duration = Duration::from_secs(55);
/// Parts of the TTL: pause between renewals, and how long after one the holder still acts.
const RENEWAL: u32 = 12;
const USABLE: u32 = 5;
/// How often a waiting host looks again.
const POLL: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });
/// How many answers may be lost in a row.
const LOST_ANSWERS: u32 = 3;

/// A moment by two clocks. One stands still while the machine sleeps, the other one can be set
/// back: what is young is so by both.
struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn age(&self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// The lease, held until dropped.
pub(crate) struct Lease<S: SharedStore> {
    held: Arc<Held<S>>,
    /// A request that removes something got no answer: it may still arrive.
    in_doubt: AtomicBool,
    /// Dropping it ends the thread that renews.
    stop: Option<Sender<()>>,
    renewer: Option<JoinHandle<()>>,
}

struct Held<S: SharedStore> {
    store: S,
    me: Uuid,
    ttl: Duration,
    state: Mutex<State<S::Tag>>,
}

struct State<T> {
    note: Note,
    tag: T,
    /// From before the last renewal was sent: the server cannot have written it earlier.
    renewed: Moment,
    is_lost: bool,
}

impl<S: SharedStore> Lease<S> {
    /// Waits for the lease until `timeout`, then `REPOSITORY_BUSY` names the holder; or until `alive` fails.
    pub(crate) fn acquire(
        store: &S,
        operation: &str,
        timeout: Duration,
        alive: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        Self::acquire_for(TTL, store, operation, timeout, alive)
    }

    /// As [`Lease::acquire`]; `None` where the provider has no leases, so that nobody deletes there.
    pub(crate) fn acquire_if_any(
        store: &S,
        operation: &str,
        timeout: Duration,
        alive: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Self>> {
        match Self::acquire(store, operation, timeout, alive) {
            Err(error) if error.code == Code::S3Unsupported => Ok(None),
            other => other.map(Some),
        }
    }

    /// With another TTL than everybody's, for tests.
    fn acquire_for(
        ttl: Duration,
        store: &S,
        operation: &str,
        timeout: Duration,
        alive: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        require_conditional_writes(store)?;
        let me = Uuid::new_v4();
        let note = Note::new(me, operation, ttl);
        let bytes = note.encode()?;
        let (begun, mut watch) = (Instant::now(), Watch::new(ttl));
        loop {
            alive()?;
            let asked = Moment::now();
            let found = store.get(KEY)?;
            let holder = match &found {
                Some(found) => Note::decode(&found.bytes)?,
                None => None,
            };
            let taken = match &found {
                None => store.put_new(KEY, &bytes)?,
                Some(found) if watch.may_take(&found.tag, holder.as_ref()) => {
                    store.put_over(KEY, &bytes, &found.tag)?
                }
                Some(_) => None,
            };
            if let Some(tag) = taken {
                return Ok(Self::hold(store.clone(), me, ttl, note, tag, asked));
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let holder = holder.map_or_else(|| "another host".to_owned(), |note| note.to_string());
                fail!(
                    RepositoryBusy,
                    "the lease {} is held by {holder}; gave up after {} ms, nothing was deleted. When its holder is gone, it expires within {} s",
                    store.locate(KEY),
                    timeout.as_millis(),
                    TTL.as_secs()
                );
            }
            std::thread::sleep(POLL.min(left));
        }
    }

    fn hold(store: S, me: Uuid, ttl: Duration, note: Note, tag: S::Tag, asked: Moment) -> Self {
        let state = Mutex::new(State {
            note,
            tag,
            renewed: asked,
            is_lost: false,
        });
        let held = Arc::new(Held { store, me, ttl, state });
        let (stop, stopped) = channel();
        let renewer = std::thread::spawn({
            let held = Arc::clone(&held);
            move || {
                while stopped.recv_timeout(ttl / RENEWAL) == Err(RecvTimeoutError::Timeout) {
                    // Whoever relies on the lease asks for it, and hears then what is wrong.
                    let _ = held.renew(&mut held.state());
                }
            }
        });
        Self {
            held,
            in_doubt: AtomicBool::new(false),
            stop: Some(stop),
            renewer: Some(renewer),
        }
    }

    pub(super) fn store(&self) -> &S {
        &self.held.store
    }

    /// Fails unless the lease is ours for long enough to send a request and have it carried out.
    pub(crate) fn check(&self) -> Result<()> {
        let mut state = self.held.state();
        let usable = self.held.ttl / USABLE;
        if state.is_lost || state.renewed.age() >= usable {
            self.held.renew(&mut state)?;
        }
        if state.renewed.age() >= usable {
            fail!(
                RepositoryBusy,
                "the lease in the bucket cannot be renewed in time; what was not deleted yet is left to the next deletion"
            );
        }
        Ok(())
    }

    /// Removes an object that only the holder of the lease may remove.
    pub(super) fn remove(&self, key: &str) -> Result<()> {
        self.check()?;
        self.store()
            .remove(key)
            .inspect_err(|_| self.in_doubt.store(true, Ordering::Relaxed))
    }

    /// The server's time.
    pub(super) fn now(&self) -> Result<Timestamp> {
        let mut state = self.held.state();
        self.held.renew(&mut state)?;
        match self.held.find_ours()? {
            Some(found) => Ok(found.modified),
            None => Err(state.lose()),
        }
    }
}

impl<S: SharedStore> Drop for Lease<S> {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(renewer) = self.renewer.take() {
            let _ = renewer.join();
        }
        let mut state = self.held.state();
        if state.is_lost || self.in_doubt.load(Ordering::Relaxed) {
            return;
        }
        state.note.holder = None;
        // When this fails, the others wait until it expires.
        let _ = self.held.replace(&mut state);
    }
}

impl<S: SharedStore> Held<S> {
    fn state(&self) -> MutexGuard<'_, State<S::Tag>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self, state: &mut State<S::Tag>) -> Result<()> {
        if state.is_lost {
            return Err(state.lose());
        }
        let asked = Moment::now();
        state.note.renewals += 1;
        self.replace(state)?;
        state.renewed = asked;
        Ok(())
    }

    /// Writes the note over the version that we know to be ours.
    fn replace(&self, state: &mut State<S::Tag>) -> Result<()> {
        let bytes = state.note.encode()?;
        for _ in 0..=LOST_ANSWERS {
            if let Some(tag) = self.store.put_over(KEY, &bytes, &state.tag)? {
                state.tag = tag;
                return Ok(());
            }
            // It is another version: somebody else's, or one of ours whose answer was lost.
            match self.find_ours()? {
                Some(found) => state.tag = found.tag,
                None => return Err(state.lose()),
            }
        }
        fail!(RepositoryBusy, "the lease in the bucket cannot be renewed")
    }

    fn find_ours(&self) -> Result<Option<Seen<S::Tag>>> {
        let found = self.store.get(KEY)?;
        Ok(found.filter(|found| matches!(Note::decode(&found.bytes), Ok(Some(note)) if note.holder == Some(self.me))))
    }
}

impl<T> State<T> {
    fn lose(&mut self) -> Error {
        self.is_lost = true;
        Error::new(
            Code::RepositoryBusy,
            "the lease in the bucket was lost: another host took it over because this one was silent for too long. What was not deleted yet is left to the next deletion",
        )
    }
}

/// Fails where no lease can be had.
pub(crate) fn require_conditional_writes(store: &impl SharedStore) -> Result<()> {
    store.check_conditional_writes().map_err(|error| match error.code {
        Code::S3Unsupported => Error::new(
            Code::S3Unsupported,
            "this S3 provider lacks conditional writes, without which hosts cannot take turns to delete; nothing was deleted. Use a provider that has them, or let the bucket's own lifecycle rules delete",
        )
        .because(error),
        _ => error,
    })
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
