//! Files moved aside as one set, and back: exactly those, and the first error is told.

use super::*;
use crate::database::testing::*;

fn names_in(place: &Place) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(place.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A database with a WAL and its index, as a plan.
fn planned(place: &Place) -> (PathBuf, Vec<Moved>) {
    let path = place.path("app.db");
    for suffix in ["", "-wal", "-shm"] {
        fs::write(companion(&path, suffix), format!("old {suffix}")).unwrap();
    }
    let plan = plan(&path, "replaced").unwrap();
    assert_eq!(plan.len(), 3);
    (path, plan)
}

fn moved_aside<'a>(path: &'a Path, plan: &'a [Moved]) -> MovedSet<'a> {
    let mut set = MovedSet::of(path, plan);
    set.move_aside(plan.iter()).unwrap();
    assert!(!path.exists());
    set
}

#[test]
fn a_set_keeps_one_name_and_moves_back_for_its_reason() {
    let place = Place::new();
    let (path, plan) = planned(&place);
    let before = names_in(&place);
    let common = plan[0].to.to_str().unwrap().to_owned();
    assert!(common.contains("app.db.replaced-2"), "{common}");
    assert_eq!(plan[1].to.to_str().unwrap(), format!("{common}-wal"));
    let set = moved_aside(&path, &plan);
    let error = set.move_back(Error::new(Code::DatabaseBusy, "the reason"));
    assert_eq!(
        (error.code, error.to_string().as_str()),
        (Code::DatabaseBusy, "the reason")
    );
    assert_eq!(names_in(&place), before);
}

#[test]
fn what_was_never_moved_is_not_moved_back_or_told_of() {
    let place = Place::new();
    let (path, plan) = planned(&place);
    let before = names_in(&place);
    let set = MovedSet::of(&path, &plan);
    let error = set.move_back(Error::new(Code::DatabaseBusy, "the first error"));
    assert_eq!(error.to_string(), "the first error");
    assert_eq!(names_in(&place), before);
}

#[test]
fn what_cannot_move_back_is_named_with_its_place_and_the_first_error() {
    let place = Place::new();
    let (path, plan) = planned(&place);
    let set = moved_aside(&path, &plan);
    // Something else has the name of the WAL by now.
    fs::create_dir(&plan[1].from).unwrap();
    let error = set.move_back(Error::new(Code::DatabaseBusy, "the first error"));
    assert_eq!(error.code, Code::Unsettled);
    assert!(error.to_string().contains(plan[1].to.to_str().unwrap()), "{error}");
    assert!(!error.to_string().contains("-shm"), "{error}");
    assert_eq!(error.causes(), ["the first error"]);
    assert!(plan[1].to.exists());
}

/// SQLite would apply the old WAL to the new database.
#[test]
fn nothing_moves_back_beside_a_new_database() {
    let place = Place::new();
    let (path, plan) = planned(&place);
    let set = moved_aside(&path, &plan);
    fs::write(&path, b"new").unwrap();
    let aside = names_in(&place);
    let error = set.move_back(Error::new(Code::Internal, "the reason"));
    assert_eq!(error.code, Code::DatabaseMoved);
    assert!(put_back(&path, &plan).unwrap().is_empty());
    assert!(!is_aside(&path, &plan).unwrap());
    assert_eq!(names_in(&place), aside);
}

#[test]
fn a_set_that_a_killed_process_left_aside_is_put_back() {
    for moved in 0..=3 {
        let place = Place::new();
        let (path, plan) = planned(&place);
        let before = names_in(&place);
        MovedSet::of(&path, &plan).move_aside(plan.iter().take(moved)).unwrap();
        assert_eq!(is_aside(&path, &plan).unwrap(), moved > 0, "{moved} moved");
        assert_eq!(put_back(&path, &plan).unwrap().len(), moved);
        assert_eq!(names_in(&place), before);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old ");
    }
}

#[test]
fn another_file_of_a_name_that_the_plan_knows_stays_where_it_is() {
    let place = Place::new();
    let (path, plan) = planned(&place);
    drop(moved_aside(&path, &plan));
    fs::write(place.path("other"), b"another database").unwrap();
    fs::rename(place.path("other"), &plan[0].to).unwrap();
    let before = names_in(&place);
    assert!(!is_aside(&path, &plan).unwrap());
    assert!(put_back(&path, &plan).unwrap().is_empty());
    assert_eq!(names_in(&place), before, "its companions neither");
}

#[test]
fn a_second_name_of_the_database_goes_and_an_only_one_stays() {
    let place = Place::new();
    let (path, plan) = planned(&place);
    fs::hard_link(&path, &plan[0].to).unwrap();
    assert!(put_back(&path, &plan).unwrap().is_empty());
    assert!(path.exists() && !plan[0].to.exists());
    fs::hard_link(&path, &plan[0].to).unwrap();
    fs::write(place.path("new"), b"published").unwrap();
    fs::rename(place.path("new"), &path).unwrap();
    assert!(put_back(&path, &plan).unwrap().is_empty());
    assert!(plan[0].to.exists(), "the only name of what was there before");
}
