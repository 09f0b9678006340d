//! Which snapshots a policy keeps, and why. A function of the snapshots' order and dates: no store, no clock.
//!
//! The rules are restic's. Each bucket rule (hourly … yearly) goes from the newest snapshot to the
//! oldest and keeps the newest one of each hour, day, ISO week, month or year that has any, until it
//! has kept as many as it may; periods without snapshots do not count. The oldest snapshot is kept
//! by every bucket rule that is not full yet, so that the history grows from the first day on.
//! `keepWithin` counts from the newest snapshot, not from now: when snapshots stop, nothing ages
//! out. Everything is in UTC.
//!
//! Where the order and the dates disagree, a clock was wrong, and nobody can say for certain when. No such date makes
//! a snapshot older than it may be (see [`reckoned`]), nor takes the place of another one (see [`Doubt`]).

use std::collections::HashSet;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde::Deserialize;

use super::clock::is_ahead;
use crate::error::{Result, fail};

/// What the caller asked for, unchecked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) keep_last: Option<i64>,
    pub(crate) keep_hourly: Option<i64>,
    pub(crate) keep_daily: Option<i64>,
    pub(crate) keep_weekly: Option<i64>,
    pub(crate) keep_monthly: Option<i64>,
    pub(crate) keep_yearly: Option<i64>,
    pub(crate) keep_within: Option<String>,
}

/// A policy that keeps at least the newest snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    last: u64,
    buckets: Vec<Bucket>,
    within: Option<Within>,
}

/// Keeps the newest snapshot of each of so many periods.
#[derive(Clone, Debug)]
struct Bucket {
    name: &'static str,
    count: u64,
    period: fn(DateTime) -> String,
}

/// Keeps what is younger than that, seen from the newest snapshot.
#[derive(Clone, Debug)]
struct Within {
    text: String,
    span: Span,
}

/// What a policy says about one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Rules that keep it, in words. It is kept when there is one.
    pub(crate) kept_by: Vec<String>,
    /// Why the others do not.
    pub(crate) not_kept_by: Vec<String>,
}

impl Policy {
    /// `RETENTION_POLICY_INVALID` for a policy that nobody can mean.
    pub(crate) fn new(request: &Request) -> Result<Self> {
        let bucket = |name, option, count, period| -> Result<Bucket> {
            let count = checked(option, count)?;
            Ok(Bucket { name, count, period })
        };
        let policy = Self {
            last: checked("keepLast", request.keep_last)?,
            buckets: vec![
                bucket("hourly", "keepHourly", request.keep_hourly, hour)?,
                bucket("daily", "keepDaily", request.keep_daily, day)?,
                bucket("weekly", "keepWeekly", request.keep_weekly, week)?,
                bucket("monthly", "keepMonthly", request.keep_monthly, month)?,
                bucket("yearly", "keepYearly", request.keep_yearly, year)?,
            ],
            within: request.keep_within.as_deref().map(Within::parse).transpose()?,
        };
        if policy.last == 0 && policy.within.is_none() && policy.buckets.iter().all(|bucket| bucket.count == 0) {
            fail!(
                RetentionPolicyInvalid,
                "the policy keeps nothing, so it would delete every snapshot; nothing was deleted: give at least one of \
                 keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly (above 0) or keepWithin"
            );
        }
        Ok(policy)
    }

    /// One verdict for each snapshot, by its date: newest first, whatever the dates say.
    pub(crate) fn judge(&self, dates: &[Timestamp], now: Timestamp) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::default(); dates.len()];
        self.judge_last(&mut verdicts);
        self.judge_within(&reckoned(dates, now), &mut verdicts);
        let doubts = Doubt::of(dates, now);
        for bucket in self.buckets.iter().filter(|bucket| bucket.count > 0) {
            bucket.judge(dates, &doubts, &mut verdicts);
        }
        verdicts
    }

    fn judge_last(&self, verdicts: &mut [Verdict]) {
        let last = self.last;
        for (number, verdict) in (1..).zip(verdicts.iter_mut()).filter(|_| last > 0) {
            if number <= last {
                verdict.kept_by.push(format!("last {number} of {last}"));
            } else {
                verdict.not_kept_by.push(format!("older than the last {last}"));
            }
        }
    }

    fn judge_within(&self, dates: &[Timestamp], verdicts: &mut [Verdict]) {
        let (Some(within), Some(newest)) = (&self.within, dates.first()) else {
            return;
        };
        let start = |date: Timestamp| utc(date).checked_sub(within.span).unwrap_or(DateTime::MIN);
        // A clock that jumped ahead looks like a long pause, and one snapshot after it must not age out all that came
        // before it.
        let pause = dates.windows(2).position(|pair| start(pair[0]) >= utc(pair[1]));
        let without_pause = |index: usize, date: Timestamp| match pause {
            Some(after) if index > after => date.saturating_add(dates[after] - dates[after + 1]).unwrap_or(date),
            _ => date,
        };
        for ((index, date), verdict) in dates.iter().enumerate().zip(verdicts) {
            if utc(without_pause(index, *date)) > start(*newest) {
                verdict.kept_by.push(format!("within {}", within.text));
            } else {
                verdict.not_kept_by.push(format!("not within {}", within.text));
            }
        }
    }
}

impl Bucket {
    fn judge(&self, dates: &[Timestamp], doubts: &[Doubt], verdicts: &mut [Verdict]) {
        let (name, mut left) = (self.name, self.count);
        let mut seen = HashSet::new();
        for (index, (date, verdict)) in dates.iter().zip(verdicts).enumerate() {
            let (period, doubt) = ((self.period)(utc(*date)), &doubts[index]);
            let is_newest_of_period = seen.insert((period.clone(), doubt.is_behind));
            let is_oldest = index + 1 == dates.len();
            if left == 0 {
                verdict
                    .not_kept_by
                    .push(format!("{name}: {} newer ones are kept", self.count));
            } else if is_newest_of_period {
                verdict.kept_by.push(format!("{name}, {period}"));
                left -= u64::from(!doubt.is_ahead);
            } else if is_oldest {
                verdict.kept_by.push(format!("{name}, the oldest"));
            } else {
                verdict.not_kept_by.push(format!("{name}: {period} has a newer one"));
            }
        }
    }
}

/// What the order says against a date.
#[derive(Clone, Debug, Default)]
struct Doubt {
    /// A newer snapshot is dated earlier, or it is earlier now. Such a date takes no place: a clock that ran through
    /// many days would push out what was made on real ones.
    is_ahead: bool,
    /// An older snapshot is dated later. Such a date does not stand for its day: another one may be of it.
    is_behind: bool,
}

impl Doubt {
    fn of(newest_first: &[Timestamp], now: Timestamp) -> Vec<Self> {
        let mut doubts = vec![Self::default(); newest_first.len()];
        let mut earliest = now;
        for (doubt, date) in doubts.iter_mut().zip(newest_first) {
            doubt.is_ahead = is_ahead(*date, earliest);
            earliest = earliest.min(*date);
        }
        let mut latest = Timestamp::MIN;
        for (doubt, date) in doubts.iter_mut().zip(newest_first).rev() {
            doubt.is_behind = is_ahead(latest, *date);
            latest = latest.max(*date);
        }
        doubts
    }
}

/// The dates that ages are counted by. They follow the order: a snapshot is no younger than the one after it, and no
/// older than the one before it. The newest date that is not in the future is believed: what is dated later counts as
/// made when the next one was, what is dated before an older one as made when that was.
pub(crate) fn reckoned(newest_first: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    let believed = newest_first.iter().find(|date| !is_ahead(**date, now));
    let Some(newest) = believed.or(newest_first.first()).copied() else {
        return Vec::new();
    };
    let mut next = newest;
    let mut dates: Vec<Timestamp> = newest_first
        .iter()
        .map(|date| {
            next = if *date > newest { next } else { *date };
            next
        })
        .collect();
    let mut latest = Timestamp::MIN;
    for date in dates.iter_mut().rev() {
        latest = latest.max(*date);
        *date = latest;
    }
    dates
}

impl Within {
    fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            fail!(
                RetentionPolicyInvalid,
                "keepWithin is {text:?}, which is no duration; nothing was deleted: write a number and a unit of h, d, w, m \
                 (months) or y, such as 36h, 7d or 6m"
            )
        };
        let Some((at, _)) = text.char_indices().last() else {
            return invalid();
        };
        let (digits, unit) = text.split_at(at);
        let is_number = digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = digits.parse::<i64>().ok().filter(|number| is_number && *number > 0) else {
            return invalid();
        };
        let span = Span::new();
        // Ten thousand years are more than a date can hold.
        let span = match unit {
            "h" => span.try_hours(number),
            "d" => span.try_days(number),
            "w" => span.try_weeks(number),
            "m" => span.try_months(number),
            "y" => span.try_years(number),
            _ => return invalid(),
        };
        match span {
            Ok(span) => Ok(Self {
                text: text.to_owned(),
                span,
            }),
            Err(_) => invalid(),
        }
    }
}

fn checked(option: &str, count: Option<i64>) -> Result<u64> {
    let count = count.unwrap_or(0);
    match u64::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => fail!(
            RetentionPolicyInvalid,
            "{option} is {count}, which is no number of snapshots; nothing was deleted"
        ),
    }
}

fn utc(date: Timestamp) -> DateTime {
    Offset::UTC.to_datetime(date)
}

fn hour(date: DateTime) -> String {
    format!("{} {:02}h", date.date(), date.hour())
}

fn day(date: DateTime) -> String {
    date.date().to_string()
}

fn week(date: DateTime) -> String {
    let week = date.date().iso_week_date();
    format!("{:04}-W{:02}", week.year(), week.week())
}

fn month(date: DateTime) -> String {
    format!("{:04}-{:02}", date.year(), date.month())
}

fn year(date: DateTime) -> String {
    format!("{:04}", date.year())
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
