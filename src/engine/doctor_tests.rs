use super::*;

#[test]
fn a_fact_is_a_value_or_the_reason_why_there_is_none() {
    assert_eq!(fact(Ok(5)), json!({ "value": 5 }));
    let error = Error::new(Code::DatabaseBusy, "it is locked").because("a cause");
    assert_eq!(
        fact::<()>(Err(error)),
        json!({ "error": { "code": "DATABASE_BUSY", "message": "it is locked: a cause" } })
    );
}

#[test]
fn folders_that_are_not_there_yet_are_judged_by_their_parents() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/yet");
    let place = repository(&root);
    assert!(!place.exists && place.unwritable.is_empty() && place.leads_nowhere.is_none());
    let disks = disks(&folder.path().join("app.db"), Some(&root));
    assert_eq!(
        disks.iter().map(|disk| disk.what).collect::<Vec<_>>(),
        ["database", "repository", "temporary"]
    );
    assert_eq!(disks[0].device, disks[1].device);
    assert!(disks.iter().all(|disk| disk.free.is_some()));
}

#[test]
fn a_link_to_a_disk_that_is_not_mounted_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("backups");
    std::os::unix::fs::symlink("not-mounted/here", &link).unwrap();
    for root in [link.clone(), link.join("app")] {
        assert_eq!(
            repository(&root).leads_nowhere.as_deref(),
            Some(Path::new("not-mounted/here"))
        );
    }
}
