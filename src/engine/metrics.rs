//! The numbers for metrics. They are asked for every few seconds, so neither the network nor the database is: what they
//! say of the bucket is what was last seen of it.

use serde_json::{Value, json};

use super::trash::Trash;
use super::{Context, health};
use crate::database::plain_snapshots;
use crate::error::Result;
use crate::repository::counters::BOUNDS;
use crate::repository::survey;

pub(crate) fn metrics(context: &Context) -> Result<Value> {
    let mut survey = survey::here(&context.repository)?;
    let mut plain = plain_snapshots::list(context.repository.root(), &[])?;
    Trash::read(context)?.take_out_of(&mut survey, &mut plain);
    let facts = health::gather(context, &survey, &plain)?;
    Ok(json!({
        "facts": facts,
        "bounds": BOUNDS,
        "usesBucket": context.repository.bucket().is_some(),
    }))
}
