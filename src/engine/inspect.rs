//! What a migration will meet in the live database.

use serde_json::{Value, json};

use super::Context;
use crate::database::schema::inspect;
use crate::error::{Result, fail};

/// The state of the schema; `null` where there is no database yet.
pub(crate) fn inspect_schema(context: &Context) -> Result<Value> {
    let database = context.database()?;
    if !database.exists() {
        return Ok(json!({ "schema": null }));
    }
    if !database.is_file() {
        fail!(DatabaseNotAFile, "{} is not a file", database.display());
    }
    Ok(json!({ "schema": inspect(&database, context.deadline())? }))
}
