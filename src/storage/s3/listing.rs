//! Listings: of objects, and of uploads that nobody finished.

use aws_sdk_s3::primitives::DateTime;
use jiff::Timestamp;

use super::client::Bucket;
use super::error::{ABORT, LIST, LIST_UPLOADS, refusal};
use crate::error::Result;
use crate::storage::Object;

/// An upload that was begun and neither finished nor aborted.
pub(super) struct Unfinished {
    key: String,
    id: String,
    begun: Timestamp,
}

impl Bucket {
    /// Every object below a prefix, in the order of the keys' bytes.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(self.full(prefix));
        let mut pages = request.into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(LIST, prefix, error))?;
            objects.extend(page.contents().iter().filter_map(|object| {
                let key = object.key()?.strip_prefix(&self.prefix)?;
                // Consoles make such objects to show a folder.
                let is_folder = key.is_empty() || key.ends_with('/');
                (!is_folder).then(|| Object {
                    key: key.to_owned(),
                    size: object.size().unwrap_or_default().try_into().unwrap_or_default(),
                    modified: timestamp(object.last_modified()),
                })
            }));
        }
        // Not every provider sorts by bytes.
        objects.sort();
        Ok(objects)
    }

    pub(super) async fn abort_uploads_begun_before(&self, moment: Timestamp) -> Result<usize> {
        let mut aborted = 0;
        for upload in self.unfinished().await?.unwrap_or_default() {
            if upload.begun < moment {
                self.abort(&upload.key, &upload.id).await?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }

    /// Every unfinished upload below the prefix; `None` where the provider cannot list them.
    pub(super) async fn unfinished(&self) -> Result<Option<Vec<Unfinished>>> {
        let mut uploads = Vec::new();
        let mut after = (None, None);
        loop {
            let (key, id) = after.clone();
            let request = self.client.list_multipart_uploads().bucket(&self.name);
            let request = request.prefix(&self.prefix).set_key_marker(key);
            let page = match request.set_upload_id_marker(id).send().await {
                Ok(page) => page,
                Err(error) if refusal(&error).is_some_and(|refusal| refusal.status == 501) => return Ok(None),
                Err(error) => return Err(self.error(LIST_UPLOADS, "", error)),
            };
            uploads.extend(page.uploads().iter().filter_map(|upload| {
                Some(Unfinished {
                    key: upload.key()?.strip_prefix(&self.prefix)?.to_owned(),
                    id: upload.upload_id()?.to_owned(),
                    begun: timestamp(upload.initiated()),
                })
            }));
            let next = (page.next_key_marker, page.next_upload_id_marker);
            // A provider that gives one page again and again must not hold us up.
            if page.is_truncated != Some(true) || next.0.is_none() || next == after {
                return Ok(Some(uploads));
            }
            after = next;
        }
    }

    /// Ends an upload and drops its parts; one that is gone is no error.
    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.name);
        match request.key(self.full(key)).upload_id(id).send().await {
            Ok(_) => Ok(()),
            Err(error) if refusal(&error).is_some_and(|refusal| refusal.code == "NoSuchUpload") => Ok(()),
            Err(error) => Err(self.error(ABORT, key, error)),
        }
    }
}

/// A moment of the server's clock; one that it does not tell is long ago.
pub(super) fn timestamp(moment: Option<&DateTime>) -> Timestamp {
    moment
        .and_then(|moment| Timestamp::new(moment.secs(), moment.subsec_nanos().try_into().ok()?).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
