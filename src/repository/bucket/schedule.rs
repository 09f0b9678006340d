//! The claims of a schedule's ticks by all hosts of the bucket. See [`crate::repository::schedule`].

use uuid::Uuid;

use super::SharedStore;
use crate::error::{Result, fail};
use crate::repository::schedule::{Claim, Claims};

const KEY: &str = "schedule.json";
/// How often other hosts may be faster in changing the object.
const TRIES: u32 = 20;

/// Enters a claim; returns whoever keeps it out. The run `cut_off` does not.
pub(crate) fn claim(store: &impl SharedStore, claim: &Claim, cut_off: Option<Uuid>) -> Result<Option<Claim>> {
    for _ in 0..TRIES {
        let found = store.get(KEY)?;
        let mut claims = match &found {
            Some(found) => Claims::decode(&found.bytes, &store.locate(KEY))?,
            None => Claims::default(),
        };
        match claims.holder(claim, cut_off) {
            // It was written, the answer was lost, and somebody has changed the object since.
            Some(holder) if holder.id == claim.id => return Ok(None),
            Some(holder) => return Ok(Some(holder.clone())),
            None => claims.enter(claim.clone()),
        }
        let bytes = claims.encode()?;
        let written = match &found {
            Some(found) => store.put_over(KEY, &bytes, &found.tag)?,
            None => store.put_new(KEY, &bytes)?,
        };
        if written.is_some() {
            return Ok(None);
        }
    }
    fail!(
        RepositoryBusy,
        "{} was changed by other hosts {TRIES} times in a row",
        store.locate(KEY)
    )
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
