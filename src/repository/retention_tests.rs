#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::error::Code;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn policy(json: &str) -> Policy {
    Policy::new(&serde_json::from_str(json).unwrap()).unwrap()
}

/// Verdicts of a policy, newest first, over dates given in words.
fn judge(json: &str, dates: &[&str]) -> Vec<Verdict> {
    let dates: Vec<Timestamp> = dates.iter().map(|date| date.parse().unwrap()).collect();
    policy(json).judge(&dates, Timestamp::MAX)
}

fn kept_by(verdicts: &[Verdict]) -> Vec<Vec<&str>> {
    verdicts
        .iter()
        .map(|verdict| verdict.kept_by.iter().map(String::as_str).collect())
        .collect()
}

#[test]
fn the_last_ones_are_counted() {
    let verdicts = judge(
        r#"{ "keepLast": 2 }"#,
        &["2026-11-20T18:00:00Z", "2026-11-20T12:00:00Z", "2026-11-20T06:00:00Z"],
    );
    assert_eq!(kept_by(&verdicts), [vec!["last 1 of 2"], vec!["last 2 of 2"], vec![]]);
    assert_eq!(verdicts[2].not_kept_by, ["older than the last 2"]);
}

#[test]
fn the_newest_of_each_period_is_kept_and_periods_without_snapshots_do_not_count() {
    let dates = [
        "2026-11-20T18:00:00Z",
        "2026-11-20T12:00:00Z",
        "2026-11-17T12:00:00Z",
        "2026-11-17T11:59:59Z",
        "2026-09-01T00:00:00Z",
        "2026-08-31T23:59:59Z",
    ];
    let verdicts = judge(r#"{ "keepDaily": 3 }"#, &dates);
    assert_eq!(
        kept_by(&verdicts),
        [
            vec!["daily, 2026-11-20"],
            vec![],
            vec!["daily, 2026-11-17"],
            vec![],
            vec!["daily, 2026-09-01"],
            vec![],
        ]
    );
    assert_eq!(verdicts[1].not_kept_by, ["daily: 2026-11-20 has a newer one"]);
    assert_eq!(verdicts[5].not_kept_by, ["daily: 3 newer ones are kept"]);
}

#[test]
fn periods_have_their_names() {
    let all = r#"{ "keepHourly": 1, "keepDaily": 1, "keepWeekly": 1, "keepMonthly": 1, "keepYearly": 1 }"#;
    // The first days of a year may belong to the last ISO week of the year before.
    assert_eq!(
        kept_by(&judge(all, &["2027-01-02T03:04:05Z"])),
        [vec![
            "hourly, 2027-01-02 03h",
            "daily, 2027-01-02",
            "weekly, 2026-W53",
            "monthly, 2027-01",
            "yearly, 2027",
        ]]
    );
}

#[test]
fn the_oldest_is_kept_by_a_rule_that_is_not_full() {
    let dates = ["2026-11-20T18:00:00Z", "2026-11-20T12:00:00Z", "2026-11-20T06:00:00Z"];
    let not_full = judge(r#"{ "keepYearly": 2 }"#, &dates);
    assert_eq!(
        kept_by(&not_full),
        [vec!["yearly, 2026"], vec![], vec!["yearly, the oldest"]]
    );
    let full = judge(r#"{ "keepYearly": 1 }"#, &dates);
    assert_eq!(kept_by(&full), [vec!["yearly, 2026"], vec![], vec![]]);
}

#[test]
fn within_counts_from_the_newest_snapshot() {
    let kept = |within: &str, dates: &[&str]| {
        let verdicts = judge(&format!(r#"{{ "keepWithin": "{within}" }}"#), dates);
        verdicts.iter().filter(|verdict| !verdict.kept_by.is_empty()).count()
    };
    let dates = [
        "2020-03-31T12:00:00Z",
        "2020-03-31T11:59:00Z",
        "2020-03-31T11:00:00Z",
        "2020-03-30T12:00:01Z",
        "2020-03-30T12:00:00Z",
        "2020-03-24T12:00:00Z",
        "2020-02-29T12:00:01Z",
        "2020-02-29T12:00:00Z",
    ];
    assert_eq!(
        ["1h", "24h", "1d", "1w"].map(|within| kept(within, &dates[..6])),
        [2, 4, 4, 5]
    );
    // A month before March 31 is the last day of February.
    assert_eq!(
        ["1m", "2m", "1y", "9999y"].map(|within| kept(within, &dates)),
        [7, 8, 8, 8]
    );
}

#[test]
fn a_pause_or_a_clock_that_jumped_ahead_ages_nothing_out() {
    let within = |dates: &[&str]| {
        kept_by(&judge(r#"{ "keepWithin": "2d" }"#, dates))
            .iter()
            .map(Vec::len)
            .sum::<usize>()
    };
    let before = [
        "2027-01-03T12:00:00Z",
        "2027-01-02T12:00:00Z",
        "2027-01-01T12:00:01Z",
        "2027-01-01T11:00:00Z",
    ];
    assert_eq!(within(&before), 3);
    // What comes after it ages them by its own time.
    let with = |after: &[&'static str]| within(&[after, &before[..]].concat());
    assert_eq!(with(&["2037-05-05T00:00:00Z"]), 1 + 3);
    assert_eq!(with(&["2037-05-05T23:00:00Z", "2037-05-05T00:00:00Z"]), 2 + 2);
    assert_eq!(
        with(&["2037-05-07T00:00:00Z", "2037-05-06T00:00:00Z", "2037-05-05T00:00:00Z"]),
        2
    );
    // Of several pauses only the last is not counted, or snapshots that are always far apart would stay for ever.
    assert_eq!(
        within(&["2027-03-01T00:00:00Z", "2027-02-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
        2
    );
}

/// Which of these are kept, by their numbers from the newest, when the clock is right now.
fn kept_when_right(json: &str, dates: &[&str]) -> Vec<usize> {
    let dates: Vec<Timestamp> = dates.iter().map(|date| date.parse().unwrap()).collect();
    let verdicts = policy(json).judge(&dates, "2027-01-10T00:00:00Z".parse().unwrap());
    let kept = |(number, verdict): (usize, Verdict)| (!verdict.kept_by.is_empty()).then_some(number);
    verdicts.into_iter().enumerate().filter_map(kept).collect()
}

#[test]
fn what_a_clock_that_was_ahead_made_ages_like_the_others() {
    let dates = [
        "2027-01-09T12:00:00Z",
        "2027-01-08T12:00:00Z",
        // The clock was ahead.
        "2036-01-02T12:00:00Z",
        "2036-01-01T12:00:00Z",
        "2027-01-07T12:00:00Z",
        "2027-01-06T12:00:00Z",
        "2027-01-05T12:00:00Z",
    ];
    assert_eq!(kept_when_right(r#"{ "keepLast": 3 }"#, &dates), [0, 1, 2]);
    assert_eq!(kept_when_right(r#"{ "keepWithin": "25h" }"#, &dates), [0, 1, 2, 3]);
    assert_eq!(kept_when_right(r#"{ "keepWithin": "49h" }"#, &dates), [0, 1, 2, 3, 4]);
    // They take nobody's place, and go when the places before them are full.
    assert_eq!(kept_when_right(r#"{ "keepDaily": 3 }"#, &dates), [0, 1, 2, 3, 4]);
    assert_eq!(kept_when_right(r#"{ "keepDaily": 2 }"#, &dates), [0, 1]);
    // While they are the newest, too.
    assert_eq!(kept_when_right(r#"{ "keepWithin": "25h" }"#, &dates[2..]), [0, 1, 2, 3]);
    assert_eq!(kept_when_right(r#"{ "keepDaily": 2 }"#, &dates[2..]), [0, 1, 2, 3]);
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_older() {
    let dates = [
        "2027-01-09T12:00:00Z",
        // The clock was two days back, then a year.
        "2027-01-06T13:00:00Z",
        "2026-01-06T12:00:00Z",
        "2027-01-08T12:00:00Z",
        "2027-01-07T12:00:00Z",
        "2027-01-06T12:00:00Z",
        "2027-01-05T12:00:00Z",
    ];
    assert_eq!(kept_when_right(r#"{ "keepLast": 3 }"#, &dates), [0, 1, 2]);
    assert_eq!(kept_when_right(r#"{ "keepWithin": "25h" }"#, &dates), [0, 1, 2, 3]);
    // No day loses the snapshot that was made on it.
    let daily = kept_when_right(r#"{ "keepDaily": 5 }"#, &dates);
    assert_eq!(daily, [0, 1, 2, 3, 4, 5, 6]);
    // While the clock is back nothing is old: what was made before is dated later.
    assert_eq!(
        kept_when_right(r#"{ "keepWithin": "25h" }"#, &dates[2..]),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(kept_when_right(r#"{ "keepDaily": 2 }"#, &dates[2..]), [0, 1, 2, 3, 4]);
}

#[test]
fn what_nobody_can_mean_is_refused() {
    for json in [
        "{}",
        r#"{ "keepLast": 0, "keepDaily": 0 }"#,
        r#"{ "keepLast": -1 }"#,
        r#"{ "keepLast": 5, "keepYearly": -3 }"#,
        r#"{ "keepWithin": "" }"#,
        r#"{ "keepWithin": "0d" }"#,
        r#"{ "keepWithin": "7" }"#,
        r#"{ "keepWithin": "d" }"#,
        r#"{ "keepWithin": "1.5d" }"#,
        r#"{ "keepWithin": "-7d" }"#,
        r#"{ "keepWithin": "7 days" }"#,
        r#"{ "keepWithin": "7é" }"#,
        r#"{ "keepWithin": "999999h" }"#,
    ] {
        let error = Policy::new(&serde_json::from_str(json).unwrap()).unwrap_err();
        assert_eq!(error.code, Code::RetentionPolicyInvalid, "{json}: {error}");
    }
}

/// The policy once more, in another style: sets instead of a walk, whole numbers instead of a calendar.
struct Model {
    last: usize,
    /// Counts of hourly, daily, weekly, monthly, yearly.
    counts: [usize; 5],
    within_hours: i64,
}

impl Model {
    fn keeps(&self, seconds: &[i64]) -> BTreeSet<i64> {
        let mut kept: BTreeSet<i64> = seconds.iter().copied().take(self.last).collect();
        let newest = seconds.iter().copied().max().unwrap();
        let span = self.within_hours * HOUR;
        let long = |pair: &[i64]| (pair[0] - pair[1] >= span).then_some((pair[1], pair[0] - pair[1]));
        let (since, pause) = seconds.windows(2).find_map(long).unwrap_or_default();
        let age = |second: i64| newest - second - if second <= since { pause } else { 0 };
        kept.extend(seconds.iter().filter(|second| age(**second) < span));
        for (kind, &count) in self.counts.iter().enumerate() {
            let mut newest_of: BTreeMap<i64, i64> = BTreeMap::new();
            for &second in seconds {
                let newest = newest_of.entry(number_of_period(kind, second)).or_insert(second);
                *newest = second.max(*newest);
            }
            kept.extend(newest_of.values().rev().take(count));
            if newest_of.len() < count {
                kept.insert(*seconds.iter().min().unwrap());
            }
        }
        kept
    }
}

fn number_of_period(kind: usize, second: i64) -> i64 {
    let days = second.div_euclid(DAY);
    let (year, month) = year_and_month(days);
    match kind {
        0 => second.div_euclid(HOUR),
        1 => days,
        // 1970-01-01 was a Thursday; ISO weeks begin on Mondays and never end with the year.
        2 => (days + 3).div_euclid(7),
        3 => year * 12 + month,
        _ => year,
    }
}

/// Counts days off the calendar, a year and then a month at a time.
fn year_and_month(mut days: i64) -> (i64, i64) {
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month)
}

#[test]
fn simulated_years_are_kept_as_the_other_model_keeps_them() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut compared = 0;
    for round in 0..60 {
        // Every six hours for a year and a half, with gaps, around the end of a leap year.
        let (mut second, mut seconds) = (1_704_067_200 + random(400) as i64 * DAY, Vec::new());
        for _ in 0..1500 + random(700) {
            second += 6 * HOUR + random(2) as i64 * random(900) as i64;
            if random(40) == 0 {
                second += random(20) as i64 * DAY;
            }
            seconds.push(second);
        }
        seconds.reverse();
        let mut count = |most: u64| if random(3) == 0 { 0 } else { random(most) as usize };
        let model = Model {
            last: 1 + count(20),
            counts: [count(50), count(40), count(60), count(24), count(4)],
            within_hours: count(2000) as i64,
        };
        let [hourly, daily, weekly, monthly, yearly] = model.counts;
        let within = match model.within_hours {
            0 => String::new(),
            hours => format!(r#", "keepWithin": "{hours}h""#),
        };
        let policy = policy(&format!(
            r#"{{ "keepLast": {}, "keepHourly": {hourly}, "keepDaily": {daily}, "keepWeekly": {weekly},
                 "keepMonthly": {monthly}, "keepYearly": {yearly}{within} }}"#,
            model.last
        ));
        let dates: Vec<Timestamp> = seconds
            .iter()
            .map(|second| Timestamp::from_second(*second).unwrap())
            .collect();
        let verdicts = policy.judge(&dates, Timestamp::MAX);
        let kept: BTreeSet<i64> = seconds
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| !verdict.kept_by.is_empty())
            .map(|(second, _)| *second)
            .collect();
        assert_eq!(kept, model.keeps(&seconds), "round {round}: {policy:?}");
        compared += kept.len();
    }
    assert!(compared > 1000, "the policies kept something");
}
