//! What a bucket lets us do, tried out: the part of `check-storage` that speaks to the server.

use aws_sdk_s3::config::ProvideCredentials;
use serde::Serialize;
use uuid::Uuid;

use super::S3Store;
use super::error::{ABORT, Action, DELETE, LIST, LIST_UPLOADS, READ, WRITE, lack_of};
use super::multipart::Multipart;
use super::put::Outcome;
use crate::error::{Code, Result, fail};
use crate::storage::Store;

/// The smallest part that AWS takes, except as the last one.
const SMALLEST_PART: usize = 5 << 20;
const PERMISSIONS: [&str; 6] = [
    LIST.permission,
    WRITE.permission,
    READ.permission,
    LIST_UPLOADS.permission,
    ABORT.permission,
    DELETE.permission,
];
const CONTENT: &[u8] = b"snapshot-writer check-storage";

/// What a bucket lets us do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Probe {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    /// Scheme, host and port; `None` for AWS's own.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: String,
    /// Whether the SDK has any; never a key.
    pub(crate) credentials: &'static str,
    /// `None`: it could not be tried.
    pub(crate) conditional_writes: Option<bool>,
    pub(crate) missing_permissions: Vec<&'static str>,
    /// Everything that is required works.
    pub(crate) ok: bool,
    pub(crate) checks: Vec<Step>,
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    pub(crate) required: bool,
    /// What was seen, or what went wrong.
    pub(crate) detail: String,
    /// The IAM action that the step needs.
    pub(crate) permission: &'static str,
    #[serde(skip)]
    failure: Option<Code>,
}

impl S3Store {
    /// Tries everything that a repository in this bucket needs, each thing on its own, and removes what it made.
    pub(crate) fn probe(&self) -> Probe {
        let attempt = Attempt {
            store: self,
            key: format!("check/{}", Uuid::new_v4()),
        };
        let steps = attempt.all();
        // Where nothing worked nothing was made, and removing it might take as long again.
        if steps.iter().any(|step| step.ok) {
            attempt.clean_up();
        }
        let bucket = self.bucket();
        // A step may fail for want of another permission than its own.
        let lacks = |permission: &&str| {
            let denied = steps.iter().filter(|step| step.failure == Some(Code::S3AccessDenied));
            denied
                .into_iter()
                .any(|step| step.detail.contains(&format!("{} ", lack_of(permission))))
        };
        let missing_permissions = PERMISSIONS.into_iter().filter(lacks).collect();
        Probe {
            bucket: bucket.name.clone(),
            prefix: bucket.prefix.clone(),
            endpoint: bucket.endpoint.clone(),
            region: bucket.region.clone(),
            credentials: if self.has_credentials() { "found" } else { "none" },
            conditional_writes: conditional_writes(&steps),
            missing_permissions,
            ok: steps.iter().all(|step| step.ok || !step.required),
            checks: steps,
        }
    }

    fn has_credentials(&self) -> bool {
        let source = self.bucket().credentials.clone();
        source.is_some_and(|source| self.wait(source.provide_credentials()).is_ok())
    }
}

/// Whether the provider has them; a step that failed for another reason tells nothing.
fn conditional_writes(steps: &[Step]) -> Option<bool> {
    if steps.iter().any(|step| step.failure == Some(Code::S3Unsupported)) {
        return Some(false);
    }
    let is_conditional = |step: &&Step| step.name.starts_with("conditional");
    steps.iter().filter(is_conditional).all(|step| step.ok).then_some(true)
}

/// The steps, and the key below which they make their objects.
struct Attempt<'a> {
    store: &'a S3Store,
    key: String,
}

type Try<'a> = fn(&Attempt<'a>) -> Result<String>;

impl<'a> Attempt<'a> {
    fn all(&self) -> Vec<Step> {
        let steps: [(&'static str, Action, bool, Try<'a>); 10] = [
            ("list", LIST, true, Self::list),
            ("put", WRITE, true, Self::put),
            ("get", READ, true, Self::get),
            ("range", READ, true, Self::range),
            ("multipart", WRITE, true, Self::multipart),
            ("list uploads", LIST_UPLOADS, true, Self::list_uploads),
            ("abort", ABORT, true, Self::abort),
            ("conditional put", WRITE, false, Self::conditional_put),
            ("conditional replace", WRITE, false, Self::conditional_replace),
            ("delete", DELETE, true, Self::delete),
        ];
        let mut hopeless = false;
        let tried = steps.map(|(name, action, required, attempt)| {
            let outcome = (!hopeless).then(|| attempt(self));
            let failure = outcome
                .as_ref()
                .and_then(|outcome| outcome.as_ref().err())
                .map(|error| error.code);
            hopeless |= failure.is_some_and(concerns_all);
            Step {
                name,
                ok: matches!(outcome, Some(Ok(_))),
                required,
                detail: match outcome {
                    None => "not tried".to_owned(),
                    Some(Ok(seen)) => seen,
                    Some(Err(error)) => error.story(),
                },
                permission: action.permission,
                failure,
            }
        });
        tried.into()
    }

    fn list(&self) -> Result<String> {
        // Not all of the prefix: it may hold a hundred thousand objects.
        self.store.list("check/")?;
        Ok("permitted".to_owned())
    }

    fn put(&self) -> Result<String> {
        self.store.put(&self.key, CONTENT)?;
        Ok("written".to_owned())
    }

    fn get(&self) -> Result<String> {
        let Some(found) = self.store.get(&self.key)? else {
            // A server that tells what is missing lets us read.
            return Ok("permitted".to_owned());
        };
        same(&found.bytes, CONTENT)?;
        Ok("read as written".to_owned())
    }

    fn range(&self) -> Result<String> {
        let (bucket, mut part) = (self.store.bucket(), Vec::new());
        let read = self.store.wait(async {
            let Some((version, _)) = bucket.first(&self.key).await? else {
                return Ok(false);
            };
            bucket.fill(&version, 9..15, &mut part).await?;
            Ok(true)
        })?;
        if !read {
            return Ok("permitted".to_owned());
        }
        same(&part, &CONTENT[9..15])?;
        Ok("read as written".to_owned())
    }

    fn multipart(&self) -> Result<String> {
        let key = self.other("multipart");
        let mut parts = Multipart::begin(self.store.clone(), &key, None)?;
        parts.send(vec![0; SMALLEST_PART])?;
        parts.send(CONTENT.to_vec())?;
        match parts.complete()? {
            Outcome::Written(_) => Ok(format!("{SMALLEST_PART} and {} bytes joined", CONTENT.len())),
            _ => fail!(
                S3Failed,
                "the parts were not joined: the server says that the object exists"
            ),
        }
    }

    fn list_uploads(&self) -> Result<String> {
        let uploads = self.store.wait(self.store.bucket().unfinished())?;
        Ok(match uploads {
            Some(uploads) => format!("{} unfinished below the prefix", uploads.len()),
            None => "not known to the provider; let it end old uploads by itself".to_owned(),
        })
    }

    fn abort(&self) -> Result<String> {
        Multipart::begin(self.store.clone(), &self.other("aborted"), None)?.abort()?;
        Ok("aborted".to_owned())
    }

    fn conditional_put(&self) -> Result<String> {
        self.store.check_if_none_match(&self.other("new"))?;
        Ok("refused for an object that exists".to_owned())
    }

    fn conditional_replace(&self) -> Result<String> {
        self.store.check_if_match(&self.other("replaced"))?;
        Ok("refused for another version".to_owned())
    }

    fn delete(&self) -> Result<String> {
        self.store.remove(&self.key)?;
        Ok("deleted".to_owned())
    }

    fn other(&self, what: &str) -> String {
        format!("{}-{what}", self.key)
    }

    /// Whatever a step made, even one whose answer was lost.
    fn clean_up(&self) {
        for what in ["multipart", "new", "replaced"] {
            if self.store.remove(&self.other(what)).is_err() {
                // The step that deletes has told why.
                return;
            }
        }
    }
}

/// Failures that every further step would meet again.
fn concerns_all(code: Code) -> bool {
    use Code::{S3BucketNotFound, S3ClockSkew, S3Credentials, S3RegionWrong, S3Unreachable};
    matches!(
        code,
        S3BucketNotFound | S3ClockSkew | S3Credentials | S3RegionWrong | S3Unreachable
    )
}

fn same(read: &[u8], written: &[u8]) -> Result<()> {
    if read != written {
        fail!(S3Failed, "what was read is not what was written");
    }
    Ok(())
}
