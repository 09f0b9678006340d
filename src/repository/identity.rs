//! Who the configured database is in a repository, and which snapshots are its own.
//!
//! Reading may follow the lineage. Removing, vouching, the table and the schedule need the own instance, or
//! one of the lineage that has been idle for so long that its database is gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::clock::is_ahead;
use super::folder::Repository;
use super::instance::{Instances, Place, key_of};
use super::lineage;
use super::manifest::{Head, Kind};
use crate::error::Result;

/// After so long without a snapshot an instance is inherited.
const IDLE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// For so long the own snapshots have to say that it is idle: a clock that jumped ahead says so at once.
const CONFIRMED: SignedDuration = SignedDuration::from_hours(12);

/// A database among the snapshots of a repository.
#[derive(Clone)]
pub(crate) struct Identity {
    place: Option<Place>,
    /// What new snapshots say; `None`: nothing was stored here yet, and no name is configured.
    pub(crate) instance: Option<String>,
    /// What follows from its path.
    by_path: Option<String>,
    /// Where its content comes from, as far as is known.
    pub(crate) lineage: Option<Uuid>,
    /// Its own instances.
    mine: BTreeSet<String>,
    /// Those of databases that are gone.
    inherited: BTreeSet<String>,
    owners: Owners,
}

/// What a database without snapshots can begin with.
pub(crate) enum Beginning {
    /// Its own snapshots.
    Own(Vec<Head>),
    /// Those of the only other database that it may have been, and the instance of that.
    Fork(Vec<Head>, String),
    /// There are several: file name and instance of each.
    Several(Vec<String>),
    /// There is none; file names of the others.
    Nothing(Vec<String>),
}

impl Identity {
    /// The configured database, or the configured name alone; `heads`: all in reach.
    pub(crate) fn of(repository: &Repository, place: Place, heads: &[Head]) -> Result<Self> {
        let known = Instances::read(repository, Some(&place), heads)?;
        let by_path = known.of(repository, &place)?;
        let instance = place.id.clone().or_else(|| by_path.clone());
        let lineage = match lineage::known(repository, &place.path)? {
            Some(lineage) => Some(lineage),
            None => known
                .path_before(&place)
                .map_or(Ok(None), |before| lineage::known(repository, before))?,
        };
        let mine = instance.iter().chain(&by_path).cloned().collect();
        Ok(Self::made_of(repository, known, mine, heads)?.at(place, instance, by_path, lineage, heads))
    }

    /// A database that another process may have under a name of its own: as its newest snapshot says.
    pub(crate) fn of_other(repository: &Repository, place: Place, heads: &[Head]) -> Result<Self> {
        let known = Instances::read(repository, Some(&place), heads)?;
        let id = known.current(repository, &place)?;
        Self::of(repository, Place { id, ..place }, heads)
    }

    /// A name without a database.
    pub(crate) fn named(repository: &Repository, id: &str, heads: &[Head]) -> Result<Self> {
        let known = Instances::read(repository, None, heads)?;
        let mine = BTreeSet::from([id.to_owned()]);
        let mut identity = Self::made_of(repository, known, mine, heads)?;
        identity.instance = Some(id.to_owned());
        identity.lineage = identity.newest_own(heads).map(|head| head.lineage);
        Ok(identity)
    }

    /// Nobody in particular: only tells who made what.
    pub(crate) fn nobody(repository: &Repository, heads: &[Head]) -> Result<Self> {
        let known = Instances::read(repository, None, heads)?;
        Self::made_of(repository, known, BTreeSet::new(), heads)
    }

    fn made_of(repository: &Repository, known: Instances, mine: BTreeSet<String>, heads: &[Head]) -> Result<Self> {
        Ok(Self {
            place: None,
            instance: None,
            by_path: None,
            lineage: None,
            mine,
            inherited: BTreeSet::new(),
            owners: Owners::new(repository, known, heads)?,
        })
    }

    fn at(
        mut self,
        place: Place,
        instance: Option<String>,
        by_path: Option<String>,
        lineage: Option<Uuid>,
        heads: &[Head],
    ) -> Self {
        (self.place, self.instance, self.by_path) = (Some(place), instance, by_path);
        self.lineage = lineage.or_else(|| self.newest_own(heads).map(|head| head.lineage));
        self.inherited = self.idle(heads);
        self
    }

    fn newest_own<'a>(&self, heads: &'a [Head]) -> Option<&'a Head> {
        heads.iter().rev().find(|head| self.is_mine(head))
    }

    /// Whether it made that snapshot itself.
    pub(crate) fn is_mine(&self, head: &Head) -> bool {
        self.mine.contains(&self.owners.instance_of(head))
    }

    /// Whether it may remove that snapshot and vouch by it.
    pub(crate) fn owns(&self, head: &Head) -> bool {
        self.owns_instance(&self.owners.instance_of(head))
    }

    pub(crate) fn owns_instance(&self, instance: &str) -> bool {
        self.mine.contains(instance) || self.inherited.contains(instance)
    }

    /// Whether nobody else made that snapshot as far as is known: of one of an older version nobody may know who did.
    pub(crate) fn may_be_mine(&self, head: &Head) -> bool {
        self.owns(head) || (self.owners.is_nobodys(head) && Some(head.lineage) == self.lineage)
    }

    /// Whether it may remove that snapshot when it is named. What is in a bucket may be another host's.
    pub(crate) fn may_remove(&self, head: &Head) -> bool {
        let is_shared = self.owners.repository.bucket().is_some();
        self.owns(head) || (!is_shared && self.may_be_mine(head))
    }

    /// By which a snapshot of several is preferred: the own one, one of the lineage, any.
    pub(crate) fn closeness(&self, head: &Head) -> u8 {
        if self.owns(head) {
            2
        } else {
            u8::from(Some(head.lineage) == self.lineage)
        }
    }

    /// Which database made a snapshot, for people.
    pub(crate) fn maker(&self, head: &Head) -> String {
        self.owners.instance_of(head)
    }

    /// Whether one database made both.
    pub(crate) fn are_of_one(&self, one: &Head, other: &Head) -> bool {
        (self.owns(one) && self.owns(other)) || self.maker(one) == self.maker(other)
    }

    /// Whether somebody else has snapshots here, as far as these tell.
    pub(crate) fn has_others(&self, heads: &[Head]) -> bool {
        self.owners.known.has_others(&self.mine) || heads.iter().any(|head| !self.owns(head))
    }

    /// Whether the old plain snapshots of which no row tells are its own. `in_folder`: those of this host.
    pub(crate) fn owns_plain(&self, in_folder: bool, heads: &[Head]) -> bool {
        match &self.owners.known.plain {
            Some(owner) if in_folder => self.mine.contains(owner),
            _ => !self.has_others(heads),
        }
    }

    /// Whether the plain snapshots of this host are known to be another database's, whatever the rows say: a copy has
    /// those of its original.
    pub(crate) fn is_plain_of_others(&self, in_folder: bool) -> bool {
        let owner = self.owners.known.plain.as_ref().filter(|_| in_folder);
        owner.is_some_and(|owner| !self.mine.contains(owner))
    }

    /// Whether a snapshot of another database names another file.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.place.as_ref().is_none_or(|place| place.is_called(name))
    }

    pub(crate) fn file_name(&self) -> String {
        self.place.as_ref().map(Place::file_name).unwrap_or_default()
    }

    /// Under which notes are kept that are about this database alone.
    pub(crate) fn key(&self) -> Option<Uuid> {
        self.instance.as_deref().map(key_of)
    }

    /// What the database may be filled from while it holds nothing. `heads`: those that are of use.
    pub(crate) fn beginning(&self, heads: Vec<Head>) -> Beginning {
        let (own, others): (Vec<Head>, Vec<Head>) = heads.into_iter().partition(|head| self.owns(head));
        if !own.is_empty() {
            return Beginning::Own(own);
        }
        let mut found: Vec<String> = others.iter().map(|head| head.database_name.clone()).collect();
        found.sort();
        found.dedup();
        let mut groups: BTreeMap<String, Vec<Head>> = BTreeMap::new();
        for head in others {
            let instance = self.owners.instance_of(&head);
            if self.is_called(&head.database_name) && !self.owners.known.is_taken(&instance, &self.mine) {
                groups.entry(instance).or_default().push(head);
            }
        }
        let is_related = |heads: &Vec<Head>| heads.iter().any(|head| Some(head.lineage) == self.lineage);
        if groups.values().any(is_related) {
            groups.retain(|_, heads| is_related(heads));
        }
        if groups.len() > 1 {
            let told = |(instance, heads): (&String, &Vec<Head>)| format!("{} ({instance})", heads[0].database_name);
            return Beginning::Several(groups.iter().map(told).collect());
        }
        match groups.pop_first() {
            Some((instance, heads)) => Beginning::Fork(heads, instance),
            None => Beginning::Nothing(found),
        }
    }

    /// Remembers where the database is, and where its content comes from. Below the lock.
    pub(crate) fn remember(&self, repository: &Repository, lineage: Uuid) -> Result<()> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        if let (Some(instance), Some(by_path)) = (&self.instance, &self.by_path) {
            let known = self.owners.known.clone();
            known.remember(repository, place, by_path, instance)?;
        }
        lineage::set(repository, &place.path, lineage)
    }

    /// Instances of the lineage without a database that could go on with them.
    fn idle(&self, heads: &[Head]) -> BTreeSet<String> {
        let now = Timestamp::now();
        let made = heads.iter().filter(|head| head.kind == Kind::Snapshot);
        let (mut own, others): (Vec<&Head>, Vec<&Head>) = made.partition(|head| self.is_mine(head));
        own.retain(|head| !is_ahead(head.created_at, now));
        let is_related = |head: &&&Head| Some(head.lineage) == self.lineage;
        let related: BTreeSet<String> = others
            .iter()
            .filter(is_related)
            .map(|head| self.owners.instance_of(head))
            .collect();
        // Whatever it has made tells that it lives: also what comes from elsewhere, and what is dated ahead of us.
        let mut newest: BTreeMap<String, Timestamp> = BTreeMap::new();
        for head in others {
            let instance = self.owners.instance_of(head);
            if related.contains(&instance) {
                let known = newest.entry(instance).or_insert(head.created_at);
                *known = head.created_at.max(*known);
            }
        }
        let is_idle = |last: Timestamp| {
            let since: Vec<Timestamp> = own
                .iter()
                .map(|head| head.created_at)
                .filter(|at| at.duration_since(last) > IDLE)
                .collect();
            let span = since.iter().max().zip(since.iter().min());
            span.is_some_and(|(newest, oldest)| newest.duration_since(*oldest) >= CONFIRMED)
        };
        newest.retain(|instance, last| is_idle(*last) && !self.owners.known.is_taken(instance, &self.mine));
        newest.into_keys().collect()
    }
}

/// Whether it is written down whose the snapshots are that do not tell it themselves.
pub(crate) fn is_adopted(repository: &Repository) -> bool {
    Instances::are_noted(repository)
}

/// Writes that down for a repository of an older version. Below the lock.
pub(crate) fn adopt_older(repository: &Repository, place: Option<&Place>, heads: &[Head]) -> Result<()> {
    if heads.is_empty() {
        return Ok(());
    }
    Instances::read(repository, place, heads)?.save(repository)
}

/// Which instance made a snapshot.
#[derive(Clone)]
struct Owners {
    known: Instances,
    repository: Repository,
    /// Since when the repository has been there.
    made_at: Option<Timestamp>,
    /// Lineages that began on this host.
    founded: BTreeSet<Uuid>,
}

impl Owners {
    fn new(repository: &Repository, known: Instances, heads: &[Head]) -> Result<Self> {
        let made_at = repository.made_at()?;
        let mut oldest: BTreeMap<Uuid, Timestamp> = BTreeMap::new();
        for head in heads.iter().filter(|head| head.instance.is_none()) {
            let known = oldest.entry(head.lineage).or_insert(head.created_at);
            *known = head.created_at.min(*known);
        }
        // A bucket is shared: what is in it may have been made by another host that took up the lineage.
        let is_founded = |at: Timestamp| repository.bucket().is_none() || made_at.is_some_and(|made_at| made_at <= at);
        oldest.retain(|_, at| is_founded(*at));
        Ok(Self {
            known,
            repository: repository.clone(),
            made_at,
            founded: oldest.into_keys().collect(),
        })
    }

    /// What the manifest says; of an older version's one, what this host's notes say. Else its lineage, as if
    /// that were an instance.
    fn instance_of(&self, head: &Head) -> String {
        if let Some(instance) = &head.instance {
            return instance.clone();
        }
        let was_made_here = || {
            self.founded.contains(&head.lineage)
                || self.repository.path(&head.key()).exists() && !self.is_older_than_here(head)
        };
        match self.known.adopter(head).filter(|_| was_made_here()) {
            Some(adopter) => adopter.to_owned(),
            None => head.lineage.to_string(),
        }
    }

    fn is_older_than_here(&self, head: &Head) -> bool {
        self.made_at.is_none_or(|made_at| head.created_at < made_at)
    }

    fn is_nobodys(&self, head: &Head) -> bool {
        head.instance.is_none() && self.instance_of(head) == head.lineage.to_string()
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
