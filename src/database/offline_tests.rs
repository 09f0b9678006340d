//! Replacing and publishing whole files.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::database::testing::*;

fn assembled(place: &Place, image: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new_in(place.path("")).unwrap();
    file.write_all(image).unwrap();
    file
}

fn names(place: &Place) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(place.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn orphans_are_moved_aside_as_one_set() {
    let place = Place::new();
    let database = place.path("app.db");
    for suffix in COMPANIONS {
        fs::write(companion(&database, suffix), suffix).unwrap();
    }
    let moved = move_orphans_aside(&database).unwrap();
    assert_eq!(moved.len(), 3);
    let common = moved[0].to_str().unwrap().strip_suffix("-wal").unwrap();
    assert!(common.contains("app.db.orphaned-2"), "{common}");
    for (path, suffix) in moved.iter().zip(COMPANIONS) {
        assert_eq!(path.to_str().unwrap(), format!("{common}{suffix}"));
        assert_eq!(fs::read_to_string(path).unwrap(), suffix);
    }
    assert_eq!(names(&place).len(), 3);
    assert_eq!(move_orphans_aside(&database).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn what_belongs_to_a_database_is_no_orphan() {
    let place = Place::new();
    fs::write(place.path("app.db"), b"").unwrap();
    fs::write(place.path("app.db-wal"), b"").unwrap();
    assert!(move_orphans_aside(&place.path("app.db")).unwrap().is_empty());
    fs::write(place.path("app.db"), b"content").unwrap();
    fs::write(place.path("app.db-wal"), b"wal").unwrap();
    assert!(move_orphans_aside(&place.path("app.db")).unwrap().is_empty());
    assert!(place.path("app.db-wal").exists());
}

/// SQLite takes the file for a new database and deletes what lies beside it.
#[test]
fn an_emptied_database_is_moved_aside_with_what_it_has_left() {
    let place = Place::new();
    fs::write(place.path("app.db"), b"").unwrap();
    fs::write(place.path("app.db-wal"), b"wal").unwrap();
    assert_eq!(move_orphans_aside(&place.path("app.db")).unwrap().len(), 2);
    assert!(names(&place).iter().all(|name| name.starts_with("app.db.orphaned-")));
}

/// Published beside the orphaned WAL of another database, the new file would be malformed.
#[test]
fn a_new_file_is_published_beside_nothing() {
    let place = Place::new();
    let path = place.database("app.db", "PRAGMA journal_mode=WAL; CREATE TABLE old(a)");
    let other = OtherProcess::start(&path, &["INSERT INTO old VALUES (1)"]);
    drop(other);
    fs::remove_file(&path).unwrap();
    assert!(place.path("app.db-wal").exists());
    let image = place.image(&filling(50));

    assert!(!move_orphans_aside(&path).unwrap().is_empty());
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o750)).unwrap();
    publish_new(assembled(&place, &image), &path).unwrap();
    assert_eq!(mode(&path), 0o640);
    assert_is_image(&path, &image);
}

#[test]
fn a_file_that_came_into_being_is_not_overwritten() {
    let place = Place::new();
    let path = place.database("app.db", "CREATE TABLE precious(a)");
    let image = place.image(&filling(50));
    let error = publish_new(assembled(&place, &image), &path).unwrap_err();
    assert_eq!(error.code, Code::DatabaseMoved);
    assert_eq!(count(&handle(&path), "precious"), 0);
    assert_eq!(names(&place), ["app.db"]);
}

#[test]
fn replaces_when_the_last_one_has_closed() {
    let place = Place::new();
    let path = place.database("app.db", "PRAGMA journal_mode=WAL; CREATE TABLE old(a)");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let image = place.image(&("PRAGMA page_size=512;".to_owned() + &filling(50)));
    let other = OtherProcess::start(&path, &["INSERT INTO old VALUES (1)"]);

    let before = names(&place);
    let error = replace(assembled(&place, &image), &path, in_ms(100)).unwrap_err();
    assert_eq!(error.code, Code::DatabaseBusy);
    let text = error.to_string();
    assert!(text.contains(&format!("(pid {})", other.pid())), "{text}");
    assert!(text.contains("snapshot-writer restore <name> --yes"), "{text}");
    assert_eq!(names(&place), before);

    // Dies without closing: the WAL stays, and belongs to the set.
    drop(other);
    let aside = replace(assembled(&place, &image), &path, in_ms(1000)).unwrap();
    assert_eq!(aside.len(), 3, "{aside:?}");
    assert_eq!(mode(&path), 0o664);
    assert_is_image(&path, &image);
    // The old set opens under its new name, with what was only in the WAL.
    assert_eq!(count(&handle(&aside[0]), "old"), 1);
}

#[test]
fn an_idle_connection_counts_as_open() {
    let place = Place::new();
    let path = place.database("app.db", &filling(5));
    let image = place.image(&filling(50));
    let other = OtherProcess::start(&path, &["SELECT * FROM item"]);
    let holders = holders::holders(&path);
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].pid, other.pid());
    assert!(holders[0].name.starts_with("python"), "{holders:?}");
    assert!(replace(assembled(&place, &image), &path, in_ms(0)).is_err());
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.stop();
    });
    replace(assembled(&place, &image), &path, in_ms(5000)).unwrap();
    stopping.join().unwrap();
    assert_is_image(&path, &image);
}

#[test]
fn not_while_we_have_it_open_ourselves() {
    let place = Place::new();
    let path = place.database("app.db", &filling(5));
    let ours = handle(&path);
    assert_eq!(count(&ours, "item"), 5);
    let image = place.image(&filling(50));
    let error = replace(assembled(&place, &image), &path, in_ms(0)).unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert_eq!(count(&ours, "item"), 5);
}

#[test]
fn a_set_that_was_moved_aside_moves_back() {
    let place = Place::new();
    let path = place.path("app.db");
    for suffix in ["", "-wal", "-shm"] {
        fs::write(companion(&path, suffix), suffix).unwrap();
    }
    let before = names(&place);
    let moved = move_set_aside(&path, "replaced").unwrap();
    assert!(!path.exists());
    moved.move_back().unwrap();
    assert_eq!(names(&place), before);
}

/// SQLite would apply the old WAL to the new database.
#[test]
fn nothing_moves_back_beside_a_new_database() {
    let place = Place::new();
    let path = place.path("app.db");
    for suffix in ["", "-wal"] {
        fs::write(companion(&path, suffix), suffix).unwrap();
    }
    let moved = move_set_aside(&path, "replaced").unwrap();
    fs::write(&path, b"new").unwrap();
    let aside = names(&place);
    assert_eq!(moved.move_back().unwrap_err().code, Code::DatabaseMoved);
    assert_eq!(names(&place), aside);
}

#[test]
fn a_link_stays_a_link() {
    let place = Place::new();
    let path = place.database("real.db", &filling(5));
    let link = place.path("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let image = place.image(&("PRAGMA page_size=512;".to_owned() + &filling(50)));
    replace(assembled(&place, &image), &link, in_ms(0)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_is_image(&path, &image);
}
