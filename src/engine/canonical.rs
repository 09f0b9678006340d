//! Paths without symbolic links.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Links one after another; as many as SQLite follows.
const LONGEST_CHAIN: u32 = 200;

/// The path with links resolved as SQLite does it: also those whose target is lost, and of a path whose
/// end is missing the part that is there.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    let mut left = LONGEST_CHAIN;
    let mut ahead: Vec<OsString> = reversed(path);
    while let Some(name) = ahead.pop() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let here = resolved.join(&name);
        match std::fs::read_link(&here) {
            // A chain without an end stays what it is: whoever opens it is told.
            Ok(_) if left == 0 => return path.to_path_buf(),
            Ok(target) => {
                left -= 1;
                // An absolute target begins anew: its first part is the root.
                ahead.extend(reversed(&target));
            }
            Err(_) => resolved = here,
        }
    }
    resolved
}

fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_wherever_they_lead() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/data.db"), b"").unwrap();
        symlink("real", at("folder")).unwrap();
        symlink(at("folder/data.db"), at("absolute.db")).unwrap();
        symlink("real/lost.db", at("lost.db")).unwrap();
        symlink("../lost.db", at("real/twice.db")).unwrap();
        symlink("nowhere/../gone/lost.db", at("gone.db")).unwrap();
        let leads = |from: &str, to: &str| assert_eq!(canonical(&at(from)), at(to), "{from}");
        leads("folder/data.db", "real/data.db");
        leads("absolute.db", "real/data.db");
        leads("lost.db", "real/lost.db");
        leads("folder/twice.db", "real/lost.db");
        leads("gone.db", "gone/lost.db");
        // `..` after a link is the parent of where it leads.
        leads("folder/../lost.db", "real/lost.db");
        leads("missing/./app.db", "missing/app.db");
    }

    #[test]
    fn a_chain_without_an_end_stays_what_it_is() {
        let place = tempfile::tempdir().unwrap();
        let (one, two) = (place.path().join("one"), place.path().join("two"));
        symlink(&two, &one).unwrap();
        symlink(&one, &two).unwrap();
        assert_eq!(canonical(&one), one);
    }
}
