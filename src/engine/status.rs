//! The state of database and repository, for whoever watches over them.

use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use super::find::{everything_with, plain_files_with};
use super::list::infos;
use super::trash::Trash;
use super::{Context, catalog, health};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Code, Error, Result};
use crate::repository::survey::{self, Survey};

/// Who watches wants an answer; a bucket that has none by then counts as unreachable.
const BUCKET_LIMIT: Duration = Duration::from_secs(10);

/// What an operator asks first, and the facts for the verdicts.
pub(crate) fn status(context: &Context) -> Result<Value> {
    // Before anything is opened through SQLite: this reads the file itself.
    let database = health::look_at_database(context);
    let (mut survey, mut plain) = look(context)?;
    let snapshots = infos(context, &survey, &plain, false)?;
    Trash::read(context)?.take_out_of(&mut survey, &mut plain);
    let mut facts = health::gather(context, &survey, &plain)?;
    facts.database = database;
    let is_meant = |info: &&Value| {
        let is_snapshot = info["kind"] == "snapshot" || info["kind"] == "plain";
        is_snapshot && facts.ours.includes_info(info)
    };
    Ok(json!({
        "databasePath": context.config.database_path,
        "snapshotDir": context.repository.root(),
        "snapshots": snapshots.len(),
        "latest": snapshots.iter().find(is_meant),
        "storedBytes": facts.stored_bytes,
        "unfinishedRestore": facts.unfinished_restore,
        "bucket": context.config.s3.as_ref().map(|s3| &s3.bucket),
        "pendingUploads": facts.pending.count,
        "facts": facts,
    }))
}

/// Looks at both tiers, at the bucket not for ever.
fn look(context: &Context) -> Result<(Survey, Vec<PlainSnapshot>)> {
    // Whoever keeps the database locked makes this wait, which is not the bucket's fault.
    let rows = catalog::rows(context);
    let (answer, answered) = channel();
    let (asking, known) = (context.clone(), rows.clone());
    // Left alone when it takes too long: the process ends soon.
    std::thread::spawn(move || drop(answer.send(everything_with(&asking, &known))));
    answered.recv_timeout(BUCKET_LIMIT).unwrap_or_else(|_| {
        let silent = Error::new(
            Code::S3Unreachable,
            format!("the bucket did not answer within {} s", BUCKET_LIMIT.as_secs()),
        );
        let here = Survey {
            bucket_failure: Some(silent),
            ..survey::here(&context.repository)?
        };
        Ok((here, plain_files_with(context, &rows)?))
    })
}
