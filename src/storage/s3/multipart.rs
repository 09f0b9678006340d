//! An object in parts, several under way at once. What is not completed is aborted.

use std::sync::Arc;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use tokio::task::JoinSet;

use super::S3Store;
use super::client::{Bucket, time_for};
use super::error::{Refusal, WRITE, refusal};
use super::get::panicked;
use super::payload::{Payload, SENDINGS, pause, worth_repeating};
use super::put::{Outcome, SHA256, WRITER, new_writer};
use crate::error::Result;

/// Bytes of a part (10,000 of them make 78 GiB; a pack is at most 512 MiB).
pub(super) const PART: usize = 8 << 20;
/// The server may take as long to join the parts as these bytes would take to carry.
const JOINING: usize = PART / 4;
/// Parts under way at the same time.
const PARALLEL: usize = 4;

/// Names an upload on the server.
#[derive(Clone)]
struct Id {
    key: String,
    id: String,
}

pub(super) struct Multipart {
    store: S3Store,
    upload: Arc<Id>,
    writer: String,
    under_way: JoinSet<Result<CompletedPart>>,
    done: Vec<CompletedPart>,
    sent: i32,
    /// There are no parts left to drop.
    ended: bool,
}

impl Multipart {
    pub(super) fn begin(store: S3Store, key: &str, sha256: Option<&str>) -> Result<Self> {
        let writer = new_writer();
        let id = store.wait(store.bucket().begin(key, sha256, &writer))?;
        Ok(Self {
            store,
            upload: Arc::new(Id {
                key: key.to_owned(),
                id,
            }),
            writer,
            under_way: JoinSet::new(),
            done: Vec::new(),
            sent: 0,
            ended: false,
        })
    }

    /// Sends a part, and waits only while too many are under way.
    pub(super) fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        while self.under_way.len() >= PARALLEL {
            self.wait_for_one()?;
        }
        self.sent += 1;
        let (bucket, upload, number) = (self.store.bucket().clone(), self.upload.clone(), self.sent);
        let send = async move { bucket.send_part(&upload, number, bytes).await };
        self.under_way.spawn_on(send, self.store.threads());
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<()> {
        if let Some(part) = self.store.wait(self.under_way.join_next()) {
            self.done.push(part.map_err(panicked)??);
        }
        Ok(())
    }

    /// Drops the parts.
    pub(super) fn abort(mut self) -> Result<()> {
        self.ended = true;
        self.drop_parts()
    }

    fn drop_parts(&mut self) -> Result<()> {
        self.store.wait(async {
            // A part that arrives after the abort would stay.
            self.under_way.shutdown().await;
            self.store.bucket().abort(&self.upload.key, &self.upload.id).await
        })
    }

    /// Waits for all parts and makes the object of them.
    pub(super) fn complete(mut self) -> Result<Outcome> {
        while !self.under_way.is_empty() {
            self.wait_for_one()?;
        }
        let mut parts = std::mem::take(&mut self.done);
        parts.sort_by_key(|part| part.part_number());
        let outcome = self
            .store
            .wait(self.store.bucket().complete(&self.upload, parts, &self.writer))?;
        self.ended = matches!(outcome, Outcome::Written(_));
        Ok(outcome)
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is left to tell; what stays is aborted with the old uploads.
            let _ = self.drop_parts();
        }
    }
}

impl Bucket {
    async fn begin(&self, key: &str, sha256: Option<&str>, writer: &str) -> Result<String> {
        let mut request = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(self.full(key));
        if let Some(sha256) = sha256 {
            request = request.metadata(SHA256, sha256);
        }
        let begun = request.metadata(WRITER, writer).send().await;
        let begun = begun.map_err(|error| self.error(WRITE, key, error))?;
        Ok(begun.upload_id.unwrap_or_default())
    }

    async fn send_part(&self, upload: &Id, number: i32, bytes: Vec<u8>) -> Result<CompletedPart> {
        let payload = Payload::new(bytes);
        let mut sendings = 0;
        loop {
            sendings += 1;
            let request = self.client.upload_part().bucket(&self.name).key(self.full(&upload.key));
            let request = request.upload_id(&upload.id).part_number(number);
            let request = request.content_md5(&payload.md5).body(payload.stream());
            match request.customize().config_override(payload.limits()).send().await {
                Ok(part) => {
                    let part = CompletedPart::builder().set_e_tag(part.e_tag).part_number(number);
                    return Ok(part.build());
                }
                Err(error)
                    if sendings < SENDINGS && refusal(&error).is_some_and(|refusal| worth_repeating(&refusal)) =>
                {
                    pause(sendings).await;
                }
                Err(error) => return Err(self.error(WRITE, &upload.key, error)),
            }
        }
    }

    /// Makes the object, unless there is one: the condition is not atomic on every server, and unknown to some.
    async fn complete(&self, upload: &Id, parts: Vec<CompletedPart>, writer: &str) -> Result<Outcome> {
        if self.head(&upload.key).await?.is_some() {
            return Ok(Outcome::Refused);
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let mut condition = Some("*".to_owned());
        loop {
            let request = self
                .client
                .complete_multipart_upload()
                .bucket(&self.name)
                .key(self.full(&upload.key));
            let request = request.upload_id(&upload.id).multipart_upload(parts.clone());
            let request = request.set_if_none_match(condition.clone());
            let error = match request.customize().config_override(time_for(JOINING)).send().await {
                Ok(answer) => return Ok(Outcome::Written(self.tag(&upload.key, answer.e_tag())?)),
                Err(error) => error,
            };
            let refusal = refusal(&error);
            if condition.is_some() && refusal.as_ref().is_some_and(Refusal::is_unknown_condition) {
                condition = None;
                continue;
            }
            if error.raw_response().is_none() {
                return Err(self.error(WRITE, &upload.key, error));
            }
            // A repeated request may meet what the first one did, and not every provider's answer can be read.
            return match self.ours_or_refused(&upload.key, writer).await? {
                Outcome::Refused if !refusal.is_some_and(|refusal| refusal.is_condition()) => {
                    Err(self.error(WRITE, &upload.key, error))
                }
                outcome => Ok(outcome),
            };
        }
    }
}
