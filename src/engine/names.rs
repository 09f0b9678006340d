//! Names of snapshots. They live inside manifests and never in a path, so no name can leave the
//! folder or collide on a file system.

use jiff::Timestamp;

use crate::error::{Result, fail};

/// Longest name, in characters.
pub(crate) const MAX_CHARACTERS: usize = 200;

/// Refuses names that nobody can mean.
pub(crate) fn validate(name: &str) -> Result<()> {
    let length = name.chars().count();
    if name.is_empty() {
        fail!(
            SnapshotNameInvalid,
            "the name of a snapshot is empty; leave it out to get one"
        );
    }
    if length > MAX_CHARACTERS {
        fail!(
            SnapshotNameInvalid,
            "the name of a snapshot has {length} characters; at most {MAX_CHARACTERS} are allowed"
        );
    }
    if name.contains('\0') {
        fail!(SnapshotNameInvalid, "the name of a snapshot holds a NUL character");
    }
    Ok(())
}

/// `<prefix>_<ISO timestamp>`, with `:` and `.` replaced, and a suffix when it is taken already.
pub(crate) fn generate(prefix: &str, at: Timestamp, is_taken: impl Fn(&str) -> bool) -> String {
    let name = format!("{prefix}_{at:.3}").replace([':', '.'], "-");
    let numbered = |n: u32| format!("{name}_{n}");
    std::iter::once(name.clone())
        .chain((2..).map(numbered))
        .find(|name| !is_taken(name))
        .unwrap_or(name)
}

/// Refuses a name that is in use.
pub(crate) fn check_free(name: &str, is_taken: impl Fn(&str) -> bool) -> Result<()> {
    if is_taken(name) {
        fail!(SnapshotExists, "a snapshot named {name} exists; it was left as it is");
    }
    Ok(())
}
