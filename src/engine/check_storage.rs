//! What the configured bucket permits and supports.

use serde_json::{Value, json};

use super::Context;
use crate::error::Result;

/// Tries every operation that the package needs on objects of its own, and cleans them up.
pub(crate) fn check_storage(context: &Context) -> Result<Value> {
    Ok(json!(context.repository.require_bucket()?.probe()))
}
