//! One object in one request, and what a server tells about an object.

use jiff::Timestamp;
use uuid::Uuid;

use super::client::Bucket;
use super::error::{DELETE, READ, Refusal, WRITE, refusal};
use super::listing::timestamp;
use super::payload::{Payload, SENDINGS, pause, worth_repeating};
use super::small::Tag;
use crate::error::{Code, Error, Result};

/// Metadata: SHA-256 of the whole object, lower-case hex.
pub(super) const SHA256: &str = "sha256";
/// Metadata: who wrote this object. When an answer is lost the SDK repeats the request, and a conditional one is
/// then refused because of the object that the first one wrote; this tells it from somebody else's.
pub(super) const WRITER: &str = "writer";

/// What has to hold for a write.
#[derive(Clone, Copy)]
pub(super) enum Condition<'a> {
    None,
    /// There is no such object.
    New,
    /// It is still this version.
    Over(&'a Tag),
}

/// What became of a write.
pub(super) enum Outcome {
    Written(Tag),
    /// The condition does not hold.
    Refused,
    /// The provider does not know conditions; nothing was written.
    NoConditions,
}

/// What a server tells about an object without its bytes.
pub(super) struct Head {
    pub(super) tag: Tag,
    pub(super) modified: Timestamp,
    pub(super) sha256: Option<String>,
    pub(super) writer: Option<String>,
}

impl Bucket {
    /// Writes an object in one request, if the condition holds.
    pub(super) async fn put(
        &self,
        key: &str,
        payload: &Payload,
        condition: Condition<'_>,
        sha256: Option<&str>,
    ) -> Result<Outcome> {
        let writer = new_writer();
        let mut sendings = 0;
        loop {
            sendings += 1;
            let mut request = self.client.put_object().bucket(&self.name).key(self.full(key));
            request = match condition {
                Condition::None => request,
                Condition::New => request.if_none_match("*"),
                Condition::Over(tag) => request.if_match(&tag.0),
            };
            if let Some(sha256) = sha256 {
                request = request.metadata(SHA256, sha256);
            }
            let sent = request
                .body(payload.stream())
                .content_md5(&payload.md5)
                .metadata(WRITER, &writer)
                .customize()
                .config_override(payload.limits())
                .send()
                .await;
            let error = match sent {
                Ok(answer) => return Ok(Outcome::Written(self.tag(key, answer.e_tag())?)),
                Err(error) => error,
            };
            match refusal(&error) {
                Some(refusal) if worth_repeating(&refusal) && sendings < SENDINGS => pause(sendings).await,
                Some(refusal) if condition.is_met_by(&refusal) => return self.ours_or_refused(key, &writer).await,
                Some(refusal) if condition.is_some() && refusal.is_unknown_condition() => {
                    return Ok(Outcome::NoConditions);
                }
                _ => return Err(self.error(WRITE, key, error)),
            }
        }
    }

    /// A condition did not hold: because of our own write, or of somebody else's?
    pub(super) async fn ours_or_refused(&self, key: &str, writer: &str) -> Result<Outcome> {
        Ok(match self.head(key).await? {
            Some(head) if head.writer.as_deref() == Some(writer) => Outcome::Written(head.tag),
            _ => Outcome::Refused,
        })
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<Head>> {
        let request = self.client.head_object().bucket(&self.name).key(self.full(key));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if refusal(&error).is_some_and(|refusal| refusal.is_missing_object()) => return Ok(None),
            Err(error) => return Err(self.error(READ, key, error)),
        };
        let metadata = |name: &str| answer.metadata().and_then(|all| all.get(name)).cloned();
        Ok(Some(Head {
            tag: self.tag(key, answer.e_tag())?,
            modified: timestamp(answer.last_modified()),
            sha256: metadata(SHA256),
            writer: metadata(WRITER),
        }))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let request = self.client.delete_object().bucket(&self.name).key(self.full(key));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refusal(&error).is_some_and(|refusal| refusal.is_missing_object()) => Ok(()),
            Err(error) => Err(self.error(DELETE, key, error)),
        }
    }

    pub(super) fn tag(&self, key: &str, tag: Option<&str>) -> Result<Tag> {
        tag.map(|tag| Tag(tag.to_owned())).ok_or_else(|| {
            Error::new(
                Code::S3Failed,
                format!(
                    "{} gave no ETag for {}; it is no complete S3",
                    self.place(),
                    self.full(key)
                ),
            )
        })
    }
}

impl Condition<'_> {
    fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Does the refusal say that this condition does not hold?
    fn is_met_by(self, refusal: &Refusal) -> bool {
        match self {
            Self::None => false,
            Self::New => refusal.is_condition(),
            // What is gone is another version, too.
            Self::Over(_) => refusal.is_condition() || refusal.is_missing_object(),
        }
    }
}

/// A name that nobody else has.
pub(super) fn new_writer() -> String {
    Uuid::new_v4().to_string()
}
