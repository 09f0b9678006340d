//! The worker process: one job, read from standard input, answered on standard output.
//!
//! A frame is a 32-bit little-endian length and that many bytes of JSON. The façade sends one
//! frame (the job) and keeps the pipe open; its end says that the application is gone.
//! The worker answers `log`, `progress` and `items` frames and ends with `result` or `error`.

mod channel;
mod jobs;

pub(crate) use channel::{Channel, Job};

/// Version of the frames; both sides are of one package, so a mismatch is a broken installation.
pub(crate) const PROTOCOL: u32 = 1;

/// Reads the job, runs it and reports. Returns the exit code of the process.
pub(crate) fn run() -> i32 {
    let (channel, job) = match Channel::open() {
        Ok(opened) => opened,
        Err(error) => {
            let mut report = format!("snapshot-writer worker: {error}");
            for cause in error.causes() {
                report.push_str(": ");
                report.push_str(&cause);
            }
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{report}");
            return 2;
        }
    };
    channel.install_log();
    match jobs::run(job, &channel) {
        Ok(value) => channel.result(value),
        Err(error) => channel.error(&error),
    }
    0
}
