#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;

/// What the channel wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn channel() -> (Channel, Written) {
    let written = Written::default();
    (Channel::to(Box::new(written.clone())), written)
}

impl Written {
    /// The frames, each of which has to be within the bound.
    fn frames(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        let (mut rest, mut frames) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk().unwrap();
            let length = u32::from_le_bytes(*length) as usize;
            assert!(length <= MAX_FRAME, "a frame of {length} bytes");
            frames.push(serde_json::from_slice(&after[..length]).unwrap());
            rest = &after[length..];
        }
        frames
    }
}

fn job() -> Value {
    json!({
        "version": PROTOCOL, "operation": "listSnapshots",
        "config": {
            "databasePath": null, "snapshotDir": "/s", "lockTimeoutMs": 1, "commitTimeoutMs": 2,
            "maxWriterStallMs": 3, "check": "quick", "catalogSize": "clamped", "coreTables": [], "postRestore": null,
        },
    })
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn read(bytes: &[u8]) -> Result<Job> {
    read_job(&mut &bytes[..])
}

fn message_of(job: &Value) -> String {
    let error = read(&frame(&serde_json::to_vec(job).unwrap())).unwrap_err();
    assert_eq!(error.code, Code::Internal);
    error.to_string()
}

#[test]
fn a_job_comes_in_and_what_follows_is_left_alone() {
    let mut bytes = frame(&serde_json::to_vec(&job()).unwrap());
    bytes.extend_from_slice(b"later");
    let mut input = bytes.as_slice();
    let job = read_job(&mut input).unwrap();
    assert_eq!((job.operation.as_str(), job.args.len()), ("listSnapshots", 0));
    assert_eq!(job.config.max_writer_stall_ms, 3);
    assert_eq!(input, b"later");
}

#[test]
fn a_job_of_another_version_says_to_reinstall() {
    for version in [PROTOCOL + 1, 0] {
        let mut other = job();
        other["version"] = version.into();
        assert!(message_of(&other).contains("reinstall"));
    }
}

#[test]
fn a_job_that_is_cut_short_is_an_error_wherever_it_ends() {
    let whole = frame(&serde_json::to_vec(&job()).unwrap());
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]).unwrap_err().code, Code::Internal, "{length}");
    }
    read(&whole).unwrap();
}

#[test]
fn a_job_that_is_too_large_is_refused_before_it_is_read() {
    for length in [MAX_FRAME as u32 + 1, u32::MAX] {
        let error = read(&length.to_le_bytes()).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
    }
    let mut largest = job();
    largest["args"] = json!({ "name": "" });
    let padding = MAX_FRAME - serde_json::to_vec(&largest).unwrap().len();
    largest["args"]["name"] = "x".repeat(padding).into();
    let body = serde_json::to_vec(&largest).unwrap();
    assert_eq!(body.len(), MAX_FRAME);
    read(&frame(&body)).unwrap();
}

#[test]
fn a_job_that_cannot_be_understood_is_an_error() {
    for body in [&b""[..], b"{", b"[]", b"{\"version\":1}", b"\xff"] {
        assert_eq!(read(&frame(body)).unwrap_err().code, Code::Internal);
    }
    let mut unknown = job();
    unknown["config"]["secret"] = 1.into();
    message_of(&unknown);
}

#[test]
fn progress_is_throttled_but_neither_the_end_nor_another_phase_is() {
    let (channel, written) = channel();
    let started = Instant::now();
    for done in 0..20_000 {
        channel.progress("read", done, 20_000, "pages");
    }
    let allowed = started.elapsed().as_millis() / PROGRESS_INTERVAL.as_millis() + 1;
    let sent = written.frames().len();
    assert!(sent >= 1 && sent as u128 <= allowed, "{sent} of at most {allowed}");
    channel.progress("read", 20_000, 20_000, "pages");
    channel.progress("check", 0, 5, "tables");
    let frames = written.frames();
    assert_eq!(
        frames[0],
        json!({ "type": "progress", "phase": "read", "done": 0, "total": 20_000, "unit": "pages" })
    );
    assert_eq!(frames[sent]["done"], 20_000);
    assert_eq!(frames[sent + 1]["phase"], "check");
    assert_eq!(frames.len(), sent + 2);
}

#[test]
fn a_list_travels_in_pages_and_keeps_its_order() {
    for (count, frames) in [(0, 0), (1, 1), (200, 1), (201, 2), (450, 3)] {
        let (channel, written) = channel();
        let items: Vec<Value> = (0..count).map(|number| json!({ "number": number })).collect();
        channel.items(&items);
        let sent = written.frames();
        assert_eq!(sent.len(), frames, "{count} items");
        assert!(sent.iter().all(|frame| frame["type"] == "items"));
        let back: Vec<Value> = sent
            .iter()
            .flat_map(|frame| frame["items"].as_array().unwrap().clone())
            .collect();
        assert_eq!(back, items);
    }
}

#[test]
fn a_list_of_long_items_keeps_to_the_bound_of_a_frame() {
    let (channel, written) = channel();
    // Messages of failed restores may be long.
    let items: Vec<Value> = (0..450)
        .map(|number| json!({ "number": number, "text": "x".repeat(20_000) }))
        .collect();
    channel.items(&items);
    let back: Vec<Value> = written
        .frames()
        .iter()
        .flat_map(|frame| frame["items"].as_array().unwrap().clone())
        .collect();
    assert!(back == items);
}

#[test]
fn an_error_travels_with_its_code_and_causes() {
    let (channel, written) = channel();
    let inner = Error::new(Code::Internal, "inner").because(io::Error::other("innermost"));
    channel.error(&Error::new(Code::RepositoryFull, "outer").because(inner));
    channel.result(json!({ "a": 1 }));
    assert_eq!(
        written.frames(),
        [
            json!({ "type": "error", "code": "REPOSITORY_FULL", "message": "outer", "causes": ["inner", "innermost"] }),
            json!({ "type": "result", "value": { "a": 1 } }),
        ]
    );
}

#[test]
fn frames_of_several_threads_do_not_mix() {
    let (channel, written) = channel();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let channel = channel.clone();
            scope.spawn(move || (0..100).for_each(|_| channel.result(json!(vec![thread; 500]))));
        }
    });
    assert_eq!(written.frames().len(), 400);
}

#[test]
fn log_lines_of_this_crate_travel_and_those_of_others_do_not() {
    let (channel, written) = channel();
    let subscriber = tracing_subscriber::registry().with(LogLayer(channel));
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(snapshot = "a", pages = 3_u64, "something {}", "odd");
        tracing::error!(target: "someone_else", "not ours");
    });
    assert_eq!(
        written.frames(),
        [
            json!({ "type": "log", "level": "warn", "message": "something odd", "fields": { "snapshot": "a", "pages": 3 } })
        ]
    );
}

#[test]
fn once_the_application_is_gone_the_work_is_given_up() {
    let (channel, _) = channel();
    channel.check_alive().unwrap();
    channel.0.application_gone.store(true, Ordering::SeqCst);
    assert_eq!(channel.check_alive().unwrap_err().code, Code::Aborted);
}
