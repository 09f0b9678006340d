//! Frames to and from the façade, the application's life sign, and the log.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::PROTOCOL;
use crate::config::Config;
use crate::error::{Code, Error, Result, fail};

/// No frame is larger; lists travel in pages.
const MAX_FRAME: usize = 1 << 20;
/// Records in one `items` frame.
const ITEMS_PER_FRAME: usize = 200;
/// Progress goes out at most ten times a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What the façade asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    version: u32,
    pub(crate) operation: String,
    pub(crate) config: Config,
    #[serde(default)]
    pub(crate) args: Map<String, Value>,
}

/// The worker's end of the pipe. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Channel(Arc<Inner>);

struct Inner {
    output: Mutex<Box<dyn Write + Send>>,
    last_progress: Mutex<Option<(String, Instant)>>,
    application_gone: AtomicBool,
}

impl Channel {
    /// Reads the job and starts to watch for the end of the application.
    pub(crate) fn open() -> Result<(Self, Job)> {
        let mut input = io::stdin();
        let job = read_job(&mut input)?;
        let channel = Self::to(Box::new(io::stdout()));
        // A thread of its own: one that sits inside sqlite3_step would not notice.
        let watched = channel.clone();
        std::thread::spawn(move || {
            let _ = io::copy(&mut input, &mut io::sink());
            watched.0.application_gone.store(true, Ordering::SeqCst);
        });
        Ok((channel, job))
    }

    fn to(output: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Inner {
            output: Mutex::new(output),
            last_progress: Mutex::new(None),
            application_gone: AtomicBool::new(false),
        }))
    }

    /// Fails once the application is gone: to be asked before the point of no return, never after.
    pub(crate) fn check_alive(&self) -> Result<()> {
        if self.0.application_gone.load(Ordering::SeqCst) {
            fail!(Aborted, "the application ended; nothing was changed");
        }
        Ok(())
    }

    /// Sends every log line of the crate through this channel from now on.
    pub(crate) fn install_log(&self) {
        let subscriber = tracing_subscriber::registry().with(LogLayer(self.clone()));
        // Fails only when one is installed already, as in tests.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// Says how far a phase is; dropped when the last word on it is younger than 100 ms.
    pub(crate) fn progress(&self, phase: &str, done: u64, total: u64, unit: &str) {
        let mut last = self.0.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let recent = last
            .as_ref()
            .is_some_and(|(of, at)| of == phase && now - *at < PROGRESS_INTERVAL);
        if recent && done < total {
            return;
        }
        *last = Some((phase.to_owned(), now));
        drop(last);
        self.send(&json!({ "type": "progress", "phase": phase, "done": done, "total": total, "unit": unit }));
    }

    /// Sends a list in pages.
    pub(crate) fn items(&self, items: &[Value]) {
        items.chunks(ITEMS_PER_FRAME).for_each(|page| self.page(page));
    }

    /// Sends a page, or its halves when its records are too long for one frame.
    fn page(&self, page: &[Value]) {
        let frame = json!({ "type": "items", "items": page });
        if page.len() > 1 && serde_json::to_vec(&frame).is_ok_and(|body| body.len() > MAX_FRAME) {
            let (first, second) = page.split_at(page.len() / 2);
            self.page(first);
            self.page(second);
        } else {
            self.send(&frame);
        }
    }

    pub(crate) fn result(&self, value: Value) {
        self.send(&json!({ "type": "result", "value": value }));
    }

    pub(crate) fn error(&self, error: &Error) {
        self.send(&json!({
            "type": "error", "code": error.code.as_str(), "message": error.to_string(), "causes": error.causes(),
        }));
    }

    fn send(&self, message: &Value) {
        let Ok(body) = serde_json::to_vec(message) else { return };
        let Ok(length) = u32::try_from(body.len()) else { return };
        let mut output = self.0.output.lock().unwrap_or_else(PoisonError::into_inner);
        // A broken pipe means that the application is gone, which the watching thread reports.
        let _ = output
            .write_all(&length.to_le_bytes())
            .and_then(|()| output.write_all(&body))
            .and_then(|()| output.flush());
    }
}

fn read_job(input: &mut impl Read) -> Result<Job> {
    let read = |buffer: &mut [u8], input: &mut dyn Read| {
        input
            .read_exact(buffer)
            .map_err(|error| Error::new(Code::Internal, "cannot read the job").because(error))
    };
    let mut length = [0; 4];
    read(&mut length, input)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        fail!(Internal, "a job of {length} bytes is too large");
    }
    let mut body = vec![0; length];
    read(&mut body, input)?;
    let job: Job = serde_json::from_slice(&body)
        .map_err(|error| Error::new(Code::Internal, "cannot parse the job").because(error))?;
    if job.version != PROTOCOL {
        fail!(
            Internal,
            "the façade speaks version {} of the worker's language, the addon version {PROTOCOL}: reinstall the package",
            job.version
        );
    }
    Ok(job)
}

/// Turns `tracing` events of this crate into `log` frames.
struct LogLayer(Channel);

impl<S: tracing::Subscriber> Layer<S> for LogLayer {
    /// Asked before an event is made up: the libraries below have thousands of them.
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("snapshot_writer")
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            _ => "debug",
        };
        let mut line = LogLine::default();
        event.record(&mut line);
        self.0
            .send(&json!({ "type": "log", "level": level, "message": line.message, "fields": line.fields }));
    }
}

#[derive(Default)]
struct LogLine {
    message: String,
    fields: Map<String, Value>,
}

impl Visit for LogLine {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.insert(field.name().to_owned(), value.into());
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
