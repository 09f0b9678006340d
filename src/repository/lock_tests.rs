#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use super::*;
use crate::repository::testing::{Place, code};

use Mode::{Exclusive, Shared};

fn try_lock(place: &Place, mode: Mode, operation: &str) -> Result<Lock> {
    Lock::acquire(
        place.repository.root(),
        Subject::Repository,
        mode,
        operation,
        Duration::ZERO,
    )
}

fn busy_message(place: &Place, mode: Mode) -> String {
    let error = try_lock(place, mode, "waiter").unwrap_err();
    assert_eq!(error.code, Code::RepositoryBusy);
    error.to_string()
}

/// Another process that holds the lock until it is killed.
struct Other(Child);

impl Other {
    fn holding(place: &Place, how: &str) -> Self {
        let script = "import fcntl, sys\n\
                      file = open(sys.argv[1], 'a+')\n\
                      fcntl.flock(file, getattr(fcntl, sys.argv[2]))\n\
                      print('ready', flush=True)\n\
                      sys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(place.repository.path("local/lock"))
            .arg(how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line.trim(), "ready");
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn within_a_process_readers_share_and_a_writer_is_alone() {
    let place = Place::new();
    let first = try_lock(&place, Shared, "list").unwrap();
    let second = try_lock(&place, Shared, "list").unwrap();
    assert_eq!(code(try_lock(&place, Exclusive, "create")), Some(Code::RepositoryBusy));
    drop(first);
    assert_eq!(code(try_lock(&place, Exclusive, "create")), Some(Code::RepositoryBusy));
    drop(second);
    let writer = try_lock(&place, Exclusive, "create").unwrap();
    for mode in [Shared, Exclusive] {
        assert_eq!(code(try_lock(&place, mode, "other")), Some(Code::RepositoryBusy));
    }
    drop(writer);
    try_lock(&place, Shared, "list").unwrap();
}

#[test]
fn across_processes_too_and_it_dies_with_its_holder() {
    let place = Place::new();
    drop(try_lock(&place, Exclusive, "create").unwrap());
    for (held, mode, outcome) in [
        ("LOCK_SH", Shared, None),
        ("LOCK_SH", Exclusive, Some(Code::RepositoryBusy)),
        ("LOCK_EX", Shared, Some(Code::RepositoryBusy)),
        ("LOCK_EX", Exclusive, Some(Code::RepositoryBusy)),
    ] {
        let mut other = Other::holding(&place, held);
        assert_eq!(code(try_lock(&place, mode, "x")), outcome, "{held} {mode:?}");
        other.kill();
        try_lock(&place, mode, "x").unwrap();
    }
}

#[test]
fn who_waits_gets_the_lock_when_it_is_free() {
    let place = Place::new();
    let held = try_lock(&place, Exclusive, "create").unwrap();
    let (send, outcome) = channel();
    std::thread::scope(|scope| {
        let place = &place;
        scope.spawn(move || {
            let lock = Lock::acquire(
                place.repository.root(),
                Subject::Repository,
                Exclusive,
                "delete",
                Duration::from_secs(60),
            );
            send.send(lock.map(drop)).unwrap();
        });
        assert!(outcome.try_recv().is_err());
        drop(held);
        outcome.recv().unwrap().unwrap();
    });
}

#[test]
fn who_waits_in_vain_learns_who_is_in_the_way() {
    let place = Place::new();
    let _held = try_lock(&place, Exclusive, "createSnapshot").unwrap();
    for mode in [Shared, Exclusive] {
        let message = busy_message(&place, mode);
        let holder = format!("process {} (createSnapshot since 20", std::process::id());
        assert!(message.contains(&holder), "{message}");
    }
}

#[test]
fn a_writer_that_has_finished_or_died_is_not_blamed_for_a_reader() {
    let place = Place::new();
    drop(try_lock(&place, Exclusive, "createSnapshot").unwrap());
    let reader = try_lock(&place, Shared, "listSnapshots").unwrap();
    let message = busy_message(&place, Exclusive);
    assert!(!message.contains("createSnapshot"), "{message}");
    drop(reader);

    // A writer that was killed cannot clear its name away.
    let died = r#"{"pid":4711,"operation":"deleteSnapshot","since":"2026-01-01T00:00:00Z"}"#;
    std::fs::write(Subject::Repository.holder_path(place.repository.root()), died).unwrap();
    let _reader = try_lock(&place, Shared, "listSnapshots").unwrap();
    let message = busy_message(&place, Exclusive);
    assert!(!message.contains("4711"), "{message}");
}

#[test]
fn a_holder_that_cannot_be_read_is_another_operation() {
    let place = Place::new();
    let _held = try_lock(&place, Exclusive, "createSnapshot").unwrap();
    for content in ["", "{", "[1]"] {
        std::fs::write(Subject::Repository.holder_path(place.repository.root()), content).unwrap();
        assert!(busy_message(&place, Shared).contains("another operation"));
    }
}

/// What becomes of the lock's file while it is held.
const LOSSES: [fn(&Place); 4] = [
    |place| std::fs::rename(place.repository.root(), place.beside("away")).unwrap(),
    |place| std::fs::remove_dir_all(place.repository.path("local")).unwrap(),
    |place| std::fs::remove_file(place.repository.path("local/lock")).unwrap(),
    |place| {
        // A copy: the same path, the same bytes, another file.
        std::fs::copy(place.repository.path("local/lock"), place.beside("copy")).unwrap();
        std::fs::rename(place.beside("copy"), place.repository.path("local/lock")).unwrap();
    },
];

#[test]
fn a_holder_notices_that_its_lock_is_no_longer_the_one_at_the_path() {
    for (number, lose) in LOSSES.into_iter().enumerate() {
        let place = Place::new();
        let repository = &place.repository;
        let lock = try_lock(&place, Exclusive, "createSnapshot").unwrap();
        repository.hold(&lock).unwrap();
        repository.check_held().unwrap();
        repository.replace_json("local/note", &1).unwrap();
        lose(&place);
        let moved = Some(Code::RepositoryMoved);
        assert_eq!(code(repository.check_held()), moved, "{number}");
        assert_eq!(code(repository.replace_json("local/note", &2)), moved, "{number}");
        assert_eq!(code(repository.local().remove("local/note")), moved, "{number}");
        assert_eq!(code(repository.local().stage("packs/a").map(drop)), moved, "{number}");
        // The next one locks what is there, and is not disturbed by the end of the first.
        let next = try_lock(&place, Exclusive, "deleteSnapshot").unwrap();
        repository.let_go();
        drop(lock);
        assert!(busy_message(&place, Exclusive).contains("deleteSnapshot"), "{number}");
        drop(next);
    }
}

#[test]
fn what_was_begun_before_the_lock_was_lost_is_not_published() {
    let place = Place::new();
    let lock = try_lock(&place, Exclusive, "createSnapshot").unwrap();
    place.repository.hold(&lock).unwrap();
    let staged = place.repository.local().stage("packs/a").unwrap();
    LOSSES[2](&place);
    assert_eq!(code(staged.publish()), Some(Code::RepositoryMoved));
    assert!(!place.repository.path("packs/a").exists());
}

#[test]
fn who_waited_at_a_file_that_was_replaced_waits_for_the_one_that_is_there() {
    let place = Place::new();
    let held = try_lock(&place, Exclusive, "first").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let root = place.repository.root();
            Lock::acquire(root, Subject::Repository, Exclusive, "waiting", Duration::from_secs(60)).unwrap()
        });
        while open_here(&place.repository.path("local/lock")) < 2 {
            std::thread::yield_now();
        }
        LOSSES[3](&place);
        drop(held);
        let lock = waiting.join().unwrap();
        place.repository.hold(&lock).unwrap();
        place.repository.check_held().unwrap();
    });
}

/// How many descriptors of the file this process has.
fn open_here(path: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
    let wanted = inode(path);
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    descriptors.filter(|entry| inode(&entry.path()) == wanted).count()
}
