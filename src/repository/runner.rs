//! The process that makes a run, named so that it can be told later whether it still lives.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, getppid, test_kill_process};
use serde::{Deserialize, Serialize};

/// The pid of a claim that was given back.
const NOBODY: i32 = 0;

/// The process that makes a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runner {
    pub(crate) pid: i32,
    pub(crate) host: String,
    /// Names the start of that process, where the system tells it: a pid is used again, and in a
    /// container the scheduler has the same one after every start.
    #[serde(default)]
    pub(crate) started: Option<String>,
}

impl Runner {
    /// The process that started this worker.
    pub(crate) fn ours() -> Self {
        let pid = getppid().map_or(NOBODY, Pid::as_raw_pid);
        Self {
            pid,
            host: host(),
            started: start_of(pid),
        }
    }

    /// Nobody makes the run; it was this host's.
    pub(crate) fn nobody() -> Self {
        Self {
            pid: NOBODY,
            host: host(),
            started: None,
        }
    }

    /// Certain only on the same host; elsewhere everybody counts as alive. Asked for claims of the
    /// local folder only: in a bucket hosts may meet that have the same name.
    pub(crate) fn is_gone(&self) -> bool {
        self.host == host() && (!is_alive(self.pid) || self.is_another_by_now())
    }

    /// Whether the pid is certain to be another process's by now.
    fn is_another_by_now(&self) -> bool {
        let noted = self.started.as_ref();
        noted.is_some_and(|noted| start_of(self.pid).is_some_and(|start| start != *noted))
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// When the system was booted, and how long after that the process was started; `None` where there
/// is no `/proc`.
fn start_of(pid: i32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field is a name in parentheses, which may hold anything; the 22nd is the start.
    let (_, third_and_on) = stat.rsplit_once(") ")?;
    let start = third_and_on.split(' ').nth(19)?;
    Some(format!("{} {start}", boot.trim()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use super::*;

    #[test]
    fn a_process_is_gone_when_it_ended() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id() as i32;
        let runner = Runner {
            pid,
            host: host(),
            started: start_of(pid),
        };
        assert!(!runner.is_gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(runner.is_gone());
        assert!(!Runner::ours().is_gone());
        assert!(Runner::nobody().is_gone());
    }

    /// As in a container, where the scheduler is process 1 again after it was killed.
    #[test]
    fn another_process_with_the_same_pid_is_not_it() {
        let ours = Runner::ours();
        let before = |started: Option<&str>| Runner {
            started: started.map(str::to_owned),
            ..ours.clone()
        };
        assert!(!before(None).is_gone(), "nobody knows");
        if ours.started.is_some() {
            assert!(before(Some("another boot 17")).is_gone());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn processes_that_live_at_once_have_starts_of_their_own() {
        let start = |pid: u32| start_of(pid as i32).unwrap();
        let (boot, own) = (start(1), start(std::process::id()));
        assert_ne!(boot, own);
        assert_eq!(own, start(std::process::id()));
        assert_eq!(boot.split(' ').next(), own.split(' ').next());
        assert!(own.split(' ').nth(1).unwrap().parse::<u64>().is_ok(), "{own}");
        assert_eq!(start_of(i32::MAX), None);
    }
}
