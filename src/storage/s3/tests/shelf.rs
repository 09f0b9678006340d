//! A server with one object, which counts what it sends and fails as told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::S3Store;
use super::canned::{Reply, Request, serve};
use super::{config, store};

pub(super) const TAG: &str = "\"one\"";

/// How the server treats its clients; everything can be changed while it runs.
pub(super) struct Shelf {
    pub(super) object: Vec<u8>,
    pub(super) manners: Mutex<Manners>,
    pub(super) requests: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    under_way: AtomicUsize,
    pub(super) most_under_way: AtomicUsize,
}

#[derive(Clone, Default)]
pub(super) struct Manners {
    /// Sends the whole object whatever range is asked for.
    pub(super) ignores_ranges: bool,
    /// Cuts each answer off after so many bytes …
    pub(super) cut: Option<usize>,
    /// … or lets it hang there, if so many answers may still hang.
    pub(super) hangs: usize,
    pub(super) delay: Duration,
    pub(super) gone: bool,
    pub(super) tag: Option<&'static str>,
    /// Knows no If-Match.
    pub(super) ignores_conditions: bool,
}

impl Shelf {
    pub(super) fn new(object: Vec<u8>, manners: Manners) -> (Arc<Self>, S3Store) {
        let shelf = Arc::new(Self {
            object,
            manners: Mutex::new(manners),
            requests: AtomicUsize::default(),
            bytes: AtomicUsize::default(),
            under_way: AtomicUsize::default(),
            most_under_way: AtomicUsize::default(),
        });
        let serving = shelf.clone();
        let endpoint = serve(move |request| serving.answer(request));
        (shelf, store(&config(&endpoint), &std::env::temp_dir(), "secret"))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners.lock().unwrap());
    }

    /// Requests and bytes since this was asked last.
    pub(super) fn sent(&self) -> (usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        (take(&self.requests), take(&self.bytes))
    }

    fn answer(&self, request: &Request) -> Reply {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        let manners = self.manners.lock().unwrap().clone();
        std::thread::sleep(manners.delay);
        let mut reply = self.reply(request, &manners);
        if manners.cut.is_some() {
            reply.hang = manners.hangs > 0;
            self.change(|manners| manners.hangs = manners.hangs.saturating_sub(1));
        }
        let sent = manners.cut.map_or(reply.body.len(), |cut| cut.min(reply.body.len()));
        reply.cut = manners.cut;
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(sent, Ordering::SeqCst);
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        reply
    }

    fn reply(&self, request: &Request, manners: &Manners) -> Reply {
        if manners.gone {
            return Reply::error(404, "NoSuchKey", "");
        }
        let tag = manners.tag.unwrap_or(TAG);
        let stale = request.header("if-match").is_some_and(|wanted| wanted != tag);
        if stale && !manners.ignores_conditions {
            return Reply::error(412, "PreconditionFailed", "");
        }
        let range = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (first, last): (usize, usize) = match range {
            Some((first, last)) if !manners.ignores_ranges => (first.parse().unwrap(), last.parse().unwrap()),
            _ => return Reply::new(200, self.object.clone()).with("etag", tag),
        };
        if first >= self.object.len() {
            return Reply::error(416, "InvalidRange", "");
        }
        let end = self.object.len().min(last + 1);
        Reply::new(206, &self.object[first..end]).with("etag", tag).with(
            "content-range",
            format!("bytes {first}-{}/{}", end - 1, self.object.len()),
        )
    }
}
