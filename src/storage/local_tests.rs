//! What only a folder has: owners, modes, scratch files.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tempfile::TempDir;

use super::*;

fn folder_of_mode(mode: u32) -> (TempDir, LocalStore) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
    (folder, LocalStore::new(root))
}

fn put(store: &LocalStore, key: &str) {
    let mut object = store.stage(key).unwrap();
    object.write_all(b"content").unwrap();
    object.publish().unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn new_files_and_folders_take_the_mode_of_the_repository() {
    for (root, file) in [(0o700, 0o600), (0o755, 0o644), (0o750, 0o640), (0o2775, 0o664)] {
        let (_folder, store) = folder_of_mode(root);
        put(&store, "packs/deep/a");
        assert_eq!(mode(&store.path("packs/deep/a")), file, "below {root:o}");
        for made in ["packs", "packs/deep", "local", "local/scratch"] {
            assert_eq!(mode(&store.path(made)), root, "{made} below {root:o}");
        }
    }
}

#[test]
fn new_files_and_folders_take_the_owner_of_the_repository() {
    let (_folder, store) = folder_of_mode(0o755);
    // Only root may give files away; for anybody else there is nothing to see.
    if chown(store.root(), Some(4711), Some(4712)).is_err() {
        return;
    }
    put(&store, "packs/a");
    for made in ["packs", "packs/a", "local", "local/scratch"] {
        let metadata = fs::metadata(store.path(made)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712), "{made}");
    }
}

#[test]
fn the_scratch_folder_is_swept_and_comes_back() {
    let (_folder, store) = folder_of_mode(0o755);
    store.sweep_scratch().unwrap();
    fs::write(store.scratch().unwrap().join("left-over"), b"x").unwrap();
    store.sweep_scratch().unwrap();
    assert!(!store.path(SCRATCH).exists());
    put(&store, "packs/a");
    assert_eq!(store.list("packs/").unwrap().len(), 1);
}

#[test]
fn a_replaced_file_is_whole_and_the_old_one_is_gone() {
    let (_folder, store) = folder_of_mode(0o755);
    let target = store.path("small.json");
    for content in ["first", "second"] {
        let mut file = NamedTempFile::new_in(store.scratch().unwrap()).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        replace(file, &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), content);
    }
    assert_eq!(fs::read_dir(store.path(SCRATCH)).unwrap().count(), 0);
}

#[test]
fn a_rename_never_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, b"new").unwrap();
    fs::write(&to, b"old").unwrap();
    assert_eq!(
        rename_no_replace(&from, &to).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    assert_eq!(
        (fs::read(&from).unwrap(), fs::read(&to).unwrap()),
        (b"new".to_vec(), b"old".to_vec())
    );
    fs::remove_file(&to).unwrap();
    rename_no_replace(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"new");
}

#[test]
fn refusals_of_the_file_system_say_what_to_do() {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    for (kind, code) in [
        (StorageFull, Code::RepositoryFull),
        (QuotaExceeded, Code::RepositoryFull),
        (PermissionDenied, Code::RepositoryUnwritable),
        (ReadOnlyFilesystem, Code::RepositoryUnwritable),
        (NotADirectory, Code::RepositoryUnwritable),
        (NotFound, Code::RepositoryIo),
    ] {
        assert_eq!(io_error("write", Path::new("x"), kind.into()).code, code, "{kind}");
    }
}
