//! Which migrations a database has had, where Prisma has not recorded it: they are applied one after
//! the other to an empty database in memory, and the live one is compared with what each of them leaves.
//!
//! A migration that is applied a second time can delete columns with what is in them (Prisma rebuilds
//! tables), so an answer is only given where one state fits and no other does.

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Batch, Connection};

use super::content::SNAPSHOT_TABLE;
use super::shape::Shape;

/// A migration.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) sql: String,
}

/// What is to be recorded of migrations that are not recorded as applied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The database has had them. Without those that only make what is missing: they may come again.
    pub(crate) already: Vec<String>,
    /// Why nobody can tell.
    pub(crate) unclear: Option<String>,
}

/// Compares the live database with the migrations. `recorded` are those that Prisma has applied, in
/// its order; `scripts` are all of them, in the order of their names.
pub(crate) fn standing(live: &Shape, recorded: &[String], scripts: &[Script]) -> rusqlite::Result<Standing> {
    let named = |name: &String| scripts.iter().find(|script| script.name == *name);
    let pending = scripts.iter().filter(|script| !recorded.contains(&script.name));
    let order: Vec<&Script> = recorded.iter().filter_map(named).chain(pending).collect();
    let repeatable: Vec<bool> = order.iter().map(|script| is_repeatable(&script.sql)).collect();
    let known = recorded.iter().filter_map(named).count();
    if repeatable[known..].iter().all(|repeatable| *repeatable) {
        return Ok(Standing::default());
    }
    if let Some(lost) = recorded.iter().find(|name| named(name).is_none()) {
        return Ok(Standing::unclear(format!(
            "{lost} is recorded as applied, and its folder is not there"
        )));
    }
    let replayed = replay(&order)?;
    let in_order_of_names = replay(&scripts.iter().collect::<Vec<_>>())?;
    if replayed.end() != in_order_of_names.end() {
        return Ok(Standing::unclear(
            "those that are not recorded would come after later ones, and that leads elsewhere than the order of their names"
                .to_owned(),
        ));
    }
    let path = Path {
        live,
        recorded: known,
        replay: replayed,
        order,
        repeatable,
    };
    Ok(path.standing())
}

impl Standing {
    fn unclear(why: String) -> Self {
        Self {
            already: Vec::new(),
            unclear: Some(why),
        }
    }
}

/// What the migrations lead through.
struct Replay {
    /// The empty database, and what each migration leaves.
    states: Vec<Shape>,
    /// Why they end early.
    failure: Option<String>,
}

impl Replay {
    /// Where they lead; `None` when they end early.
    fn end(&self) -> Option<&Shape> {
        self.states.last().filter(|_| self.failure.is_none())
    }
}

fn replay(order: &[&Script]) -> rusqlite::Result<Replay> {
    let conn = in_memory()?;
    let mut states = vec![Shape::read(&conn)?];
    for script in order {
        if let Err(error) = run(&conn, &script.sql, |_| true) {
            let why = match error {
                rusqlite::Error::SqlInputError { msg, .. } => msg,
                other => other.to_string(),
            };
            let failure = Some(format!(
                "{} cannot be applied to an empty database ({why})",
                script.name
            ));
            return Ok(Replay { states, failure });
        }
        states.push(Shape::read(&conn)?);
    }
    Ok(Replay { states, failure: None })
}

/// A database that no statement leaves.
fn in_memory() -> rusqlite::Result<Connection> {
    let mut conn = Connection::open_in_memory()?;
    let stays_inside = |context: AuthContext<'_>| match context.action {
        // VACUUM INTO attaches, too.
        AuthAction::Attach { .. } => Authorization::Deny,
        _ => Authorization::Allow,
    };
    conn.authorizer(Some(stays_inside))?;
    Ok(conn)
}

/// Runs statement after statement for as long as `go_on` says so of the next one.
fn run(conn: &Connection, sql: &str, go_on: impl Fn(&rusqlite::Statement<'_>) -> bool) -> rusqlite::Result<bool> {
    let mut batch = Batch::new(conn, sql);
    while let Some(mut statement) = batch.next()? {
        if !go_on(&statement) {
            return Ok(false);
        }
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(true)
}

/// Whether a migration does no harm when it is applied again: it changes nothing, or only makes what is missing.
fn is_repeatable(sql: &str) -> bool {
    let only_adds = |statement: &rusqlite::Statement<'_>| {
        statement.readonly() || statement.expanded_sql().is_some_and(|sql| makes_what_is_missing(&sql))
    };
    in_memory().and_then(|conn| run(&conn, sql, only_adds)).unwrap_or(false)
}

fn makes_what_is_missing(statement: &str) -> bool {
    let words: Vec<String> = without_comments(statement)
        .split_whitespace()
        .take(6)
        .map(str::to_ascii_uppercase)
        .filter(|word| word != "UNIQUE")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).take(5).collect();
    matches!(words[..], ["CREATE", "TABLE" | "INDEX", "IF", "NOT", "EXISTS"])
}

/// A statement without the comments before it.
fn without_comments(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    loop {
        let after = if rest.starts_with("--") {
            rest.split_once('\n')
        } else if rest.starts_with("/*") {
            rest.split_once("*/")
        } else {
            return rest;
        };
        rest = after.map_or("", |(_, rest)| rest).trim_start();
    }
}

/// The way that the migrations lead, and the database that is somewhere on it.
struct Path<'a> {
    live: &'a Shape,
    order: Vec<&'a Script>,
    /// Which of `order` may come again without harm.
    repeatable: Vec<bool>,
    /// How many of `order` are recorded.
    recorded: usize,
    replay: Replay,
}

impl Path<'_> {
    fn standing(&self) -> Standing {
        let fitting = match self.fitting() {
            fitting if fitting.is_empty() => self.fitting_without_snapshots(),
            fitting => fitting,
        };
        let Some(first) = fitting.first().copied() else {
            return Standing::unclear(self.difference());
        };
        let applied = if self.is_one(&fitting) {
            first
        } else {
            let defined = |applied: &usize| self.replay.states[*applied].is_defined_in(self.live);
            let defined: Vec<usize> = fitting.iter().copied().filter(defined).collect();
            match defined.first() {
                Some(first) if self.is_one(&defined) => *first,
                _ => return Standing::unclear(self.likeness(first, fitting[fitting.len() - 1])),
            }
        };
        if self.endangers(applied) {
            return Standing::unclear(self.difference());
        }
        Standing {
            already: self.harmful(self.recorded, applied).map(str::to_owned).collect(),
            unclear: None,
        }
    }

    /// After how many migrations the live database may be.
    fn fitting(&self) -> Vec<usize> {
        let states = &self.replay.states;
        (self.recorded..states.len())
            .filter(|applied| self.fits(self.live, states, *applied))
            .collect()
    }

    /// As `fitting`, for a database whose list of snapshots was made otherwise. While that is there, no
    /// migration may be left that could rebuild it.
    fn fitting_without_snapshots(&self) -> Vec<usize> {
        let live = self.live.without(SNAPSHOT_TABLE);
        let states: Vec<Shape> = self
            .replay
            .states
            .iter()
            .map(|state| state.without(SNAPSHOT_TABLE))
            .collect();
        let is_missing = live == *self.live;
        (self.recorded..states.len())
            .filter(|applied| is_missing || *applied == self.order.len())
            .filter(|applied| self.fits(&live, &states, *applied))
            .collect()
    }

    /// Whether everything is there that so many migrations make, and nothing that only others make. What
    /// no migration makes is left alone: it may be another program's.
    fn fits(&self, live: &Shape, states: &[Shape], applied: usize) -> bool {
        let state = &states[applied];
        if !state.is_part_of(live) {
            return false;
        }
        let foreign = live.beyond(state);
        if self.replay.failure.is_some() {
            // What the others make is not known.
            return foreign.is_empty();
        }
        !states.iter().any(|state| state.overlaps(&foreign))
    }

    /// Whether there is a column that no migration knows, which is lost when one that is left rebuilds its table.
    fn endangers(&self, applied: usize) -> bool {
        let state = &self.replay.states[applied];
        let is_left = self.harmful(applied, self.order.len()).next().is_some();
        is_left && self.live.beyond(state).has_column_of(state)
    }

    /// Whether it makes no difference which of them is taken.
    fn is_one(&self, fitting: &[usize]) -> bool {
        match fitting {
            [first, .., last] => self.harmful(*first, *last).next().is_none(),
            only => !only.is_empty(),
        }
    }

    /// Names of the migrations in between that must not come again.
    fn harmful(&self, from: usize, to: usize) -> impl Iterator<Item = &str> {
        (from..to)
            .filter(|index| !self.repeatable[*index])
            .map(|index| self.order[index].name.as_str())
    }

    fn likeness(&self, first: usize, last: usize) -> String {
        let names: Vec<&str> = self.harmful(first, last).collect();
        format!("it looks the same before and after {}", names.join(", "))
    }

    fn difference(&self) -> String {
        let last = &self.replay.states[self.replay.states.len() - 1];
        let difference = last.difference(self.live);
        match &self.replay.failure {
            Some(failure) => failure.clone(),
            None => format!("it is in no state that they lead through; compared with the last one, {difference}"),
        }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
