//! Replacing and publishing whole files.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::database::holders::companion;
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

/// Replaces and returns where the old files are.
fn replace(assembled: NamedTempFile, database: &Path, deadline: Instant) -> Result<Vec<PathBuf>> {
    let exchange = Exchange::of_existing(assembled, database, true, deadline)?;
    let aside = exchange.moves().iter().map(|moved| moved.to.clone()).collect();
    exchange.carry_out().map(|()| aside)
}

fn publish_new(assembled: NamedTempFile, database: &Path) -> Result<Vec<PathBuf>> {
    let exchange = Exchange::of_missing(assembled, database)?;
    let aside = exchange.moves().iter().map(|moved| moved.to.clone()).collect();
    exchange.carry_out().map(|()| aside)
}

/// SQLite takes the file for a new database and deletes what lies beside it.
#[test]
fn an_emptied_database_is_moved_aside_with_what_it_has_left() {
    let place = Place::new();
    fs::write(place.path("app.db"), b"").unwrap();
    fs::write(place.path("app.db-wal"), b"wal").unwrap();
    let assembled = NamedTempFile::new_in(place.path(".")).unwrap();
    assert_eq!(publish_new(assembled, &place.path("app.db")).unwrap().len(), 2);
    let aside = names(&place)
        .iter()
        .filter(|name| name.starts_with("app.db.orphaned-"))
        .count();
    assert_eq!((aside, names(&place).len()), (2, 3));
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

    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o750)).unwrap();
    let aside = publish_new(assembled(&place, &image), &path).unwrap();
    assert!(aside[0].to_str().unwrap().contains("app.db.orphaned-2"), "{aside:?}");
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
    assert_eq!(aside.len(), 1, "it was brought to one file first: {aside:?}");
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

/// A file that SQLite cannot read moves with everything that belongs to it.
#[test]
fn an_unreadable_file_is_replaced_as_a_set() {
    let place = Place::new();
    let path = place.path("app.db");
    for suffix in ["", "-wal", "-journal"] {
        fs::write(companion(&path, suffix), vec![0xa5; 8192]).unwrap();
    }
    let image = place.image(&filling(50));
    let exchange = Exchange::of_existing(assembled(&place, &image), &path, false, in_ms(0)).unwrap();
    let aside: Vec<PathBuf> = exchange.moves().iter().map(|moved| moved.to.clone()).collect();
    exchange.carry_out().unwrap();
    assert_is_image(&path, &image);
    assert_eq!(aside.len(), 3);
    assert!(aside.iter().all(|file| file.exists()), "{:?}", names(&place));
}

/// Beside the old `-wal`, the new file would show the old table and pass every check.
#[test]
fn the_new_file_never_lies_beside_the_old_wal() {
    let place = Place::new();
    let path = place.database("app.db", "PRAGMA journal_mode=WAL; CREATE TABLE old(a)");
    drop(OtherProcess::start(&path, &["INSERT INTO old VALUES (1)"]));
    assert!(place.path("app.db-wal").exists());
    let image = place.image(&("PRAGMA page_size=512;".to_owned() + &filling(50)));
    let exchange = Exchange::of_existing(assembled(&place, &image), &path, true, in_ms(1000)).unwrap();
    let left: Vec<String> = names(&place)
        .into_iter()
        .filter(|name| name.starts_with("app.db"))
        .collect();
    assert_eq!(left, ["app.db"]);
    // Nobody else reads or writes it until it is exchanged.
    let refused = OtherProcess::try_sql(&path, "SELECT * FROM old");
    assert!(refused.contains("locked"), "{refused}");
    drop(exchange);
    one_file::return_to_wal(&path, in_ms(1000)).unwrap();
    assert!(one_file::is_wal(&path).unwrap());
    assert_eq!(count(&handle(&path), "old"), 1);
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
