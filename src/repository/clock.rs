//! Dates that a wrong clock has given.

use jiff::{SignedDuration, Timestamp};

/// By how much clocks may differ. S3 refuses hosts beyond that, too.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(15);

/// Whether a date is so far after a moment that lies after it that the clock of one of them was wrong.
pub(crate) fn is_ahead(date: Timestamp, now: Timestamp) -> bool {
    date.duration_since(now) > TOLERANCE
}
