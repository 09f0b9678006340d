//! Writes whose answers are lost, whose bytes the wire changes, and providers without conditions.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::super::S3Store;
use super::canned::{Reply, Request, serve};
use super::{code, config, store};
use crate::error::{Code, Result};
use crate::storage::Store;

/// A server that keeps one object (its writer) and answers its n-th write as told.
fn server(answer: impl Fn(u32, &mut Kept, &Request) -> Reply + Send + Sync + 'static) -> S3Store {
    let (kept, writes) = (Mutex::new(Kept::default()), AtomicU32::new(0));
    let endpoint = serve(move |request| {
        let mut kept = kept.lock().unwrap();
        match (request.method.as_str(), &kept.writer) {
            ("HEAD", None) => Reply::new(404, ""),
            ("HEAD", Some(writer)) => Reply::new(200, "")
                .with("etag", "\"kept\"")
                .with("x-amz-meta-writer", writer),
            ("POST", _) if request.target.contains("uploads") => {
                kept.begun = request.header("x-amz-meta-writer").map(str::to_owned);
                let id = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
                Reply::new(200, id)
            }
            ("PUT", _) if request.target.contains("partNumber") => Reply::new(200, "").with("etag", "\"part\""),
            ("DELETE", _) => Reply::new(204, ""),
            _ => answer(writes.fetch_add(1, Ordering::SeqCst), &mut kept, request),
        }
    });
    store(&config(&endpoint), &std::env::temp_dir(), "secret")
}

#[derive(Default)]
struct Kept {
    writer: Option<String>,
    /// The writer of an upload in parts.
    begun: Option<String>,
}

impl Kept {
    fn keep(&mut self, request: &Request) -> Reply {
        let writer = request.header("x-amz-meta-writer").map(str::to_owned);
        self.writer = writer.or_else(|| self.begun.clone());
        let body = "<CompleteMultipartUploadResult><ETag>\"kept\"</ETag></CompleteMultipartUploadResult>";
        Reply::new(200, if request.method == "POST" { body } else { "" }).with("etag", "\"kept\"")
    }
}

fn lost(mut reply: Reply) -> Reply {
    reply.body = b"lost on the way".to_vec();
    reply.cut = Some(0);
    // Whoever waits for the body of a PUT's answer sees it broken off.
    reply
}

fn publish(store: &S3Store, size: usize) -> Result<()> {
    let mut object = store.stage("a").unwrap();
    object.write_all(&vec![1; size]).unwrap();
    object.publish()
}

const IN_PARTS: usize = (8 << 20) + 1;

#[test]
fn a_write_whose_answer_was_lost_is_our_own() {
    for size in [1, IN_PARTS] {
        let store = server(|write, kept, request| match write {
            0 => {
                kept.keep(request);
                Reply::error(500, "InternalError", "")
            }
            _ => Reply::error(412, "PreconditionFailed", ""),
        });
        publish(&store, size).unwrap();
    }
    let store = server(|write, kept, request| match write {
        0 => lost(kept.keep(request)),
        _ => Reply::error(409, "ConditionalRequestConflict", ""),
    });
    assert!(store.put_new("a", b"a").unwrap().is_some());
    let store = server(|write, kept, request| match write {
        0 => lost(kept.keep(request)),
        _ => Reply::error(404, "NoSuchUpload", ""),
    });
    publish(&store, IN_PARTS).unwrap();
    let store = server(|_, kept, request| {
        kept.keep(request);
        Reply::new(200, "<AnotherRoot/>")
    });
    publish(&store, IN_PARTS).unwrap();
}

#[test]
fn a_write_of_somebody_else_is_not_our_own() {
    for status in [409, 412] {
        let store = server(move |_, kept, _| {
            kept.writer = Some("somebody else".to_owned());
            Reply::error(status, "PreconditionFailed", "")
        });
        assert_eq!(code(publish(&store, 1)), Some(Code::SnapshotExists));
        assert_eq!(store.put_new("a", b"a").unwrap(), None);
        let tag = store.bucket().tag("a", Some("\"old\"")).unwrap();
        assert_eq!(store.put_over("a", b"a", &tag).unwrap(), None);
    }
}

#[test]
fn bytes_that_the_wire_changed_are_sent_again() {
    let sent = Arc::new(AtomicU32::new(0));
    let count = sent.clone();
    let store = server(move |write, kept, request| {
        count.store(write + 1, Ordering::SeqCst);
        assert!(request.header("content-md5").is_some());
        if write < 2 {
            Reply::error(400, "BadDigest", "")
        } else {
            kept.keep(request)
        }
    });
    publish(&store, 1000).unwrap();
    assert_eq!(sent.load(Ordering::SeqCst), 3);
    let store = server(|_, _, _| Reply::error(400, "BadDigest", ""));
    assert_eq!(code(publish(&store, 1000)), Some(Code::S3Failed));
}

#[test]
fn a_provider_that_refuses_conditions_keeps_objects_and_no_leases() {
    let no_conditions = |_, kept: &mut Kept, request: &Request| {
        let conditional = request.header("if-none-match").or(request.header("if-match"));
        match conditional {
            Some(_) => Reply::error(501, "NotImplemented", ""),
            None => kept.keep(request),
        }
    };
    for size in [1, IN_PARTS] {
        let store = server(no_conditions);
        publish(&store, size).unwrap();
        assert_eq!(
            code(publish(&store, size)),
            Some(Code::SnapshotExists),
            "by a look before"
        );
        assert_eq!(code(store.put_new("b", b"b")), Some(Code::S3Unsupported));
        assert_eq!(code(store.check_conditional_writes()), Some(Code::S3Unsupported));
    }
}

#[test]
fn a_provider_that_ignores_conditions_is_found_out() {
    let store = server(|_, kept, request| kept.keep(request));
    assert_eq!(code(store.check_conditional_writes()), Some(Code::S3Unsupported));
    let only_new = server(|_, kept, request| {
        if request.header("if-none-match").is_some() && kept.writer.is_some() {
            return Reply::error(412, "PreconditionFailed", "");
        }
        kept.keep(request)
    });
    let error = only_new.check_conditional_writes().unwrap_err();
    assert_eq!(error.code, Code::S3Unsupported);
    assert!(error.to_string().contains("If-Match"), "{error}");
}
