//! An object being written: small ones in one request, others in parts while they are written.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::S3Store;
use super::multipart::{Multipart, PART};
use super::payload::Payload;
use super::put::{Condition, Outcome};
use crate::error::{Result, fail};
use crate::storage::Staged;

pub(super) struct Upload {
    store: S3Store,
    key: String,
    /// What is not sent yet, up to one part.
    buffer: Vec<u8>,
    sha256: Sha256,
    expected: Option<String>,
    /// Once the object is larger than one part.
    parts: Option<Multipart>,
    /// A part could not be sent: what comes after it makes no object.
    failed: bool,
}

impl Upload {
    pub(super) fn new(store: S3Store, key: &str) -> Self {
        Self {
            store,
            key: key.to_owned(),
            buffer: Vec::new(),
            sha256: Sha256::new(),
            expected: None,
            parts: None,
            failed: false,
        }
    }

    fn send_part(&mut self) -> Result<()> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(Multipart::begin(
                self.store.clone(),
                &self.key,
                self.expected.as_deref(),
            )?),
        };
        parts.send(std::mem::replace(&mut self.buffer, Vec::with_capacity(PART)))
    }

    fn refuse_unless_expected(&self, sha256: &str) -> Result<()> {
        if let Some(expected) = &self.expected
            && expected != sha256
        {
            fail!(
                SnapshotDamaged,
                "what was to become {} is not what it was: its SHA-256 is {sha256}, not {expected}; nothing was stored",
                self.store.bucket().full(&self.key)
            );
        }
        Ok(())
    }

    fn publish_at_once(&mut self, sha256: &str) -> Result<Outcome> {
        let payload = Payload::new(std::mem::take(&mut self.buffer));
        let (bucket, key) = (self.store.bucket(), &self.key);
        self.store.wait(async {
            let put = |condition| bucket.put(key, &payload, condition, Some(sha256));
            match put(Condition::New).await? {
                Outcome::NoConditions if bucket.head(key).await?.is_some() => Ok(Outcome::Refused),
                Outcome::NoConditions => put(Condition::None).await,
                outcome => Ok(outcome),
            }
        })
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Only a byte more makes it more than one part.
        if self.buffer.len() == PART && !bytes.is_empty() {
            self.send_part().map_err(|error| {
                self.failed = true;
                io::Error::other(error)
            })?;
        }
        let taken = &bytes[..bytes.len().min(PART - self.buffer.len())];
        self.buffer.extend_from_slice(taken);
        self.sha256.update(taken);
        Ok(taken.len())
    }

    /// Nothing is to be had from a server before the object is complete.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for Upload {
    fn expect(&mut self, sha256: &str) {
        self.expected = Some(sha256.to_owned());
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        if self.failed {
            fail!(Internal, "an object that could not be written was to be published");
        }
        let sha256 = hex(&std::mem::take(&mut self.sha256).finalize());
        self.refuse_unless_expected(&sha256)?;
        let outcome = match self.parts.take() {
            None => self.publish_at_once(&sha256)?,
            Some(mut parts) => {
                parts.send(std::mem::take(&mut self.buffer))?;
                parts.complete()?
            }
        };
        if !matches!(outcome, Outcome::Written(_)) {
            fail!(
                SnapshotExists,
                "{} exists in the bucket {}; it was left as it is",
                self.store.bucket().full(&self.key),
                self.store.bucket().name
            );
        }
        Ok(())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
