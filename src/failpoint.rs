//! Named places at which the tests kill, pause or fail the worker.
//!
//! `SNAPSHOT_WRITER_FAILPOINT=<name>=<action>` arms one place: `kill` ends the process with
//! SIGKILL, `fail` returns an error of code `INTERNAL`, `full` returns `REPOSITORY_FULL`,
//! `pause:<file>` writes `<file>.reached` and waits while `<file>` exists. They are part of the
//! released addon, so that the tests run the very artifact that ships; an unarmed place costs
//! one comparison.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use crate::error::{Result, fail};

const VARIABLE: &str = "SNAPSHOT_WRITER_FAILPOINT";

fn armed() -> Option<&'static (String, String)> {
    static ARMED: OnceLock<Option<(String, String)>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let value = std::env::var(VARIABLE).ok()?;
            let (name, action) = value.split_once('=')?;
            Some((name.to_owned(), action.to_owned()))
        })
        .as_ref()
}

/// Does what the test asked for at the place `name`; nothing otherwise.
pub(crate) fn reached(name: &str) -> Result<()> {
    let Some((armed_name, action)) = armed() else {
        return Ok(());
    };
    if armed_name != name {
        return Ok(());
    }
    match action.as_str() {
        "kill" => kill_self(),
        "full" => fail!(RepositoryFull, "no space left (failpoint {name})"),
        "fail" => fail!(Internal, "failpoint {name}"),
        pause => {
            if let Some(file) = pause.strip_prefix("pause:") {
                // Tells the test that the worker stands here.
                let _ = std::fs::write(format!("{file}.reached"), name);
                while Path::new(file).exists() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Ok(())
        }
    }
}

fn kill_self() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}
