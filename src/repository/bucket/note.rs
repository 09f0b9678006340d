//! What the lease's object says, and what those who wait for the lease make of it.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Code, Error, Result, fail};

const VERSION: u16 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    version: u16,
    /// `None`: free.
    pub(super) holder: Option<Uuid>,
    /// Grows, so that every renewal makes another version of the object.
    pub(super) renewals: u64,
    /// Silence after which others may take the lease over.
    ttl_ms: u64,
    operation: String,
    process: Process,
    /// By the holder's clock, for messages only.
    since: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Process {
    pid: u32,
    host: String,
}

impl Note {
    pub(super) fn new(holder: Uuid, operation: &str, ttl: Duration) -> Self {
        Self {
            version: VERSION,
            holder: Some(holder),
            renewals: 0,
            ttl_ms: ttl.as_millis() as u64,
            operation: operation.to_owned(),
            process: Process {
                pid: std::process::id(),
                host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            },
            since: Timestamp::now(),
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(Code::Internal, "cannot encode the lease").because(error))
    }

    /// `None`: nothing that this package writes. Somebody unknown holds it then, and expires.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>> {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else {
            return Ok(None);
        };
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version.is_some_and(|version| version > u64::from(VERSION)) {
            fail!(
                RepositoryNewer,
                "the lease in the bucket was written by a later version of snapshot-writer; nothing was deleted: upgrade this one"
            );
        }
        Ok(serde_json::from_value(value).ok())
    }
}

/// The holder, for those who wait in vain.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { pid, host } = &self.process;
        write!(
            f,
            "{} of process {pid} on {host} since {:.0}",
            self.operation, self.since
        )
    }
}

/// What a waiting host has seen of the holder.
pub(super) struct Watch<T> {
    /// For a holder that does not tell its own.
    ttl: Duration,
    last: Option<(T, Instant)>,
}

impl<T: Clone + PartialEq> Watch<T> {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, last: None }
    }

    /// Whether the lease is free or has been silent for too long. Ask it after the answer came,
    /// not before the question was sent: the holder may have written this version in between.
    pub(super) fn may_take(&mut self, tag: &T, note: Option<&Note>) -> bool {
        if note.is_some_and(|note| note.holder.is_none()) {
            return true;
        }
        let ttl = note.map_or(self.ttl, |note| Duration::from_millis(note.ttl_ms));
        match &self.last {
            Some((known, since)) if known == tag => since.elapsed() >= ttl,
            _ => {
                self.last = Some((tag.clone(), Instant::now()));
                false
            }
        }
    }
}
