//! The numbers for metrics. They are asked for every few seconds, so neither the network nor the database is.

use serde_json::{Value, json};

use super::catalog::Journal;
use super::{Context, health};
use crate::database::plain_snapshots;
use crate::error::Result;
use crate::repository::counters::BOUNDS;
use crate::repository::survey;

pub(crate) fn metrics(context: &Context) -> Result<Value> {
    let survey = survey::local(&context.repository)?;
    let plain = plain_snapshots::list(context.repository.root(), &[])?;
    let facts = health::gather(context, &survey, &plain, &Journal::read(context)?)?;
    Ok(json!({
        "facts": facts,
        "bounds": BOUNDS,
        "usesBucket": context.repository.bucket().is_some(),
    }))
}
