//! From an operation's name to its use case, and from its outcome to JSON.

use serde_json::Value;

use super::{Channel, Job};
use crate::error::{Result, fail};

/// Runs one job.
pub(crate) fn run(job: Job, _channel: &Channel) -> Result<Value> {
    match job.operation.as_str() {
        other => fail!(Internal, "unknown operation {other}"),
    }
}
