#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::PathBuf;

use super::*;
use crate::repository::testing::{draft, pages};

struct Host {
    place: crate::repository::testing::Place,
}

impl Host {
    fn new() -> Self {
        Self {
            place: crate::repository::testing::Place::new(),
        }
    }

    fn path(&self, database: &str) -> PathBuf {
        self.place.beside(database)
    }

    fn make(&self, database: &str) {
        let path = self.path(database);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, database).unwrap();
    }

    fn identity_with(&self, database: &str, id: Option<&str>) -> Identity {
        let configured = self.path(database);
        let path = configured.canonicalize().unwrap_or_else(|_| configured.clone());
        let id = id.map(str::to_owned);
        let heads = self.heads();
        Identity::of(&self.place.repository, Place { path, configured, id }, &heads).unwrap()
    }

    fn identity(&self, database: &str) -> Identity {
        self.identity_with(database, None)
    }

    fn heads(&self) -> Vec<Head> {
        self.place.repository.heads().unwrap()
    }

    /// A snapshot as `create` makes it, so many days after an instant.
    fn snapshot(&self, database: &str, days: i64) -> Head {
        self.snapshot_of(&self.identity(database), days)
    }

    fn snapshot_of(&self, identity: &Identity, days: i64) -> Head {
        let lineage = identity.lineage.unwrap_or_else(Uuid::new_v4);
        identity.remember(&self.place.repository, lineage).unwrap();
        let mut draft = draft("a", 512);
        draft.instance.clone_from(&identity.instance);
        draft.database_name = identity.file_name();
        draft.lineage = lineage;
        draft.created_at = at(days);
        self.place.snapshot(draft, &pages(1, 512))
    }

    /// A snapshot of a version that knew no instances, with its note where it made one.
    fn old_snapshot(&self, database: &str, lineage: Uuid, noted: bool) -> Head {
        if noted {
            lineage::set(&self.place.repository, &self.path(database), lineage).unwrap();
        }
        let mut draft = draft("old", 512);
        draft.database_name = crate::repository::lineage::file_name(&self.path(database));
        draft.lineage = lineage;
        draft.created_at = at(0);
        self.place.snapshot(draft, &pages(1, 512))
    }
}

fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + days * 86_400).unwrap()
}

fn told(beginning: Beginning) -> String {
    match beginning {
        Beginning::Own(heads) => format!("own {}", heads.len()),
        Beginning::Fork(heads, _) => format!("fork {}", heads.len()),
        Beginning::Several(others) => format!("several {}", others.len()),
        Beginning::Nothing(found) => format!("nothing of {}", found.join(", ")),
    }
}

#[test]
fn a_database_owns_what_it_made_and_not_what_was_made_of_its_content() {
    let host = Host::new();
    host.make("prod.db");
    host.make("staging.db");
    let prod = host.snapshot("prod.db", 0);
    // Restored into the copy.
    lineage::set(&host.place.repository, &host.path("staging.db"), prod.lineage).unwrap();
    let staging = host.snapshot("staging.db", 1);
    assert_eq!(staging.lineage, prod.lineage);
    for (own, other, database) in [(&prod, &staging, "prod.db"), (&staging, &prod, "staging.db")] {
        let identity = host.identity(database);
        assert!(identity.owns(own) && !identity.owns(other), "{database}");
        assert!(identity.closeness(own) > identity.closeness(other));
    }
}

#[test]
fn a_folder_that_is_moved_with_its_repository_stays_itself() {
    let host = Host::new();
    host.make("data/app.db");
    let head = host.snapshot("data/app.db", 0);
    let old = host.place.repository.root().parent().unwrap().to_path_buf();
    let new = tempfile::tempdir().unwrap();
    let moved = new.path().join("moved");
    std::fs::rename(&old, &moved).unwrap();
    let repository = Repository::open(&moved.join("repository"), None).unwrap();
    let path = moved.join("data/app.db");
    let place = Place {
        configured: path.clone(),
        path,
        id: None,
    };
    let heads = repository.heads().unwrap();
    assert!(Identity::of(&repository, place, &heads).unwrap().owns(&head));
    std::fs::rename(&moved, &old).unwrap();
}

#[test]
fn a_link_that_is_changed_to_a_new_file_is_the_same_database() {
    let host = Host::new();
    host.make("v1.db");
    host.make("v2.db");
    let link = host.path("current.db");
    std::os::unix::fs::symlink("v1.db", &link).unwrap();
    let first = host.snapshot("current.db", 0);
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("v2.db", &link).unwrap();
    let second = host.snapshot("current.db", 1);
    assert_eq!(
        (&first.instance, &*first.database_name),
        (&second.instance, "current.db")
    );
    // By its own name the new file is that database too, the old one is not any more.
    assert!(host.identity("v2.db").owns(&first));
    assert!(!host.identity("v1.db").owns(&first));
}

#[test]
fn a_renamed_database_is_known_by_its_file_and_leaves_its_name_to_another_one() {
    let host = Host::new();
    host.make("old.db");
    let head = host.snapshot("old.db", 0);
    std::fs::rename(host.path("old.db"), host.path("new.db")).unwrap();
    assert!(host.identity("new.db").owns(&head));
    let renamed = host.snapshot("new.db", 1);
    assert_eq!((&renamed.instance, renamed.lineage), (&head.instance, head.lineage));
    host.make("old.db");
    let successor = host.identity("old.db");
    assert!(!successor.owns(&head) && !successor.owns(&renamed));
    let made = host.snapshot("old.db", 2);
    assert!(host.identity("new.db").owns(&head) && !host.identity("new.db").owns(&made));
}

#[test]
fn a_new_file_with_the_inode_of_a_deleted_one_is_another_database() {
    let host = Host::new();
    host.make("old.db");
    let head = host.snapshot("old.db", 0);
    std::fs::remove_file(host.path("old.db")).unwrap();
    let note = host.place.repository.path("local/instances.json");
    host.make("new.db");
    // As the file system would have it that gives the number to the next file.
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&note).unwrap()).unwrap();
    use std::os::unix::fs::MetadataExt;
    let places = json["places"].as_object_mut().unwrap();
    let file = &mut places.values_mut().next().unwrap()["file"];
    file["inode"] = host.path("new.db").metadata().unwrap().ino().into();
    std::fs::write(&note, json.to_string()).unwrap();
    assert!(!host.identity("new.db").owns(&head));
}

#[test]
fn another_file_at_a_known_path_is_the_same_database() {
    let host = Host::new();
    host.make("app.db");
    let head = host.snapshot("app.db", 0);
    host.make("next.db");
    std::fs::rename(host.path("next.db"), host.path("app.db")).unwrap();
    assert!(host.identity("app.db").owns(&head));
}

#[test]
fn a_configured_name_identifies_on_every_host_and_keeps_what_was_made_before() {
    let (one, other) = (Host::new(), Host::new());
    let before = one.snapshot("app.db", 0);
    let named = one.snapshot_of(&one.identity_with("app.db", Some("prod")), 1);
    assert_eq!(named.instance.as_deref(), Some("prod"));
    let identity = one.identity_with("app.db", Some("prod"));
    assert!(identity.owns(&before) && identity.owns(&named));
    assert!(other.identity_with("x.db", Some("prod")).owns(&named));
    for stranger in [other.identity("app.db"), other.identity_with("app.db", Some("test"))] {
        assert!(!stranger.owns(&named) && !stranger.owns(&before));
    }
}

#[test]
fn an_unknown_database_begins_with_the_only_candidate_and_asks_when_there_are_several() {
    let host = Host::new();
    host.snapshot("a/app.db", 0);
    host.snapshot("another.db", 0);
    assert_eq!(told(host.identity("b/app.db").beginning(host.heads())), "fork 1");
    host.snapshot("c/app.db", 0);
    assert_eq!(told(host.identity("b/app.db").beginning(host.heads())), "several 2");
    for name in ["prod.db", "APP.db", "app.db.old"] {
        let nothing = told(host.identity(name).beginning(host.heads()));
        assert_eq!(nothing, "nothing of another.db, app.db", "{name}");
    }
    // One that still exists goes on itself.
    host.make("a/app.db");
    assert_eq!(told(host.identity("b/app.db").beginning(host.heads())), "fork 1");
    host.snapshot("b/app.db", 1);
    assert_eq!(told(host.identity("b/app.db").beginning(host.heads())), "own 1");
}

#[test]
fn an_instance_of_the_lineage_that_is_idle_for_thirty_days_is_inherited() {
    let host = Host::new();
    let gone = host.snapshot("gone.db", 0);
    lineage::set(&host.place.repository, &host.path("app.db"), gone.lineage).unwrap();
    host.snapshot("app.db", 29);
    assert!(!host.identity("app.db").owns(&gone));
    // A clock that jumped ahead says so at once.
    host.snapshot("app.db", 400);
    assert!(!host.identity("app.db").owns(&gone));
    host.snapshot("app.db", 401);
    assert!(host.identity("app.db").owns(&gone));
    let unrelated = host.snapshot("unrelated.db", 0);
    assert!(!host.identity("app.db").owns(&unrelated));
    // Its database exists: it is at rest, and not gone.
    host.make("gone.db");
    assert!(!host.identity("app.db").owns(&gone));
}

#[test]
fn what_an_older_version_made_belongs_to_the_database_that_it_knew() {
    let host = Host::new();
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let first = host.old_snapshot("first.db", one, true);
    let second = host.old_snapshot("second.db", other, true);
    for _ in 0..2 {
        let [a, b] = ["first.db", "second.db"].map(|name| host.identity(name));
        assert!(a.owns(&first) && !a.owns(&second) && b.owns(&second) && !b.owns(&first));
        // As it stays once something is written.
        host.snapshot("first.db", 1);
        lineage::set(&host.place.repository, &host.path("second.db"), one).unwrap();
    }
}

#[test]
fn of_two_databases_that_an_older_version_took_for_one_each_gets_what_bears_its_name() {
    let host = Host::new();
    let lineage = Uuid::new_v4();
    host.make("prod.db");
    host.make("staging.db");
    let prod = host.old_snapshot("prod.db", lineage, true);
    let staging = host.old_snapshot("staging.db", lineage, true);
    let [a, b] = ["prod.db", "staging.db"].map(|name| host.identity(name));
    assert!(a.owns(&prod) && !a.owns(&staging) && b.owns(&staging) && !b.owns(&prod));
}

#[test]
fn an_older_versions_database_that_was_moved_is_found_where_its_old_path_is_gone() {
    let host = Host::new();
    let head = host.old_snapshot("a/app.db", Uuid::new_v4(), true);
    host.make("b/app.db");
    assert!(host.identity("b/app.db").owns(&head));
    host.make("a/app.db");
    assert!(!host.identity("b/app.db").owns(&head));
    assert!(host.identity("a/app.db").owns(&head));
}

#[test]
fn looking_remembers_nothing() {
    let host = Host::new();
    host.old_snapshot("app.db", Uuid::new_v4(), false);
    host.identity("app.db");
    assert!(!host.place.repository.path("local/instances.json").exists());
}
