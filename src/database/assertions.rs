//! What an application says must hold in its data: one SELECT, one value, one expectation.
//!
//! The statements come from outside and run on the image of a snapshot. They are kept to reading
//! that one database: an authorizer lets nothing else through, whatever the statement looks like.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement};

use super::sqlite_error::{is_about_the_statement, said};
use crate::error::{Code, Error, Result, fail};
use crate::finding::Check;

#[path = "assertion_rules.rs"]
mod rules;
pub(crate) use rules::{Assertion, parse};
use rules::{Expected, Seen};

/// Virtual machine steps between two looks at the clock.
const STEPS_PER_LOOK: i32 = 10_000;
/// Pragmas with an argument that only read.
const READING_PRAGMAS: [&str; 6] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "foreign_key_list",
];

/// Refuses a bad assertion without a database, as far as that can be seen: before anything costs time.
pub(crate) fn refuse_bad(assertions: &[Assertion]) -> Result<()> {
    let mut nothing = Connection::open_in_memory()
        .map_err(|error| Error::new(Code::Internal, "cannot look at the assertions").because(error))?;
    read_only(&mut nothing)?;
    assertions
        .iter()
        .try_for_each(|assertion| prepare(&nothing, assertion).map(drop))
}

/// Checks each assertion, each within `limit`; fails only for one that is no assertion at all.
pub(crate) fn check(
    conn: &mut Connection,
    assertions: &[Assertion],
    limit: Duration,
    alive: Arc<dyn Fn() -> bool + Send + Sync>,
) -> Result<Vec<Check>> {
    read_only(conn)?;
    let each = assertions.iter();
    let outcome = each
        .map(|assertion| check_one(conn, assertion, limit, &alive))
        .collect();
    watch(conn, None)?;
    conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
        .map_err(internal)?;
    outcome
}

fn check_one(
    conn: &mut Connection,
    assertion: &Assertion,
    limit: Duration,
    alive: &Arc<dyn Fn() -> bool + Send + Sync>,
) -> Result<Check> {
    let name = format!("assertion: {}", assertion.name);
    let deadline = Instant::now() + limit;
    let stop = Arc::clone(alive);
    watch(conn, Some(Box::new(move || Instant::now() >= deadline || !stop())))?;
    let mut statement = match prepare(conn, assertion)? {
        Ok(statement) => statement,
        Err(reason) => return Ok(Check::failed(name, reason)),
    };
    match value_of(&mut statement, &assertion.expected) {
        Ok(Seen::Met(detail)) => Ok(Check::passed(name, detail)),
        Ok(Seen::NotMet(detail)) => Ok(Check::failed(name, detail)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            if !alive() {
                fail!(Aborted, "the application ended; nothing was changed");
            }
            let detail = format!("it was not done after {} ms (assertionTimeoutMs)", limit.as_millis());
            Ok(Check::inconclusive(name, detail))
        }
        Err(error) => Ok(Check::failed(name, format!("SQLite reports: {}", said(&error)))),
    }
}

/// The statement, or why the image cannot answer it. Fails for what is no single reading statement
/// of one column.
fn prepare<'c>(conn: &'c Connection, assertion: &Assertion) -> Result<Result<Statement<'c>, String>> {
    let name = &assertion.name;
    let statement = match conn.prepare(&assertion.sql) {
        Ok(statement) => statement,
        Err(rusqlite::Error::MultipleStatement) => {
            fail!(InvalidArgument, "the assertion \"{name}\" has more than one statement")
        }
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::AuthorizationForStatementDenied) => {
            fail!(
                InvalidArgument,
                "the assertion \"{name}\" does more than read the database; it must be a SELECT"
            )
        }
        Err(error) if is_wrong_sql(&error) => {
            let what = said(&error);
            let refusal = format!("the SQL of the assertion \"{name}\" is wrong: {what}");
            return Err(Error::new(Code::InvalidArgument, refusal).because(error));
        }
        Err(error) => return Ok(Err(format!("SQLite reports: {}", said(&error)))),
    };
    if statement.column_count() != 1 || !statement.readonly() {
        fail!(
            InvalidArgument,
            "the assertion \"{name}\" must be a SELECT of one column"
        );
    }
    if statement.parameter_count() > 0 {
        fail!(
            InvalidArgument,
            "the assertion \"{name}\" has a parameter, which nobody gives a value"
        );
    }
    Ok(Ok(statement))
}

/// Whether the statement itself is at fault. A table or column that is not there, and a schema that
/// cannot be read, are facts about the database.
fn is_wrong_sql(error: &rusqlite::Error) -> bool {
    let what = said(error);
    is_about_the_statement(error) && !what.starts_with("no such ") && !what.contains("malformed database schema")
}

fn value_of(statement: &mut Statement<'_>, expected: &Expected) -> rusqlite::Result<Seen> {
    let mut rows = statement.query([])?;
    let seen = match rows.next()? {
        Some(row) => expected.meets(row.get_ref(0)?),
        None => return Ok(Seen::NotMet("it gave no row".to_owned())),
    };
    Ok(match rows.next()? {
        Some(_) => Seen::NotMet("it gave more than one row".to_owned()),
        None => seen,
    })
}

/// From now on nothing but reading this database gets through.
fn read_only(conn: &mut Connection) -> Result<()> {
    conn.execute_batch("PRAGMA query_only=ON").map_err(internal)?;
    let judge = |context: AuthContext<'_>| match context.action {
        // No function reaches out of the database: load_extension is compiled out.
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive | AuthAction::Function { .. } => {
            Authorization::Allow
        }
        AuthAction::Pragma { pragma_value: None, .. } => Authorization::Allow,
        AuthAction::Pragma { pragma_name, .. } if READING_PRAGMAS.contains(&pragma_name) => Authorization::Allow,
        _ => Authorization::Deny,
    };
    conn.authorizer(Some(judge)).map_err(internal)
}

type Watch = Box<dyn FnMut() -> bool + Send>;

fn watch(conn: &mut Connection, stop: Option<Watch>) -> Result<()> {
    conn.progress_handler(STEPS_PER_LOOK, stop).map_err(internal)
}

fn internal(error: rusqlite::Error) -> Error {
    Error::new(Code::Internal, "cannot prepare the assertions").because(error)
}

impl Expected {
    fn meets(&self, value: ValueRef<'_>) -> Seen {
        let (met, seen) = match self {
            Self::Equals(wanted) => (wanted.equals(value), rules::describe(value)),
            Self::Range { min, max } => {
                let number = rules::number(value);
                let within = number
                    .is_some_and(|number| min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max));
                (within, rules::describe(value))
            }
        };
        if met {
            Seen::Met(seen)
        } else {
            Seen::NotMet(format!("{seen}, expected {self}"))
        }
    }
}

#[cfg(test)]
#[path = "assertions_tests.rs"]
mod tests;
