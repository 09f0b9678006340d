//! The history of restore drills, one small file each.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folder::Repository;
use super::tiers::Tier;
use crate::error::Result;
use crate::finding::{Check, Outcome};

const FOLDER: &str = "local/drills/";
/// Drills that are remembered in any case.
const KEPT: usize = 100;

/// One restore drill.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Drill {
    pub(crate) id: Uuid,
    pub(crate) outcome: Outcome,
    /// What failed, or why nothing can be said; `None` when it passed.
    pub(crate) reason: Option<String>,
    /// `None` when none was found.
    pub(crate) snapshot: Option<Subject>,
    /// The tier that was asked for; `None`: both, local first.
    pub(crate) tier: Option<Tier>,
    /// That of the snapshot, else that of the configured database; `None` when nobody knows.
    #[serde(default)]
    pub(crate) lineage: Option<Uuid>,
    /// Whether it was about the newest snapshot of the configured database in that tier.
    #[serde(default)]
    pub(crate) newest: bool,
    /// Which database it was for. Older versions do not tell.
    #[serde(default)]
    pub(crate) instance: Option<String>,
    /// How long it took until the database was there: finding, assembling, verifying.
    pub(crate) rto_ms: Option<u64>,
    /// Age of the data at the time of the drill.
    pub(crate) rpo_ms: Option<u64>,
    pub(crate) checks: Vec<Check>,
    pub(crate) at: Timestamp,
}

/// The snapshot of a drill.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    pub(crate) sequence: Option<u64>,
}

impl Drill {
    fn key(&self) -> String {
        format!("{FOLDER}{}", self.id)
    }

    /// Writes the drill down, and forgets the oldest ones.
    pub(crate) fn save(&self, repository: &Repository) -> Result<()> {
        repository.replace_json(&self.key(), self)?;
        for old in forgotten(&all(repository)?) {
            repository.local().remove(&old.key())?;
        }
        Ok(())
    }
}

/// What is too old, of all drills newest first. The last word on a tier of a database is never too old: a bucket whose
/// drill failed is not good because others were drilled a hundred times since.
fn forgotten(drills: &[Drill]) -> Vec<&Drill> {
    let mut judged = BTreeSet::new();
    let mut old = Vec::new();
    for (index, drill) in drills.iter().enumerate() {
        let is_last_word = drill.newest && judged.insert((drill.lineage, drill.instance.clone(), drill.tier));
        if index >= KEPT && !is_last_word {
            old.push(drill);
        }
    }
    old
}

/// Every drill that is remembered, newest first. One that cannot be read is passed over: nothing
/// else depends on it.
pub(crate) fn all(repository: &Repository) -> Result<Vec<Drill>> {
    let notes = repository.notes::<Drill>(FOLDER)?;
    let mut drills: Vec<Drill> = notes.into_iter().map(|(_, drill)| drill).collect();
    drills.sort_by_key(|drill| std::cmp::Reverse((drill.at, drill.id)));
    Ok(drills)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::testing::Place;

    fn drill(second: i64) -> Drill {
        Drill {
            id: Uuid::new_v4(),
            outcome: Outcome::Passed,
            reason: None,
            snapshot: None,
            tier: Some(Tier::S3),
            lineage: None,
            instance: None,
            newest: true,
            rto_ms: Some(12),
            rpo_ms: None,
            checks: vec![Check::failed("integrity_check", "an index")],
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn the_newest_hundred_are_kept_newest_first() {
        let place = Place::new();
        for second in [5, 3, 9].into_iter().chain(100..200) {
            drill(second).save(&place.repository).unwrap();
        }
        let seconds: Vec<i64> = all(&place.repository)
            .unwrap()
            .iter()
            .map(|drill| drill.at.as_second())
            .collect();
        assert_eq!(seconds, (100..200).rev().collect::<Vec<_>>());
    }

    #[test]
    fn the_last_word_on_a_tier_of_a_database_is_kept_however_old_it_is() {
        let place = Place::new();
        let [one, other] = [1, 2].map(|number| Some(Uuid::from_u128(number)));
        let of = |lineage, tier, newest, second| Drill {
            lineage,
            tier,
            newest,
            ..drill(second)
        };
        let words = [
            of(one, Some(Tier::S3), true, 3),
            of(one, None, true, 4),
            of(other, Some(Tier::Local), true, 5),
        ];
        let said = [of(one, Some(Tier::S3), true, 2), of(other, Some(Tier::S3), false, 6)];
        let later = (100..200).map(|second| of(one, Some(Tier::Local), true, second));
        for drill in words.iter().chain(&said).cloned().chain(later) {
            drill.save(&place.repository).unwrap();
        }
        let left = all(&place.repository).unwrap();
        assert_eq!(left.len(), 103);
        for word in words {
            assert!(left.iter().any(|drill| drill.id == word.id), "{word:?}");
        }
    }

    #[test]
    fn one_that_cannot_be_read_does_not_hide_the_others() {
        let place = Place::new();
        let (good, bad) = (drill(1), drill(2));
        good.save(&place.repository).unwrap();
        bad.save(&place.repository).unwrap();
        place.tamper(&bad.key(), |bytes| bytes.truncate(10));
        let left = all(&place.repository).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].id, &left[0].checks), (good.id, &good.checks));
    }
}
