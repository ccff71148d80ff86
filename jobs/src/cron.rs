//! Cron expressions, and when they fire in a time zone.
//!
//! Five fields: minute, hour, day of month, month, day of week, each a list of `*`, numbers, ranges
//! and steps; months and weekdays have names, Sunday is 0 or 7. When both days are restricted,
//! either is enough. Where clocks change, it is as people expect of cron: a fixed time that does not
//! exist fires right after the gap, one that exists twice fires the first time; an expression with a
//! `*` in minute or hour follows the clock on the wall, through both of the repeated hours.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike as _, Days, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _,
    Utc,
};
use chrono_tz::Tz;
use models::{Error, Result};

/// Days that are searched for the next time: the 29th of February of a certain weekday comes every
/// 28 years, except around a century.
const DAYS_MAX: u64 = 41 * 366;
/// No gap of a clock is longer: an island once left out a day.
const GAP_MINUTES_MAX: i64 = 25 * 60;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// The day of the month and the day of the week are both restricted.
    either_day: bool,
    /// Minute and hour are fixed.
    fixed: bool,
}

impl FromStr for Cron {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(invalid("must have five fields"));
        };
        let weekdays = field(weekday, 0, 7, &WEEKDAYS)?;
        let cron = Self {
            minutes: field(minute, 0, 59, &[])?,
            hours: field(hour, 0, 23, &[])?,
            days: field(day, 1, 31, &[])?,
            months: field(month, 1, 12, &MONTHS)?,
            // 7 is Sunday as well.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
            fixed: !minute.contains('*') && !hour.contains('*'),
        };
        Ok(cron)
    }
}

impl Cron {
    /// The first time after this one at which it fires; nothing when it never does again.
    pub fn next(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // A day early: where clocks are set back, a day may reach beyond its midnight.
        let first = after.with_timezone(&zone).date_naive() - Days::new(1);
        (0..DAYS_MAX)
            .map_while(|days| first.checked_add_days(Days::new(days)))
            .filter(|day| self.matches(*day))
            .find_map(|day| self.first_of(day, after, zone))
    }

    fn matches(&self, day: NaiveDate) -> bool {
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, day.weekday().num_days_from_sunday());
        has(self.months, day.month())
            && if self.either_day { of_month || of_week } else { of_month && of_week }
    }

    /// The first time of a day on the wall that is after this one.
    fn first_of(&self, day: NaiveDate, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        let times = hours.flat_map(|hour| {
            let minutes = (0..60).filter(|minute| has(self.minutes, *minute));
            minutes.filter_map(move |minute| day.and_hms_opt(hour, minute, 0))
        });
        times
            .flat_map(|time| self.instants(time, zone))
            .flatten()
            .filter(|instant| *instant > after)
            .min()
    }

    /// When a clock on the wall shows this time, as far as that counts.
    fn instants(&self, time: NaiveDateTime, zone: Tz) -> [Option<DateTime<Utc>>; 2] {
        match zone.from_local_datetime(&time) {
            LocalResult::Single(instant) => [Some(instant.to_utc()), None],
            LocalResult::Ambiguous(first, _) if self.fixed => [Some(first.to_utc()), None],
            LocalResult::Ambiguous(first, second) => [Some(first.to_utc()), Some(second.to_utc())],
            LocalResult::None if self.fixed => [after_gap(time, zone), None],
            LocalResult::None => [None, None],
        }
    }
}

/// The first time after a gap of the clock.
fn after_gap(time: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    (1..=GAP_MINUTES_MAX)
        .filter_map(|minutes| time.checked_add_signed(TimeDelta::minutes(minutes)))
        .find_map(|time| zone.from_local_datetime(&time).earliest())
        .map(|instant| instant.to_utc())
}

fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::invalid("/cron", reason)
}

/// The numbers that a field lists, as bits.
fn field(text: &str, min: u32, max: u32, names: &[&str]) -> Result<u64> {
    let wrong = || invalid(format!("has `{text}` where {min} to {max} belongs"));
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse().map_err(|_| wrong())?)),
            None => (part, None),
        };
        let number = |text: &str| -> Result<u32> {
            let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
            let named = named.and_then(|place| u32::try_from(place).ok());
            let number = match named {
                // Months count from 1, weekdays from 0.
                Some(place) => place + min,
                None => text.parse().map_err(|_| wrong())?,
            };
            if (min..=max).contains(&number) { Ok(number) } else { Err(wrong()) }
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((from, to)) => (number(from)?, number(to)?),
            // `5/15` goes on to the end.
            None if step.is_some() => (number(range)?, max),
            None => (number(range)?, number(range)?),
        };
        let step = step.unwrap_or(1);
        if step == 0 || from > to {
            return Err(wrong());
        }
        for number in (from..=to).step_by(step) {
            set |= 1 << number;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first times after one, as the clock in the zone shows them.
    fn times(cron: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
        let cron: Cron = cron.parse().expect("it is valid");
        let mut at: DateTime<Utc> = after.parse().expect("it is a time");
        let mut times = Vec::new();
        while times.len() < count
            && let Some(next) = cron.next(at, zone)
        {
            assert!(next > at, "time goes on");
            at = next;
            let local = next.with_timezone(&zone);
            times.push(local.format("%m-%d %H:%M %z").to_string());
        }
        times
    }

    #[test]
    fn fields_are_lists_of_ranges_steps_and_names() {
        let next = |cron| times(cron, Tz::UTC, "2026-11-21T12:34:56Z", 3).join(", ");

        assert_eq!(next("*/20 * * * *"), "11-21 12:40 +0000, 11-21 13:00 +0000, 11-21 13:20 +0000");
        assert_eq!(next("5,7-8 3 * * *"), "11-22 03:05 +0000, 11-22 03:07 +0000, 11-22 03:08 +0000");
        assert_eq!(next("0 9 * * mon-tue"), "11-23 09:00 +0000, 11-24 09:00 +0000, 11-30 09:00 +0000");
        assert_eq!(next("0 0 1 * 7"), "11-22 00:00 +0000, 11-29 00:00 +0000, 12-01 00:00 +0000");
        assert_eq!(next("0 0 29 feb *"), "02-29 00:00 +0000, 02-29 00:00 +0000, 02-29 00:00 +0000");
        assert_eq!(next("@monthly"), "12-01 00:00 +0000, 01-01 00:00 +0000, 02-01 00:00 +0000");
        assert_eq!(next("0 0 31 2 *"), "");
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *",
            "* * * * 8", "a * * * *", "5-3 * * * *", "*/0 * * * *", "1,,2 * * * *", "@often",
        ] {
            assert!(text.parse::<Cron>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_fixed_time_fires_once_where_the_clock_is_set_forward() {
        // In Berlin, 2026-03-29 has no time from 02:00 to 03:00.
        assert_eq!(
            times("30 2 * * *", Tz::Europe__Berlin, "2026-03-28T00:00:00Z", 3),
            ["03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"]
        );
        assert_eq!(
            times("*/30 * * * *", Tz::Europe__Berlin, "2026-03-29T00:15:00Z", 3),
            ["03-29 01:30 +0100", "03-29 03:00 +0200", "03-29 03:30 +0200"]
        );
    }

    #[test]
    fn a_fixed_time_fires_once_where_the_clock_is_set_back() {
        // In Berlin, 2026-10-25 has the hour from 02:00 twice.
        assert_eq!(
            times("30 2 * * *", Tz::Europe__Berlin, "2026-10-24T01:00:00Z", 3),
            ["10-25 02:30 +0200", "10-26 02:30 +0100", "10-27 02:30 +0100"]
        );
        assert_eq!(
            times("30 * * * *", Tz::Europe__Berlin, "2026-10-25T00:00:00Z", 3),
            ["10-25 02:30 +0200", "10-25 02:30 +0100", "10-25 03:30 +0100"]
        );
    }

    #[test]
    fn a_day_that_an_island_left_out_fires_when_the_next_begins() {
        assert_eq!(
            times("0 10 30 12 *", Tz::Pacific__Apia, "2011-12-01T00:00:00Z", 1),
            ["12-31 00:00 +1400"]
        );
    }
}
