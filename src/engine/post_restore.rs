//! The command after a restore (the application runs `prisma migrate deploy`): under a time
//! limit, without the repository's lock, and undone when it fails.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::restore::Restored;
use super::undo::undo_entry;
use super::{Context, Writing};
use crate::config::{CommandLine, PostRestoreCommand};
use crate::database::holders;
use crate::database::watch::CommitWatch;
use crate::error::{Code, Error, Result};

const POLL: Duration = Duration::from_millis(20);
/// How long the last words of a command that has ended may take. Its children may keep the pipe for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The end of the command's output that an error shows; no more of it is kept.
const SHOWN: usize = 2000;

/// Why the command failed.
struct Failure {
    /// A sentence that may be written down: without anything that the command has said.
    what: String,
    /// The end of what it said, for the caller alone.
    said: String,
}

/// Runs the configured command; when it fails, takes the restore back, unless that would lose
/// what somebody else has written since.
pub(crate) fn run(context: &Context, database: &Path, lock: Writing, restored: &Restored) -> Result<()> {
    let Some(command) = &context.config.post_restore else {
        return Ok(());
    };
    // The restore has taken place: that nobody can watch it is no failure of it.
    let watch = CommitWatch::start(database, context.config.lock_timeout())
        .inspect_err(|error| {
            tracing::warn!(reason = %error, "whether somebody writes while postRestoreCommand runs will not be known");
        })
        .ok();
    drop(lock);
    let Err(failure) = run_command(context, command) else {
        return Ok(());
    };
    // First the lock: who commits while we wait for it is not to be overwritten.
    let lock = context.lock_for_writing("undoRestore");
    let others = holders::holders(database);
    let committed = watch.is_none_or(|watch| watch.somebody_committed().unwrap_or(true));
    // The command itself may have written before it failed; only with nobody else there is that certain.
    if committed && !others.is_empty() {
        let why = format!(
            "the database may have been written since and other processes have it open ({})",
            holders::describe(&others)
        );
        return Err(not_undone(&failure, restored, &why));
    }
    let undone = lock.and_then(|_lock| undo_entry(context, &restored.entry, Some(failure.what.clone())));
    Err(match undone {
        Ok(_) => Error::new(
            Code::PostRestoreFailed,
            format!("{}; the restore was undone{}", failure.what, failure.said),
        ),
        Err(error) => not_undone(&failure, restored, &error.story()).because(error),
    })
}

fn not_undone(failure: &Failure, restored: &Restored, why: &str) -> Error {
    let before = match restored.entry.safety {
        Some(id) => format!("the one before in the safety snapshot {id}; call undoRestore to go back to it"),
        None => "of the one before there is no snapshot".to_owned(),
    };
    Error::new(
        Code::UndoConflict,
        format!(
            "{}; the restore was NOT undone: {why}. The restored state is in the database, {before}{}",
            failure.what, failure.said
        ),
    )
}

/// Runs the command to its end.
fn run_command(context: &Context, command: &PostRestoreCommand) -> Result<(), Failure> {
    let without_words = |what: String| Failure {
        what,
        said: String::new(),
    };
    let limit = Duration::from_millis(command.timeout_ms);
    let mut child = start(command)
        .map_err(|error| without_words(format!("postRestoreCommand could not be started: {}", error.kind())))?;
    let output = Output::drain(&mut child);
    let deadline = Instant::now() + limit;
    let what = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => break format!("postRestoreCommand failed ({status})"),
            Ok(None) if Instant::now() >= deadline => {
                break format!(
                    "postRestoreCommand did not end within {} ms and was stopped",
                    limit.as_millis()
                );
            }
            Ok(None) if context.host.check_alive().is_err() => {
                break "postRestoreCommand was stopped, because the application has ended".to_owned();
            }
            Ok(None) => std::thread::sleep(POLL),
            Err(error) => break format!("postRestoreCommand cannot be waited for: {}", error.kind()),
        }
    };
    // What it has started is not to write while the restore is undone.
    kill(&mut child);
    Err(Failure {
        what,
        said: output.map_or_else(String::new, Output::last_words),
    })
}

/// What the command writes to its standard error, all of which is read, and the end of which is kept.
struct Output {
    end: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn drain(child: &mut Child) -> Option<Self> {
        let mut pipe = child.stderr.take()?;
        let end = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&end);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&chunk[..length]);
                let surplus = kept.len().saturating_sub(SHOWN);
                kept.drain(..surplus);
            }
        });
        Some(Self { end, reader })
    }

    fn last_words(self) -> String {
        let deadline = Instant::now() + LAST_WORDS;
        while !self.reader.is_finished() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match String::from_utf8_lossy(&end).trim() {
            "" => String::new(),
            words => format!(". It said: {words}"),
        }
    }
}

fn start(command: &PostRestoreCommand) -> std::io::Result<Child> {
    use std::os::unix::process::CommandExt;
    let mut process = match &command.command {
        CommandLine::Shell(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", line]);
            shell
        }
        CommandLine::Program(words) => {
            let mut words = words.iter();
            let mut program = Command::new(words.next().map_or("", String::as_str));
            program.args(words);
            program
        }
    };
    // A group of its own, so that the time limit ends its children too. Standard output is the
    // worker's channel and not for it.
    process
        .current_dir(&command.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

fn kill(child: &mut Child) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}
