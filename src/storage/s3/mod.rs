//! Objects in a bucket.
//!
//! [`client`] makes the SDK's client, [`error`] turns its errors into ours. Objects come in through [`upload`],
//! small ones that hosts change through [`small`]; they are read through [`reader`].

mod client;
mod error;
mod get;
mod kept;
mod listing;
mod multipart;
mod payload;
mod probe;
mod put;
mod reader;
mod small;
mod upload;
mod window;

#[cfg(test)]
pub(super) mod tests;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use tokio::runtime::{Builder, Handle, Runtime};

use super::{Object, Reader, Staged, Store};
use crate::config::S3Config;
use crate::error::{Code, Error, Result};
use client::Bucket;
use window::Budget;

pub(crate) use small::Tag;

/// Threads that move bytes. The callers' threads wait, hash and compress.
const THREADS: usize = 2;

/// A store below a prefix of a bucket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct S3Store(Arc<Inner>);

struct Inner {
    config: S3Config,
    scratch: PathBuf,
    runtime: Threads,
    /// Made by the first request: looking for a region may itself need the network.
    bucket: OnceLock<Arc<Bucket>>,
    budget: Arc<Budget>,
}

impl S3Store {
    /// Makes the client; sends nothing. What [`Reader::fetch`] keeps goes into files without a name in `scratch`.
    pub(crate) fn new(config: &S3Config, scratch: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            scratch: scratch.to_owned(),
            runtime: Threads::start()?,
            bucket: OnceLock::new(),
            budget: Arc::default(),
        })))
    }

    /// The SHA-256 that was stored beside an object (metadata `sha256`); `None` when there is none.
    pub(crate) fn sha256(&self, key: &str) -> Result<Option<String>> {
        let head = self.wait(self.bucket().head(key))?;
        Ok(head.and_then(|head| head.sha256))
    }

    /// Aborts uploads that were begun before a moment and never finished; returns how many.
    pub(crate) fn abort_uploads_begun_before(&self, moment: Timestamp) -> Result<usize> {
        self.wait(self.bucket().abort_uploads_begun_before(moment))
    }

    fn bucket(&self) -> &Arc<Bucket> {
        let connect = || Arc::new(self.wait(Bucket::connect(&self.0.config, client::sources())));
        self.0.bucket.get_or_init(connect)
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.runtime.get().block_on(work)
    }

    fn threads(&self) -> &Handle {
        self.0.runtime.get().handle()
    }
}

impl Store for S3Store {
    fn stage(&self, key: &str) -> Result<Box<dyn Staged>> {
        Ok(Box::new(upload::Upload::new(self.clone(), key)))
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::ObjectReader::open(self.clone(), key)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.wait(self.bucket().list(prefix))
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.wait(self.bucket().delete(key))
    }

    /// A wire that corrupts may not do it twice.
    fn second(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.clone()))
    }

    fn locate(&self, key: &str) -> String {
        format!("{}{key}", self.0.config.prefix)
    }
}

/// The runtime. Its end waits for nobody: a name server that does not answer would hold up the caller.
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::Internal, "cannot start the threads that speak to S3").because(error))?;
        Ok(Self(Some(runtime)))
    }

    fn get(&self) -> &Runtime {
        self.0.as_ref().expect("the runtime is taken when it ends")
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
