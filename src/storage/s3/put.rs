//! One object in one request, and what a server tells about an object.

use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use jiff::Timestamp;
use md5::{Digest, Md5};
use uuid::Uuid;

use super::client::{Bucket, patient};
use super::error::{DELETE, READ, Refusal, WRITE, refusal};
use super::listing::timestamp;
use super::small::Tag;
use crate::error::{Code, Error, Result};

/// How often a request is sent whose bytes the wire changed, or that met another write of its object.
pub(super) const SENDINGS: u32 = 4;
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
        bytes: Vec<u8>,
        condition: Condition<'_>,
        sha256: Option<&str>,
    ) -> Result<Outcome> {
        let writer = new_writer();
        let md5 = md5(&bytes);
        let body = SdkBody::from(bytes);
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
                .body(again(&body))
                .content_md5(&md5)
                .metadata(WRITER, &writer)
                .customize()
                .config_override(patient())
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

/// The same bytes once more.
pub(super) fn again(body: &SdkBody) -> ByteStream {
    ByteStream::new(
        body.try_clone()
            .expect("bytes in memory can be sent any number of times"),
    )
}

/// The wire changed the bytes, or two writes met.
pub(super) fn worth_repeating(refusal: &Refusal) -> bool {
    refusal.is_corruption() || refusal.is_collision()
}

pub(super) async fn pause(times: u32) {
    tokio::time::sleep(Duration::from_millis(100 << times.min(5))).await;
}

/// `Content-MD5` of these bytes: the one checksum that every provider verifies.
pub(super) fn md5(bytes: &[u8]) -> String {
    base64(&Md5::digest(bytes))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(*three.get(i).unwrap_or(&0)));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= three.len() {
                DIGITS[value as usize].into()
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_as_the_header_wants_them() {
        assert_eq!(md5(b"abc"), "kAFQmDzST7DWlj99KOF/cg==");
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
