//! Ranges of an object, to their last byte: an answer that breaks off is resumed where it broke.

use std::ops::Range;
use std::sync::Arc;

use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::client::Bucket;
use super::error::{READ, refusal, story};
use super::listing::timestamp;
use super::payload::pause;
use super::small::{Small, Tag};
use crate::error::{Code, Error, Result, fail};

/// What the first request for an object asks for: a manifest's head, or a pack's header.
pub(super) const START: u64 = 64 << 10;
/// Longest range that is asked for at once.
const LONGEST: u64 = 2 << 20;
/// Requests for ranges that are under way at the same time, for one caller.
const PARALLEL: usize = 8;
/// How often one range is resumed.
const RESUMES: u32 = 5;

/// One version of an object.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) size: u64,
    /// `None` for an empty object: there is nothing to ask for again.
    pub(super) tag: Option<Tag>,
    pub(super) modified: Timestamp,
}

/// What one request brought.
enum Brought {
    All,
    /// Bytes up to here, and why no more came.
    UpTo(u64, String),
}

impl Bucket {
    /// The version of an object that is there now, and its first bytes; `None` when there is no object.
    pub(super) async fn first(&self, key: &str) -> Result<Option<(Version, Vec<u8>)>> {
        let answer = match self.ask(key, &(0..START), None).await {
            Ok(answer) => answer,
            Err(GetFailed::Missing) => return Ok(None),
            Err(GetFailed::PastTheEnd) => return Ok(Some((empty(key), Vec::new()))),
            Err(GetFailed::Other(error)) => return Err(error),
        };
        let version = self.version(key, &answer)?;
        let mut bytes = Vec::new();
        let whole = 0..version.size.min(START);
        if let Brought::UpTo(end, _) = receive(answer.body, whole.clone(), 0, &mut bytes).await {
            self.fill(&version, end..whole.end, &mut bytes).await?;
        }
        Ok(Some((version, bytes)))
    }

    fn version(&self, key: &str, answer: &GetObjectOutput) -> Result<Version> {
        let of_range = answer
            .content_range()
            .and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let of_body = || answer.content_length().and_then(|length| u64::try_from(length).ok());
        let Some(size) = of_range.or_else(of_body) else {
            fail!(
                S3Failed,
                "{} does not tell the size of {}",
                self.place(),
                self.full(key)
            );
        };
        Ok(Version {
            key: key.to_owned(),
            size,
            tag: Some(self.tag(key, answer.e_tag())?),
            modified: timestamp(answer.last_modified()),
        })
    }

    /// Appends a range of this version of the object.
    pub(super) async fn fill(&self, version: &Version, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<()> {
        let mut at = range.start;
        let mut resumes = 0;
        while at < range.end {
            let rest = at..range.end;
            let answer = match self.ask(&version.key, &rest, version.tag.as_ref()).await {
                Ok(answer) => answer,
                Err(GetFailed::Missing) => return Err(self.missing(&version.key)),
                Err(GetFailed::PastTheEnd) => return Err(self.replaced(&version.key)),
                Err(GetFailed::Other(error)) => return Err(error),
            };
            // A provider that ignores If-Match.
            if answer
                .e_tag()
                .is_some_and(|tag| Some(tag) != version.tag.as_ref().map(|tag| tag.0.as_str()))
            {
                return Err(self.replaced(&version.key));
            }
            // A provider that ignores ranges sends the object from its beginning.
            let begins = answer.content_range().and_then(first_byte).unwrap_or(0);
            if begins > at {
                fail!(
                    S3Failed,
                    "{} sent other bytes of {} than asked for",
                    self.place(),
                    self.full(&version.key)
                );
            }
            match receive(answer.body, rest, begins, bytes).await {
                Brought::All => return Ok(()),
                Brought::UpTo(_, cause) if resumes == RESUMES => return Err(self.cut_off(&version.key, cause)),
                Brought::UpTo(end, _) => at = end,
            }
            resumes += 1;
            pause(resumes).await;
        }
        Ok(())
    }

    async fn ask(
        &self,
        key: &str,
        range: &Range<u64>,
        tag: Option<&Tag>,
    ) -> std::result::Result<GetObjectOutput, GetFailed> {
        let request = self.client.get_object().bucket(&self.name).key(self.full(key));
        let request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        let answer = request.set_if_match(tag.map(|tag| tag.0.clone())).send().await;
        answer.map_err(|error| match refusal(&error) {
            Some(refusal) if refusal.is_missing_object() => GetFailed::Missing,
            Some(refusal) if refusal.status == 416 => GetFailed::PastTheEnd,
            Some(refusal) if refusal.status == 412 => GetFailed::Other(self.replaced(key)),
            _ => GetFailed::Other(self.error::<GetObjectError>(READ, key, error)),
        })
    }

    /// A whole small object.
    pub(super) async fn get_small(&self, key: &str) -> Result<Option<Small>> {
        let Some((version, mut bytes)) = self.first(key).await? else {
            return Ok(None);
        };
        let Some(tag) = version.tag.clone() else {
            let head = self.head(key).await?;
            return Ok(head.map(|head| Small {
                bytes,
                tag: head.tag,
                modified: head.modified,
            }));
        };
        let rest = bytes.len() as u64..version.size;
        self.fill(&version, rest, &mut bytes).await?;
        Ok(Some(Small {
            bytes,
            tag,
            modified: version.modified,
        }))
    }

    pub(super) fn missing(&self, key: &str) -> Error {
        Error::new(
            Code::SnapshotDamaged,
            format!("{} is missing from the bucket {}", self.full(key), self.name),
        )
    }

    fn replaced(&self, key: &str) -> Error {
        Error::new(
            Code::SnapshotDamaged,
            format!(
                "{} in the bucket {} was replaced by another object while it was read",
                self.full(key),
                self.name
            ),
        )
    }
}

enum GetFailed {
    Missing,
    PastTheEnd,
    Other(Error),
}

fn empty(key: &str) -> Version {
    Version {
        key: key.to_owned(),
        size: 0,
        tag: None,
        modified: Timestamp::UNIX_EPOCH,
    }
}

/// The first byte of `bytes 0-9/100`.
fn first_byte(content_range: &str) -> Option<u64> {
    content_range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Appends what a body that begins at `begins` holds of a range.
async fn receive(mut body: ByteStream, range: Range<u64>, begins: u64, bytes: &mut Vec<u8>) -> Brought {
    let (mut at, mut end) = (begins, range.start);
    while end < range.end {
        let piece = match body.next().await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Brought::UpTo(end, story(&error)),
            None => return Brought::UpTo(end, "the answer ended early".to_owned()),
        };
        let next = at + piece.len() as u64;
        if next > end {
            let wanted = (end - at) as usize..(range.end.min(next) - at) as usize;
            end = at + wanted.end as u64;
            bytes.extend_from_slice(&piece[wanted]);
        }
        at = next;
    }
    Brought::All
}

/// Ranges no longer than one request asks for.
pub(super) fn split(ranges: impl IntoIterator<Item = Range<u64>>) -> impl Iterator<Item = Range<u64>> {
    ranges.into_iter().flat_map(|range| {
        let starts = range.clone().step_by(LONGEST as usize);
        starts.map(move |start| start..range.end.min(start + LONGEST))
    })
}

/// Gets ranges side by side and hands them over as they come.
pub(super) async fn get_each(
    threads: &Handle,
    bucket: &Arc<Bucket>,
    version: &Arc<Version>,
    ranges: impl Iterator<Item = Range<u64>>,
    mut take: impl FnMut(u64, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut ranges = ranges.fuse();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < PARALLEL
            && let Some(range) = ranges.next()
        {
            let (bucket, version) = (bucket.clone(), version.clone());
            let get = async move {
                let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
                bucket.fill(&version, range.clone(), &mut bytes).await?;
                Ok((range.start, bytes))
            };
            under_way.spawn_on(get, threads);
        }
        match under_way.join_next().await {
            None => return Ok(()),
            Some(done) => {
                let (start, bytes) = done.map_err(panicked)??;
                take(start, bytes)?;
            }
        }
    }
}

/// A task that did not come to its end.
pub(super) fn panicked(error: tokio::task::JoinError) -> Error {
    Error::new(Code::Internal, "a thread that speaks to S3 gave up").because(error)
}
