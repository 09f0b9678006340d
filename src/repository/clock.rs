//! Dates that a wrong clock has given.

use jiff::{SignedDuration, Timestamp};

/// By how much clocks may differ. S3 refuses hosts beyond that, too.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(15);

/// Whether a date is so far in the future that the clock it came from was wrong.
pub(crate) fn is_ahead(date: Timestamp, now: Timestamp) -> bool {
    date > now + TOLERANCE
}
