//! Whether a restore would bring content back, or an empty database in place of what was lost.

use super::{checks, newest, told};
use crate::database::image::ImageDatabase;
use crate::engine::Context;
use crate::engine::find::Found;
use crate::error::Result;
use crate::finding::Check;

const CONTENT: &str = "content";

/// An empty image fails when an older snapshot of the database has content: it comes from after a
/// loss, and who restores it loses that content once more.
pub(super) fn check(context: &Context, found: &Found, image: &ImageDatabase) -> Result<Check> {
    match image.is_empty(&context.config.core_tables) {
        Ok(true) => {}
        Ok(false) => return Ok(Check::passed(CONTENT, "there are rows to bring back")),
        Err(error) => return checks::unreadable(context, CONTENT, &error),
    }
    let before = newest::with_content_before(context, found);
    context.host.check_alive()?;
    Ok(match before {
        Ok(None) => Check::passed(CONTENT, "the database is empty, and no older content is missed"),
        Ok(Some(head)) => Check::failed(
            CONTENT,
            format!(
                "the database in it is empty, and \"{}\" before it was not: restore that one, \
                 or run \"snapshot-writer acknowledge\" when the loss is meant",
                head.name
            ),
        ),
        Err(error) => Check::inconclusive(
            CONTENT,
            format!(
                "the database in it is empty; whether an older snapshot is not cannot be told: {}",
                told(&error)
            ),
        ),
    })
}
