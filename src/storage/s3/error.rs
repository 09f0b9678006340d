//! The SDK's errors as ours: what happened, to what, and what to do.
//!
//! Only codes and messages of the server and the texts of error types are passed on. A `Debug` of the SDK's
//! errors holds headers, and a refusal of credentials may name them, so neither is printed.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::client::Bucket;
use crate::error::{Code, Error};

/// How servers refuse credentials.
const NOT_ACCEPTED: [&str; 8] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "NotSignedUp",
    "InvalidSecurity",
    "MissingSecurityHeader",
];

/// What was tried, in words and as IAM names it.
#[derive(Clone, Copy)]
pub(super) struct Action {
    verb: &'static str,
    pub(super) permission: &'static str,
    /// What else a refusal may come from.
    also: &'static str,
}

const fn action(verb: &'static str, permission: &'static str) -> Action {
    Action {
        verb,
        permission,
        also: "",
    }
}

pub(super) const WRITE: Action = action("write", "s3:PutObject");
pub(super) const READ: Action = Action {
    also: " (or s3:ListBucket, without which a missing object looks like a forbidden one)",
    ..action("read", "s3:GetObject")
};
pub(super) const LIST: Action = action("list", "s3:ListBucket");
pub(super) const DELETE: Action = action("delete", "s3:DeleteObject");
pub(super) const ABORT: Action = action("abort an upload of", "s3:AbortMultipartUpload");
pub(super) const LIST_UPLOADS: Action = action("list the uploads of", "s3:ListBucketMultipartUploads");

/// How a message names a permission that is missing.
pub(super) fn lack_of(permission: &str) -> String {
    format!("the credentials lack {permission}")
}

/// A server's refusal: its status, its code (empty when it gave none) and its message.
pub(super) struct Refusal<'a> {
    pub(super) status: u16,
    pub(super) code: &'a str,
    message: &'a str,
}

/// What the server said, when it was the server that refused.
pub(super) fn refusal<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<Refusal<'_>> {
    let status = error.raw_response()?.status().as_u16();
    let refused = error.as_service_error()?;
    Some(Refusal {
        status,
        code: refused.code().unwrap_or_default(),
        message: refused.message().unwrap_or_default(),
    })
}

impl Refusal<'_> {
    pub(super) fn is_missing_object(&self) -> bool {
        matches!(self.code, "NoSuchKey" | "NotFound") || (self.status == 404 && self.code.is_empty())
    }
    /// The condition of a conditional request does not hold, or another write of the object came between.
    pub(super) fn is_condition(&self) -> bool {
        matches!(self.status, 409 | 412)
    }
    /// Another write of the object came between; the condition may hold or not.
    pub(super) fn is_collision(&self) -> bool {
        self.status == 409
    }
    /// The provider does not know conditional writes.
    pub(super) fn is_unknown_condition(&self) -> bool {
        let names_it = || {
            let message = self.message.to_ascii_lowercase();
            message.contains("if-none-match") || message.contains("if-match") || message.contains("header you provided")
        };
        self.status == 501 || (self.status == 400 && (self.code == "NotImplemented" || names_it()))
    }
    /// The bytes that arrived are not those that were sent.
    pub(super) fn is_corruption(&self) -> bool {
        matches!(self.code, "BadDigest" | "InvalidDigest" | "IncompleteBody")
    }

    /// Status and code.
    fn brief(&self) -> String {
        let code = if self.code.is_empty() { "no code" } else { self.code };
        format!("the server answered {} ({code})", self.status)
    }

    /// Status, code and message.
    fn story(&self) -> String {
        if self.message.is_empty() {
            return self.brief();
        }
        format!("{}: {}", self.brief(), self.message)
    }
}

impl Bucket {
    /// An error of the SDK, met while doing `action` to the object `key` (or to a prefix).
    pub(super) fn error<E>(&self, action: Action, key: &str, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let tried = self.tried(action, key);
        match refusal(&error) {
            Some(refusal) => self.refused(&tried, action, &refusal, error.raw_response()),
            None => self.not_answered(&tried, &error),
        }
    }

    fn refused(&self, tried: &str, action: Action, refusal: &Refusal, answer: Option<&HttpResponse>) -> Error {
        let region = answer.and_then(region_of);
        let (code, hint) = match (refusal.code, refusal.status) {
            (code, _) if NOT_ACCEPTED.contains(&code) => {
                let hint = "the server does not accept the credentials; check the SDK's variables, profile or role";
                // Its own words may name the key.
                return Error::new(Code::S3Credentials, format!("{tried}: {hint}")).because(refusal.brief());
            }
            ("RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture", _) => (
                Code::S3ClockSkew,
                "this machine's clock differs too much from the server's; set it".to_owned(),
            ),
            ("NoSuchBucket", _) => (
                Code::S3BucketNotFound,
                format!("{} has no such bucket; check S3_BUCKET and the endpoint", self.place()),
            ),
            ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
            | (_, 301) => (Code::S3RegionWrong, self.wrong_region(region)),
            // An answer to HEAD has no body that would say more.
            (_, 400) if region.as_ref().is_some_and(|region| *region != self.region) => {
                (Code::S3RegionWrong, self.wrong_region(region))
            }
            ("AccessDenied", _) | (_, 403) => (Code::S3AccessDenied, self.lacking(action)),
            _ => (Code::S3Failed, format!("{} refused", self.place())),
        };
        Error::new(code, format!("{tried}: {hint}")).because(refusal.story())
    }

    fn lacking(&self, action: Action) -> String {
        let lack = lack_of(action.permission);
        format!("{lack} on {}/{}*{}; grant it", self.name, self.prefix, action.also)
    }

    fn wrong_region(&self, right: Option<String>) -> String {
        match right {
            Some(right) => format!(
                "the bucket is in region {right}, not {}; set AWS_REGION={right}",
                self.region
            ),
            None => format!("the bucket is not in region {}; set AWS_REGION to its own", self.region),
        }
    }

    fn not_answered<E>(&self, tried: &str, error: &SdkError<E>) -> Error
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let story = self.clean(story(error));
        if story.contains("credential") || story.contains("identity") {
            return Error::new(
                Code::S3Credentials,
                format!("{tried}: no credentials were found; set the SDK's variables, a profile or a role"),
            )
            .because(without_output(&story).to_owned());
        }
        match error {
            SdkError::ResponseError(answer) if !answer.raw().status().is_success() => Error::new(
                Code::S3Failed,
                format!(
                    "{tried}: {} answered {} and nothing that S3 would say",
                    self.place(),
                    answer.raw().status().as_u16()
                ),
            ),
            _ if story.contains("not a valid URI") => Error::new(
                Code::S3Unreachable,
                format!(
                    "{tried}: the endpoint {} is no URL like https://host:port",
                    self.place()
                ),
            ),
            _ => self.unreachable(tried),
        }
        .because(story)
    }

    fn unreachable(&self, tried: &str) -> Error {
        Error::new(
            Code::S3Unreachable,
            format!(
                "{tried}: no usable answer from {} after several tries; check the endpoint and the network",
                self.place()
            ),
        )
    }

    /// An answer whose body breaks off again and again.
    pub(super) fn cut_off(&self, key: &str, cause: String) -> Error {
        self.unreachable(&self.tried(READ, key)).because(cause)
    }

    fn tried(&self, action: Action, key: &str) -> String {
        match (action.verb, self.full(key)) {
            (verb, all) if all.is_empty() => format!("cannot {verb} the bucket {}", self.name),
            (verb, full) => format!("cannot {verb} {full} in the bucket {}", self.name),
        }
    }
}

/// Without what a `credential_process` wrote: it may be the credentials.
fn without_output(story: &str) -> &str {
    let ends = ["Stderr:", "could not parse response"].map(|words| story.find(words).unwrap_or(story.len()));
    &story[..ends[0].min(ends[1])]
}

/// Where the answer says the bucket is.
fn region_of(answer: &HttpResponse) -> Option<String> {
    if let Some(region) = answer.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    let body = std::str::from_utf8(answer.body().bytes()?).ok()?;
    let (region, _) = body.split_once("<Region>")?.1.split_once("</Region>")?;
    Some(region.to_owned())
}

/// The texts of an error and of its causes; the SDK's own say only what kind it is.
pub(super) fn story(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = cause.source();
    }
    texts.join(": ")
}
