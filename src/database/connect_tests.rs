//! Opening, waiting, and what the refusals are called.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::database::testing::*;

#[test]
fn a_snapshot_connection_reads_and_does_not_write() {
    let place = Place::new();
    let path = place.database("app.db", &("PRAGMA journal_mode=WAL;".to_owned() + &filling(20)));
    let other = OtherProcess::start(&path, &["DELETE FROM item WHERE id = 1"]);
    drop(other);
    let wal = std::fs::metadata(place.path("app.db-wal")).unwrap().len();
    let reader = open_for_reading(&path).unwrap();
    assert_eq!(count(&reader, "item"), 19);
    assert!(reader.execute("DELETE FROM item", []).is_err());
    drop(reader);
    // The last one out did not checkpoint.
    assert_eq!(std::fs::metadata(place.path("app.db-wal")).unwrap().len(), wal);
    assert!(wal > 0);
}

#[test]
fn refusals_have_their_codes() {
    let place = Place::new();
    let code = |path: &Path| open_for_reading(path).unwrap_err().code;
    assert_eq!(code(&place.path("missing.db")), Code::DatabaseNotFound);
    assert_eq!(code(&place.path("")), Code::DatabaseNotAFile);
    let text = place.path("text.db");
    std::fs::write(&text, "no database ".repeat(512)).unwrap();
    assert_eq!(code(&text), Code::DatabaseInvalid);
    let noise = place.path("noise.db");
    let bytes: Vec<u8> = (0..128_u32)
        .flat_map(|block| *blake3::hash(&block.to_le_bytes()).as_bytes())
        .collect();
    for pages in [1, 4] {
        std::fs::write(&noise, bytes.repeat(pages)).unwrap();
        assert_eq!(code(&noise), Code::DatabaseEncrypted);
    }
    std::fs::write(&noise, &bytes[..4000]).unwrap();
    assert_eq!(code(&noise), Code::DatabaseInvalid);
    assert_eq!(
        open_for_restore(&place.path("missing.db")).unwrap_err().code,
        Code::DatabaseNotFound
    );
    let empty = place.path("empty.db");
    std::fs::write(&empty, b"").unwrap();
    open_for_reading(&empty).unwrap();
}

#[test]
fn only_what_sqlite_says_of_the_structure_is_damage() {
    let place = Place::new();
    let path = place.database("app.db", &filling(5));
    let failure = |code, said: Option<&str>| {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), said.map(str::to_owned));
        let is_damage = is_damage(&error);
        (database_error("read", &path, error).code, is_damage)
    };
    for (code, said, expected) in [
        (ffi::SQLITE_CORRUPT, None, Code::DatabaseCorrupt),
        (ffi::SQLITE_NOTADB, None, Code::DatabaseInvalid),
        (
            ffi::SQLITE_ERROR,
            Some("unsupported file format"),
            Code::DatabaseCorrupt,
        ),
    ] {
        assert_eq!(failure(code, said), (expected, true), "{code}");
        assert!(expected.is_damage());
    }
    for (code, said, expected) in [
        (ffi::SQLITE_IOERR, None, Code::DatabaseIo),
        (ffi::SQLITE_IOERR_READ, None, Code::DatabaseIo),
        (ffi::SQLITE_IOERR_CORRUPTFS, None, Code::DatabaseIo),
        (ffi::SQLITE_NOMEM, None, Code::Internal),
        (ffi::SQLITE_IOERR_NOMEM, None, Code::DatabaseIo),
        (ffi::SQLITE_FULL, None, Code::RepositoryFull),
        (ffi::SQLITE_CANTOPEN, None, Code::DatabaseReadonly),
        (ffi::SQLITE_BUSY, None, Code::DatabaseBusy),
        (ffi::SQLITE_CORRUPT_VTAB, None, Code::Internal),
        (ffi::SQLITE_ERROR, Some("no such module: vec0"), Code::Internal),
        (
            ffi::SQLITE_ERROR_MISSING_COLLSEQ,
            Some("no such collation sequence: LOCALIZED"),
            Code::Internal,
        ),
        (ffi::SQLITE_ERROR, Some("unknown tokenizer: icu"), Code::Internal),
        (ffi::SQLITE_ERROR, Some("unknown function: fold()"), Code::Internal),
    ] {
        assert_eq!(failure(code, said), (expected, false), "{code} {said:?}");
        assert!(!expected.is_damage());
    }
}

#[test]
fn damage_is_called_corrupt() {
    let place = Place::new();
    let path = place.database("app.db", &filling(2000));
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(8192).unwrap();
    drop(file);
    assert_eq!(open_for_reading(&path).unwrap_err().code, Code::DatabaseCorrupt);
}

#[test]
fn a_file_named_like_a_uri_is_a_file() {
    let place = Place::new();
    let path = place.database("file:app.db?mode=memory", "CREATE TABLE t(a)");
    assert_eq!(count(&open_for_reading(&path).unwrap(), "t"), 0);
    assert_eq!(names_of(&place), ["file:app.db?mode=memory"]);
}

fn names_of(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path("")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn waiting_ends_at_the_deadline_or_with_the_lock() {
    let place = Place::new();
    let path = place.database("app.db", &filling(20));
    let writer = handle(&path);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let connection = open_for_restore(&path).unwrap();
    let begin = || connection.execute_batch("BEGIN IMMEDIATE");
    let start = Instant::now();
    let error = wait_while_busy(&path, in_ms(150), begin).unwrap_err();
    assert_eq!(error.code, Code::DatabaseBusy);
    assert!((150..1000).contains(&start.elapsed().as_millis()));
    let leaving = std::thread::spawn(move || {
        sleep(Duration::from_millis(100));
        writer.execute_batch("ROLLBACK").unwrap();
    });
    wait_while_busy(&path, in_ms(5000), begin).unwrap();
    leaving.join().unwrap();
    let error = wait_while_busy(&path, in_ms(5000), || connection.execute_batch("nonsense")).unwrap_err();
    assert_eq!(error.code, Code::Internal);
}

#[test]
fn a_database_that_is_locked_can_be_opened() {
    let place = Place::new();
    let path = place.database("app.db", &filling(20));
    let writer = handle(&path);
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let reader = open_for_reading(&path).unwrap();
    let locked = reader.query_row("SELECT 1 FROM item", [], |_| Ok(()));
    assert!(is_busy(&locked.unwrap_err()));
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(count(&reader, "item"), 20);
}

#[test]
fn no_plain_descriptor_beside_a_connection() {
    let place = Place::new();
    let path = place.database("app.db", &filling(20));
    drop(crate::database::raw_files::open_plain(&path, &path).unwrap());
    let connection = handle(&path);
    count(&connection, "item");
    let error = crate::database::raw_files::open_plain(&path, &path).unwrap_err();
    assert_eq!(error.code, Code::Internal);
}

#[test]
fn tells_that_the_file_was_renamed_or_replaced() {
    let place = Place::new();
    let path = place.database("app.db", &filling(20));
    let connection = open_for_reading(&path).unwrap();
    assert!(!has_moved(&connection).unwrap());
    std::fs::rename(&path, place.path("away.db")).unwrap();
    assert!(has_moved(&connection).unwrap());
    std::fs::write(&path, b"").unwrap();
    assert!(has_moved(&connection).unwrap());
}

/// As another user than root, who may write everywhere.
#[test]
fn read_only_folders_are_read_as_far_as_possible() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let place = Place::new();
    let plain = place.database("plain.db", &filling(20));
    let wal = place.database("wal.db", &("PRAGMA journal_mode=WAL;".to_owned() + &filling(20)));
    let open_wal = place.database("open.db", &("PRAGMA journal_mode=WAL;".to_owned() + &filling(20)));
    let hot = place.database("hot.db", &filling(500));
    drop(OtherProcess::start(
        &hot,
        &[
            "PRAGMA cache_size=2",
            "BEGIN IMMEDIATE",
            "UPDATE item SET data = randomblob(250)",
        ],
    ));
    let other = OtherProcess::start(&open_wal, &["DELETE FROM item WHERE id = 1"]);
    let image = header_of(&place.image(&filling(5)));
    for name in names_of(&place) {
        std::fs::set_permissions(place.path(&name), std::fs::Permissions::from_mode(0o444)).unwrap();
    }
    std::fs::set_permissions(place.path(""), std::fs::Permissions::from_mode(0o555)).unwrap();
    std::thread::spawn(move || {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
        assert_eq!(count(&open_for_reading(&plain).unwrap(), "item"), 20);
        // Somebody has made the WAL index, so it can be read along.
        assert_eq!(count(&open_for_reading(&open_wal).unwrap(), "item"), 19);
        assert_eq!(open_for_reading(&wal).unwrap_err().code, Code::DatabaseReadonly);
        assert_eq!(open_for_reading(&hot).unwrap_err().code, Code::DatabaseReadonly);
        for path in [&plain, &wal, &open_wal, &hot] {
            let begin = begin(path, &image, in_ms(100));
            assert_eq!(begin.err().unwrap().code, Code::DatabaseReadonly, "{}", path.display());
        }
    })
    .join()
    .unwrap();
    other.stop();
}
