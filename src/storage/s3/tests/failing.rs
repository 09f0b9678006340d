//! Servers that refuse, hang, or are none: each time one clear error, and an end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;

use super::super::S3Store;
use super::super::client::{Bucket, sources};
use super::canned::{Reply, accept, serve};
use super::{config, fresh_config, store};
use crate::error::{Code, Error, Result};
use crate::storage::Store;

/// What a test's secret looks like anywhere in a message.
const SECRET: &str = "wrong-secret";

fn at(endpoint: &str) -> S3Store {
    store(&config(endpoint), &std::env::temp_dir(), SECRET)
}

/// The error, after a look at what it must never tell.
fn error<T>(result: Result<T>) -> Error {
    let error = result.err().expect("an error");
    let story = error.story();
    for secret in [SECRET, "Signature=", "Credential=", "AWS4-HMAC"] {
        assert!(!story.contains(secret), "{story}");
    }
    error
}

/// Every request is refused in this way.
fn refused(status: u16, code: &str, more: &str) -> S3Store {
    let (code, more) = (code.to_owned(), more.to_owned());
    at(&serve(move |_| Reply::error(status, &code, &more)))
}

#[test]
fn a_wrong_secret_and_an_unknown_bucket_are_told_apart() {
    let Some(mut config) = fresh_config() else { return };
    let wrong = store(&config, &std::env::temp_dir(), SECRET);
    assert_eq!(error(wrong.list("")).code, Code::S3Credentials);
    assert_eq!(error(wrong.put("a", b"a")).code, Code::S3Credentials);
    config.bucket = format!("nobody-made-{}", uuid::Uuid::new_v4());
    let unknown = store(&config, &std::env::temp_dir(), "testtest");
    for error in [error(unknown.list("")), error(unknown.get("a"))] {
        assert_eq!(error.code, Code::S3BucketNotFound, "{}", error.story());
        assert!(error.to_string().contains(&config.bucket), "{error}");
    }
}

#[test]
fn no_credentials_is_said_at_once() {
    let config = config(&serve(|_| Reply::new(500, "")));
    let store = S3Store::new(&config, &std::env::temp_dir()).unwrap();
    let none = ProfileFileCredentialsProvider::builder().profile_name("nobody").build();
    let bucket = Bucket::connect(&config, sources().credentials_provider(none));
    let bucket = store.wait(bucket);
    assert!(store.0.bucket.set(Arc::new(bucket)).is_ok());
    let error = error(store.list(""));
    assert_eq!(error.code, Code::S3Credentials, "{}", error.story());
    assert_eq!(store.probe().credentials, "none");
}

#[test]
fn a_refusal_has_the_code_that_says_what_to_do() {
    for (status, code, more, ours, said) in [
        (
            403,
            "InvalidAccessKeyId",
            "<AWSAccessKeyId>wrong-secret</AWSAccessKeyId>",
            Code::S3Credentials,
            "credentials",
        ),
        (
            403,
            "SignatureDoesNotMatch",
            "<StringToSign>AWS4-HMAC</StringToSign>",
            Code::S3Credentials,
            "credentials",
        ),
        (400, "ExpiredToken", "", Code::S3Credentials, "credentials"),
        (400, "InvalidToken", "", Code::S3Credentials, "credentials"),
        (
            403,
            "AccessDenied",
            "",
            Code::S3AccessDenied,
            "s3:ListBucket on conformance/",
        ),
        (404, "NoSuchBucket", "", Code::S3BucketNotFound, "conformance"),
        (
            301,
            "PermanentRedirect",
            "",
            Code::S3RegionWrong,
            "not in region us-east-1",
        ),
        (
            400,
            "AuthorizationHeaderMalformed",
            "<Region>eu-west-3</Region>",
            Code::S3RegionWrong,
            "region eu-west-3",
        ),
        (
            400,
            "IllegalLocationConstraintException",
            "",
            Code::S3RegionWrong,
            "not in region us-east-1",
        ),
        (403, "RequestTimeTooSkewed", "", Code::S3ClockSkew, "clock"),
        (418, "Teapot", "", Code::S3Failed, "418 (Teapot): of the server"),
    ] {
        let error = error(refused(status, code, more).list(""));
        assert_eq!(error.code, ours, "{code}: {}", error.story());
        assert!(error.story().contains(said), "{code}: {}", error.story());
    }
}

#[test]
fn the_region_is_named_when_only_a_header_tells_it() {
    let redirect = |status| serve(move |_| Reply::new(status, "").with("x-amz-bucket-region", "eu-west-3"));
    for error in [
        error(at(&redirect(301)).sha256("a")),
        error(at(&redirect(400)).sha256("a")),
        error(at(&redirect(301)).list("")),
    ] {
        assert_eq!(error.code, Code::S3RegionWrong, "{}", error.story());
        assert!(error.to_string().contains("AWS_REGION=eu-west-3"), "{error}");
    }
}

#[test]
fn a_missing_permission_is_named() {
    let store = refused(403, "AccessDenied", "");
    let mut object = store.stage("a").unwrap();
    object.write_all(b"a").unwrap();
    let mut large = store.stage("a").unwrap();
    let in_parts = large.write_all(&vec![0; (8 << 20) + 1]).unwrap_err();
    for (result, permission) in [
        (store.list("").map(drop), "s3:ListBucket"),
        (store.open("a").map(drop), "s3:GetObject"),
        (store.sha256("a").map(drop), "s3:GetObject"),
        (object.publish(), "s3:PutObject"),
        (store.put_new("a", b"").map(drop), "s3:PutObject"),
        (store.remove("a"), "s3:DeleteObject"),
        (Err(in_parts.downcast::<Error>().unwrap()), "s3:PutObject"),
        (
            store.abort_uploads_begun_before(jiff::Timestamp::now()).map(drop),
            "s3:ListBucketMultipartUploads",
        ),
    ] {
        let error = error(result);
        assert_eq!(error.code, Code::S3AccessDenied, "{}", error.story());
        assert!(error.to_string().contains(&format!("lack {permission} on ")), "{error}");
    }
    drop(large);
}

#[test]
fn what_cannot_be_reached_is_named_without_secrets() {
    let plain = serve(|_| Reply::new(200, ""));
    let tls = accept(|mut connection| {
        let mut hello = [0; 512];
        let _ = connection.read(&mut hello);
        // A fatal alert: this is how a TLS server takes leave of plain HTTP.
        let _ = connection.write_all(&[21, 3, 3, 0, 2, 2, 70]);
    });
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let no_http = accept(|mut connection| {
        let _ = connection.write_all(b"220 mail.example.com ESMTP\r\n");
    });
    std::thread::scope(|scope| {
        for endpoint in [
            plain.replace("http://", "https://user:wrong-secret@"),
            tls,
            no_http,
            format!("http://{closed}"),
            format!("http://{closed}/wrong-secret?wrong-secret"),
            "http://nowhere.invalid".to_owned(),
            "nonsense".to_owned(),
        ] {
            scope.spawn(move || {
                let error = error(at(&endpoint).list(""));
                assert_eq!(error.code, Code::S3Unreachable, "{endpoint}: {}", error.story());
                let named = endpoint
                    .replace("user:wrong-secret@", "")
                    .replace("/wrong-secret?wrong-secret", "");
                assert!(error.to_string().contains(&format!("{named} ")), "{error}");
            });
        }
    });
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let silent = accept(|_connection| std::thread::sleep(Duration::from_secs(600)));
    let (tell, told) = std::sync::mpsc::channel();
    let (reading, writing) = (at(&silent), at(&silent));
    let again = tell.clone();
    std::thread::spawn(move || tell.send(error(reading.open("a"))));
    std::thread::spawn(move || again.send(error(writing.put("a", b"a"))));
    for _ in 0..2 {
        let error = told.recv_timeout(Duration::from_secs(90)).expect("an end");
        assert_eq!(error.code, Code::S3Unreachable, "{}", error.story());
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let store = at(&serve(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Reply::error(503, "SlowDown", ""),
        _ => Reply::new(
            200,
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        ),
    }));
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(asked.load(Ordering::SeqCst), 3);

    let error = error(refused(503, "SlowDown", "").list(""));
    assert_eq!(error.code, Code::S3Failed, "{}", error.story());
    assert!(error.story().contains("503 (SlowDown)"), "{}", error.story());
}
