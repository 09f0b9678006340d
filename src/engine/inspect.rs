//! What a migration will meet in the live database.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};

use super::Context;
use crate::database::replay::Script;
use crate::database::schema::inspect;
use crate::error::{Code, Error, Result, fail};

/// The state of the schema, compared with the migrations of these names in `folder`; `null` where
/// there is no database yet.
pub(crate) fn inspect_schema(context: &Context, folder: &Path, names: Vec<String>) -> Result<Value> {
    let database = context.database()?;
    if !database.exists() {
        return Ok(json!({ "schema": null }));
    }
    if !database.is_file() {
        fail!(DatabaseNotAFile, "{} is not a file", database.display());
    }
    let scripts: Vec<Script> = names
        .into_iter()
        .map(|name| read_script(folder, name))
        .collect::<Result<_>>()?;
    Ok(json!({ "schema": inspect(&database, context.deadline(), &scripts)? }))
}

fn read_script(folder: &Path, name: String) -> Result<Script> {
    let path = folder.join(&name).join("migration.sql");
    let sql = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        // Told elsewhere; what it did is not known, so nothing is taken for its work.
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Error::new(Code::Internal, format!("cannot read {}", path.display())).because(error));
        }
    };
    Ok(Script { name, sql })
}
