//! Which due time of a schedule ("tick") was claimed last, so that of all processes and hosts one
//! makes its run.
//!
//! A claim is for one database: by its path in the local folder, by its instance in the bucket. It is for an instant, whatever the expression: a run for that instant or a later one
//! leaves nothing to do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::clock::is_ahead;
pub(crate) use super::runner::Runner;
use crate::error::{Code, Error, Result, fail};

/// Where the claims of this host are.
pub(crate) const FILE: &str = "local/schedule.json";
const VERSION: u16 = 1;
/// Runs of one tick: one, and another one where its process was killed. No more, because the run
/// itself may be what kills it.
const ATTEMPTS: u8 = 2;
/// Databases that are remembered.
const KEPT: usize = 100;

/// The last claim for a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) id: Uuid,
    pub(crate) database: String,
    /// The key of its instance; older versions wrote its lineage.
    pub(crate) lineage: Uuid,
    /// For people: the expression and its time zone.
    pub(crate) schedule: String,
    pub(crate) tick: Timestamp,
    pub(crate) by: Runner,
    /// By the claimant's clock.
    pub(crate) at: Timestamp,
    /// 1, or more after the process before was killed; 0 when it was given back.
    pub(crate) attempt: u8,
    /// The run is over, however it ended.
    pub(crate) finished: bool,
}

impl Claim {
    fn is_for_same_database(&self, other: &Self) -> bool {
        self.database == other.database && self.lineage == other.lineage
    }

    /// Whether a claim for that tick comes too late.
    fn keeps_out(&self, tick: Timestamp, cut_off: Option<Uuid>) -> bool {
        if is_ahead(self.tick, Timestamp::now()) {
            tracing::warn!(tick = %self.tick, "the last run was claimed for a time that lies ahead; its clock was wrong, and the claim is ignored");
            return false;
        }
        self.tick >= tick && cut_off != Some(self.id)
    }
}

/// The last claim for each database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    version: u16,
    claims: Vec<Claim>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            version: VERSION,
            claims: Vec::new(),
        }
    }
}

impl Claims {
    /// Who keeps this claim out; `None`: nobody. A run that is known to be cut off does not.
    pub(crate) fn holder(&self, claim: &Claim, cut_off: Option<Uuid>) -> Option<&Claim> {
        self.last(claim).filter(|last| last.keeps_out(claim.tick, cut_off))
    }

    /// The run of that tick whose process was killed, or gave it back, if it may be made again.
    pub(crate) fn cut_off(&self, claim: &Claim) -> Option<Uuid> {
        let last = self.last(claim)?;
        let was_cut_off = last.tick == claim.tick && !last.finished && last.by.is_gone();
        (was_cut_off && last.attempt < ATTEMPTS).then_some(last.id)
    }

    /// Enters a claim in place of the one before.
    pub(crate) fn enter(&mut self, mut claim: Claim) {
        if let Some(last) = self.last(&claim)
            && last.tick == claim.tick
        {
            claim.attempt = claim.attempt.max(last.attempt.saturating_add(1));
        }
        self.put(claim);
    }

    /// Corrects a claim that was entered before all was known about it.
    pub(crate) fn correct(&mut self, id: Uuid, change: impl FnOnce(&mut Claim)) {
        if let Some(at) = self.claims.iter().position(|claim| claim.id == id) {
            let mut claim = self.claims.remove(at);
            change(&mut claim);
            self.put(claim);
        }
    }

    fn put(&mut self, claim: Claim) {
        self.claims.retain(|other| !other.is_for_same_database(&claim));
        self.claims.push(claim);
        // They are in the order in which they were entered.
        let superfluous = self.claims.len().saturating_sub(KEPT);
        self.claims.drain(..superfluous);
    }

    /// Notes that the run of this claimant is over.
    pub(crate) fn finish(&mut self, database: &str, tick: Timestamp, by: &Runner) {
        for claim in self.of_runner(database, tick, by) {
            claim.finished = true;
        }
    }

    /// This claimant did not begin its run: whoever asks next may make it, as often as before.
    pub(crate) fn give_back(&mut self, database: &str, tick: Timestamp, by: &Runner) {
        for claim in self.of_runner(database, tick, by) {
            claim.by = Runner::nobody();
            claim.attempt = claim.attempt.saturating_sub(1);
        }
    }

    fn of_runner(&mut self, database: &str, tick: Timestamp, by: &Runner) -> impl Iterator<Item = &mut Claim> {
        let is_it = move |claim: &&mut Claim| claim.database == database && claim.tick == tick && claim.by == *by;
        self.claims.iter_mut().filter(is_it)
    }

    fn last(&self, claim: &Claim) -> Option<&Claim> {
        self.claims.iter().find(|other| other.is_for_same_database(claim))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(Code::Internal, "cannot encode the claims of the schedule").because(error))
    }

    /// `place` is how a person names what holds them. `REPOSITORY_IO` when it cannot be understood.
    pub(crate) fn decode(bytes: &[u8], place: &str) -> Result<Self> {
        let json: Value = serde_json::from_slice(bytes).map_err(|error| misunderstood(place, error))?;
        if json["version"].as_u64().is_some_and(|version| version > VERSION.into()) {
            fail!(
                RepositoryNewer,
                "{place} was written by a later version of snapshot-writer; upgrade this one"
            );
        }
        serde_json::from_value(json).map_err(|error| misunderstood(place, error))
    }
}

fn misunderstood(place: &str, error: serde_json::Error) -> Error {
    Error::new(
        Code::RepositoryIo,
        format!("{place} cannot be understood; move it away to go on without it"),
    )
    .because(error)
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
