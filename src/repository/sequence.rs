//! The numbers that order snapshots and restores.

use super::manifest::Head;
use super::{Repository, head_cache, restores};

/// The highest number that was given here: what was deleted since gives its number to nothing else.
const FILE: &str = "local/sequence.json";

/// A number above all that are known: of the snapshots and restores here, of what the bucket had when it was last
/// listed, of `seen`, and of the highest that was given. Call it below the exclusive lock.
///
/// Never fails: what cannot be read counts for nothing, and without its note (a full disk) the number follows from
/// the others.
pub(crate) fn next(repository: &Repository, seen: &[Head]) -> u64 {
    let here = repository.readable_heads().unwrap_or_default();
    let remembered = head_cache::all(repository);
    let snapshots = here.iter().chain(remembered.values()).chain(seen);
    let snapshots = snapshots.filter_map(|head| head.sequence);
    let restores = restores::all(repository).unwrap_or_default().into_iter();
    let restores = restores.filter_map(|restore| restore.sequence);
    let given: Option<u64> = repository.read_note(FILE).ok().flatten();
    let next = snapshots
        .chain(restores)
        .chain(given)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    if let Err(error) = repository.replace_json(FILE, &next) {
        tracing::debug!(reason = %error, "the number that was given could not be noted");
    }
    next
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
