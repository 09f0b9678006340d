//! What is checked on an assembled image.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Assembled, Request, content, told};
use crate::config::Check as Level;
use crate::database::assertions::{self, Assertion};
use crate::database::check::{self, Judgement};
use crate::database::image::{self, ImageDatabase};
use crate::database::migrations::{self, History};
use crate::database::row_counts::{self, Counts, Limits};
use crate::engine::Context;
use crate::engine::find::Found;
use crate::error::{Code, Error, Result};
use crate::finding::Check;
use crate::priority;

const INTEGRITY: &str = "integrity_check";
const FOREIGN_KEYS: &str = "foreign_key_check";
const ROWS: &str = "row_counts";
const MIGRATIONS: &str = "migrations";
const NO_DAMAGE: &str =
    "SQLite finds no damage, but could not judge everything, or found content that breaks a rule of the schema";
const NO_ORPHAN: &str = "every row has its parents, as far as they could be looked for";
/// Checks that compare with the live database, and cannot be done without it.
pub(super) const COMPARISONS: [&str; 2] = [ROWS, MIGRATIONS];

/// Tables of fewer rows than this come and go; a difference below it is no drift.
const FEW_ROWS: u64 = 10;
/// Counting the rows of the live database ends then.
const COUNTING: Duration = Duration::from_secs(60);
/// Tables and migrations that a detail names.
const NAMED: usize = 3;

/// Runs every check; one that fails does not spare the next.
pub(super) fn run(
    context: &Context,
    request: &Request,
    assertions: &[Assertion],
    found: &Found,
    assembled: Assembled,
    checks: &mut Vec<Check>,
) -> Result<()> {
    let mut image = match image::open(Box::new(assembled.into_image())) {
        Ok(image) => image,
        Err(error) if error.code.is_damage() => {
            checks.push(Check::failed(INTEGRITY, error.story()));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let total = 5 + assertions.len() as u64;
    let progress = |done| context.host.progress("check", done, total, "checks");
    progress(0);
    let live = Live::look(context);
    context.host.check_alive()?;
    // No lock is held from here on, so nobody waits for us.
    priority::lower();
    // First, because a statement that is no assertion ends the drill.
    let host = Arc::clone(&context.host);
    let alive = Arc::new(move || host.check_alive().is_ok());
    let limit = Duration::from_millis(request.assertion_timeout_ms);
    let asserted = assertions::check(image.connection_mut(), assertions, limit, alive.clone())?;
    progress(assertions.len() as u64);
    let judgement = check::check(&image, Level::Full, alive)?;
    checks.push(match judgement {
        Judgement::Sound => Check::passed(INTEGRITY, "SQLite finds nothing wrong"),
        Judgement::Damaged(finding) => Check::failed(INTEGRITY, finding),
        Judgement::Unjudged(reasons) => Check::passed(INTEGRITY, NO_DAMAGE).with_unjudged(reasons),
    });
    progress(total - 4);
    let foreign_keys = check::check_foreign_keys(&image)?;
    checks.push(match foreign_keys.broken {
        Some(broken) => Check::failed(FOREIGN_KEYS, broken),
        None if foreign_keys.unjudged.is_empty() => Check::passed(FOREIGN_KEYS, "every row has its parents"),
        None => Check::passed(FOREIGN_KEYS, NO_ORPHAN).with_unjudged(foreign_keys.unjudged),
    });
    progress(total - 3);
    checks.push(content::check(context, found, &image)?);
    progress(total - 2);
    checks.push(rows(context, request, &image, &live)?);
    progress(total - 1);
    checks.push(migrations(context, &image, &live)?);
    checks.extend(asserted);
    progress(total);
    Ok(())
}

/// What a check gives when the image itself does not let it be made.
pub(super) fn unreadable(context: &Context, name: &str, error: &Error) -> Result<Check> {
    context.host.check_alive()?;
    let is_bad = error.code == Code::SnapshotDamaged || error.code.is_damage();
    Ok(match is_bad {
        true => Check::failed(name, error.story()),
        // It may be for want of what only the application has.
        false => Check::inconclusive(name, told(error)),
    })
}

/// What the live database has, or why it cannot be asked.
struct Live {
    counts: Result<Counts>,
    history: Result<History>,
}

impl Live {
    /// Takes locks on the database, for moments.
    fn look(context: &Context) -> Self {
        let limits = Limits {
            deadline: Instant::now() + COUNTING,
            longest_hold: context.config.max_writer_stall(),
        };
        let alive = || context.host.check_alive();
        let counts = |path: PathBuf| row_counts::of_database(&path, &limits, &alive);
        let history = |path: PathBuf| migrations::of_database(&path, context.deadline());
        Self {
            counts: context.database().and_then(counts),
            history: context.database().and_then(history),
        }
    }
}

fn rows(context: &Context, request: &Request, image: &ImageDatabase, live: &Live) -> Result<Check> {
    let stored = match row_counts::of_image(image) {
        Ok(counts) => counts,
        Err(error) => return unreadable(context, ROWS, &error),
    };
    Ok(match &live.counts {
        Ok(live) => drift(&stored, live, request.max_drift),
        Err(error) => Check::inconclusive(
            ROWS,
            format!(
                "{} in the snapshot; the live database cannot be counted: {}",
                in_words(&stored),
                told(error)
            ),
        ),
    })
}

/// Compares table by table. A table that one side lacks has no rows there.
fn drift(stored: &Counts, live: &Counts, limit: f64) -> Check {
    struct Drift<'a> {
        table: &'a str,
        stored: u64,
        live: u64,
        share: f64,
    }
    let tables: BTreeSet<&String> = stored.keys().chain(live.keys()).collect();
    let mut drifts: Vec<Drift<'_>> = tables
        .into_iter()
        .filter_map(|table| {
            let of = |counts: &Counts| counts.get(table).copied().unwrap_or(Some(0));
            let (stored, live) = (of(stored)?, of(live)?);
            let difference = stored.abs_diff(live);
            let share = if difference < FEW_ROWS {
                0.0
            } else {
                difference as f64 / stored.max(live) as f64
            };
            Some(Drift {
                table,
                stored,
                live,
                share,
            })
        })
        .collect();
    drifts.sort_by(|a, b| b.share.total_cmp(&a.share));
    let tell = |drift: &Drift<'_>| {
        format!(
            "{} has {} rows in the snapshot and {} now ({:.0} %)",
            drift.table,
            drift.stored,
            drift.live,
            drift.share * 100.0
        )
    };
    let beyond: Vec<&Drift<'_>> = drifts.iter().filter(|drift| drift.share > limit).collect();
    if beyond.is_empty() {
        let largest = drifts.first().filter(|drift| drift.share > 0.0);
        let largest = largest.map_or_else(String::new, |drift| format!("; largest drift: {}", tell(drift)));
        let uncounted = match live.values().filter(|rows| rows.is_none()).count() {
            0 => String::new(),
            tables => format!("; {} took too long to count", number(tables as u64, "live table")),
        };
        return Check::passed(ROWS, format!("{}{largest}{uncounted}", in_words(stored)));
    }
    let named: Vec<String> = beyond.iter().take(NAMED).map(|drift| tell(drift)).collect();
    let more = match beyond.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {}", number(more as u64, "more table")),
    };
    Check::failed(
        ROWS,
        format!("more drift than {:.0} %: {}{more}", limit * 100.0, named.join("; ")),
    )
}

fn in_words(counts: &Counts) -> String {
    let rows = counts.values().flatten().sum();
    format!("{} in {}", number(rows, "row"), number(counts.len() as u64, "table"))
}

fn migrations(context: &Context, image: &ImageDatabase, live: &Live) -> Result<Check> {
    let stored = match migrations::of_image(image) {
        Ok(history) => history,
        Err(error) => return unreadable(context, MIGRATIONS, &error),
    };
    if !stored.failed.is_empty() {
        return Ok(Check::failed(
            MIGRATIONS,
            format!(
                "{} began and did not finish; prisma migrate deploy refuses such a database (P3009)",
                some(&stored.failed)
            ),
        ));
    }
    Ok(match &live.history {
        Ok(live) => compare(&stored, live),
        Err(error) => Check::inconclusive(
            MIGRATIONS,
            format!(
                "{} applied in the snapshot; the live database cannot be asked: {}",
                stored.applied.len(),
                told(error)
            ),
        ),
    })
}

/// Older is fine, for `migrate deploy` goes on from there. What the live database does not know is not.
fn compare(stored: &History, live: &History) -> Check {
    if !stored.is_kept && !live.is_kept {
        return Check::passed(MIGRATIONS, "Prisma keeps no migrations in this database");
    }
    if !stored.is_kept && stored.has_tables {
        return Check::failed(
            MIGRATIONS,
            "the snapshot has tables and no history of migrations, unlike the live database; prisma migrate deploy refuses such a database (P3005)",
        );
    }
    let differing: Vec<String> = stored
        .applied
        .iter()
        .filter(|(name, checksum)| live.applied.get(*name) != Some(checksum))
        .map(|(name, _)| name.clone())
        .collect();
    if !differing.is_empty() {
        return Check::failed(
            MIGRATIONS,
            format!(
                "{} in the snapshot is not what the live database has applied",
                some(&differing)
            ),
        );
    }
    let later: Vec<String> = live
        .applied
        .keys()
        .filter(|name| !stored.applied.contains_key(*name))
        .cloned()
        .collect();
    let applied = stored.applied.len();
    if later.is_empty() {
        return Check::passed(MIGRATIONS, format!("{applied} applied, as in the live database"));
    }
    Check::passed(
        MIGRATIONS,
        format!(
            "{applied} applied; after a restore prisma migrate deploy applies {}",
            some(&later)
        ),
    )
}

fn number(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn some(names: &[String]) -> String {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
