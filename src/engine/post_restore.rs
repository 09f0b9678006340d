//! The command after a restore (the application runs `prisma migrate deploy`): under a time
//! limit, without the repository's lock, and undone when it fails.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::restore::Restored;
use super::undo::undo_entry;
use super::{Context, Writing};
use crate::config::{CommandLine, PostRestoreCommand};
use crate::database::holders;
use crate::database::watch::CommitWatch;
use crate::error::{Code, Error, Result};
use crate::repository::restores::Outcome;

const POLL: Duration = Duration::from_millis(20);
/// The end of the command's output that an error shows.
const SHOWN: usize = 2000;

/// Runs the configured command; when it fails, takes the restore back, unless that would lose
/// what somebody else has written since.
pub(crate) fn run(context: &Context, database: &Path, lock: Writing, restored: &Restored) -> Result<()> {
    let Some(command) = &context.config.post_restore else {
        return Ok(());
    };
    let watch = CommitWatch::start(database, context.config.lock_timeout())?;
    drop(lock);
    let Err(failure) = run_command(context, command) else {
        return Ok(());
    };
    let others = holders::holders(database);
    let committed = watch.somebody_committed();
    drop(watch);
    let _lock = context.lock_for_writing("undoRestore")?;
    // The command itself may have written before it failed; only with nobody else there is that certain.
    if committed? && !others.is_empty() {
        return Err(Error::new(
            Code::UndoConflict,
            format!(
                "{failure}; the restore was NOT undone, because the database was written since and other processes have it open ({}). \
                 Both states are kept: the restored one in the database, the one before in the safety snapshot {}; \
                 call undoRestore to go back to it",
                holders::describe(&others),
                restored
                    .entry
                    .safety
                    .map_or_else(|| "(none)".to_owned(), |id| id.to_string())
            ),
        ));
    }
    // Written down first: undoing it brings the table up to date from the journal.
    let mut entry = restored.entry.clone();
    (entry.outcome, entry.message) = (Outcome::Failed, Some(failure.clone()));
    entry.save(&context.repository)?;
    undo_entry(context, entry)?;
    Err(Error::new(
        Code::PostRestoreFailed,
        format!("{failure}; the restore was undone"),
    ))
}

/// Runs the command to its end; a failure is a sentence.
fn run_command(context: &Context, command: &PostRestoreCommand) -> Result<(), String> {
    let limit = Duration::from_millis(command.timeout_ms);
    let mut child = start(command).map_err(|error| format!("postRestoreCommand could not be started: {error}"))?;
    let output = child.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            text
        })
    });
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() >= deadline || context.host.check_alive().is_err() => {
                kill(&mut child);
                return Err(format!(
                    "postRestoreCommand did not end within {} ms and was stopped",
                    limit.as_millis()
                ));
            }
            Ok(None) => std::thread::sleep(POLL),
            Err(error) => return Err(format!("postRestoreCommand cannot be waited for: {error}")),
        }
    };
    if status.success() {
        return Ok(());
    }
    let text = output.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN)..])
        .trim()
        .to_owned();
    Err(format!("postRestoreCommand failed ({status}): {text}"))
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
