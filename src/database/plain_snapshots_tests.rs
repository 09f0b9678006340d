#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;

fn row(s3_key: &str, created_at: i64) -> Record {
    Record {
        id: format!("row-of-{s3_key}"),
        name: "a name given by hand".into(),
        checksum: "abc".into(),
        ..describe("/x/snapshot_1.db", 7, Timestamp::from_millisecond(created_at).unwrap())
            .map(|record| Record {
                s3_key: s3_key.into(),
                ..record
            })
            .unwrap()
    }
}

fn folder_with(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        fs::write(folder.path().join(file), b"seven b").unwrap();
    }
    folder
}

fn names(snapshots: &[PlainSnapshot]) -> Vec<&str> {
    snapshots.iter().map(|snapshot| snapshot.record.name.as_str()).collect()
}

#[test]
fn files_are_told_from_the_repository_and_from_side_files() {
    let folder = folder_with(&[
        "snapshot_2026-01-02T03-04-05-678Z.db",
        "snapshot_1754520429260.db",
        "snapshot_2026-01-02T03-04-05-678Z.db-wal",
        "snapshot_.db",
        "dev.db",
        "lock",
    ]);
    fs::create_dir(folder.path().join("snapshot_folder.db")).unwrap();
    let found = list(folder.path(), &[]).unwrap();
    assert_eq!(
        names(&found),
        ["snapshot_1754520429260", "snapshot_2026-01-02T03-04-05-678Z"],
        "oldest first"
    );
}

#[test]
fn a_missing_folder_has_none() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(list(&folder.path().join("none"), &[]).unwrap(), []);
}

#[test]
fn a_file_without_a_row_describes_itself_the_same_way_each_time() {
    let folder = folder_with(&["snapshot_2026-01-02T03-04-05-678Z.db"]);
    let found = list(folder.path(), &[]).unwrap().remove(0);
    assert!(matches!(&found.place, Place::File(path) if found.record.s3_key == path.to_str().unwrap()));
    assert_eq!(found.record.size, 7);
    assert_eq!(found.record.status, Status::Completed);
    assert_eq!(found.record.checksum, "");
    assert_eq!(found.record.created_at.to_string(), "2026-01-02T03:04:05.678Z");
    let id = uuid::Uuid::parse_str(&found.record.id).unwrap();
    assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
    assert_eq!(id.to_string(), found.record.id, "lower case");
    assert_eq!(list(folder.path(), &[]).unwrap(), [found]);
}

#[test]
fn a_name_without_a_time_is_as_old_as_its_file() {
    let modified = Timestamp::from_microsecond(1_754_520_429_260_999).unwrap();
    for name in [
        "snapshot_before_upgrade",
        "snapshot_2026-01-02",
        "snapshot_2026-13-02T03-04-05-678Z",
        "snapshot_12",
    ] {
        let record = describe(&format!("snapshots/{name}.db"), 1, modified).unwrap();
        assert_eq!(record.name, name);
        assert_eq!(record.created_at.as_microsecond(), 1_754_520_429_260_000, "{name}");
    }
}

#[test]
fn the_row_is_the_record() {
    let folder = folder_with(&["snapshot_1754520429260.db", "auto_nightly.db"]);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rows = [
        row("elsewhere/snapshot_1754520429260.db", 9),
        row(&path("snapshot_1754520429260.db"), 1),
        row("backups/auto_nightly.db", 2),
        row("", 3),
    ];
    let found = list(folder.path(), &rows).unwrap();
    let records: Vec<&Record> = found.iter().map(|snapshot| &snapshot.record).collect();
    assert_eq!(
        records,
        [&rows[1], &rows[2]],
        "the exact path first; a relative path too"
    );
}

#[test]
fn a_cut_size_is_put_right_and_a_wrong_one_is_kept() {
    let cut = Record {
        size: LARGEST_INT,
        ..row("k", 1)
    };
    assert_eq!(with_exact_size(cut, 3_221_225_472).size, 3_221_225_472);
    assert_eq!(
        with_exact_size(row("k", 1), 6).size,
        7,
        "a truncated file must not look right"
    );
}
