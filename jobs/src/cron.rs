//! Cron expressions, and when they fire in a time zone.
//!
//! Where clocks change, it is as people expect of cron: a fixed time that does not exist fires right
//! after the gap, one that exists twice fires the first time; an expression with a `*` in minute or
//! hour follows the clock on the wall, through both of the repeated hours.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use models::{Error, Result};

/// The longest expression, in characters: the longest lists of all fields have 300.
pub const LENGTH_MAX: usize = 400;

/// When something happens again and again: a cron expression, in a time zone.
#[derive(Clone, Debug)]
pub struct Cron {
    pattern: croner::Cron,
    zone: Tz,
}

impl Cron {
    /// Reads an expression of five fields (minute, hour, day of month, month, day of week), or a word
    /// as `@daily`, and a name of the IANA time zone database. `Invalid` names the field.
    pub fn new(pattern: &str, zone: &str) -> Result<Self> {
        if pattern.chars().count() > LENGTH_MAX {
            let reason = format!("must have at most {LENGTH_MAX} characters");
            return Err(Error::invalid("/cron", reason));
        }
        let zone = zone.parse().map_err(|_| {
            let reason = "must be a name of the IANA time zone database, as `Europe/Berlin`";
            Error::invalid("/time_zone", reason)
        })?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let pattern = parser
            .parse(pattern)
            .map_err(|error| Error::invalid("/cron", error.to_string()))?;
        Ok(Self { pattern, zone })
    }

    /// The first time after this one at which it fires; nothing when it never does again.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.with_timezone(&self.zone);
        let next = self.pattern.find_next_occurrence(&after, false).ok()?;
        Some(next.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first times after one, as the clock in the zone shows them.
    fn times(pattern: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::new(pattern, zone).expect("it is valid");
        let mut at: DateTime<Utc> = after.parse().expect("it is a time");
        let mut times = Vec::new();
        while times.len() < count
            && let Some(next) = cron.next(at)
        {
            assert!(next > at, "time goes on");
            at = next;
            let local = next.with_timezone(&cron.zone);
            times.push(local.format("%m-%d %H:%M %z").to_string());
        }
        times
    }

    #[test]
    fn fields_are_lists_of_ranges_steps_and_names() {
        let next = |cron| times(cron, "UTC", "2026-11-21T12:34:56Z", 3).join(", ");

        for (cron, expected) in [
            (
                "*/20 * * * *",
                "11-21 12:40 +0000, 11-21 13:00 +0000, 11-21 13:20 +0000",
            ),
            (
                "5,7-8 3 * * *",
                "11-22 03:05 +0000, 11-22 03:07 +0000, 11-22 03:08 +0000",
            ),
            (
                "0 9 * * mon-tue",
                "11-23 09:00 +0000, 11-24 09:00 +0000, 11-30 09:00 +0000",
            ),
            (
                "0 0 1 * 7",
                "11-22 00:00 +0000, 11-29 00:00 +0000, 12-01 00:00 +0000",
            ),
            (
                "@monthly",
                "12-01 00:00 +0000, 01-01 00:00 +0000, 02-01 00:00 +0000",
            ),
            ("0 0 31 2 *", ""),
        ] {
            assert_eq!(next(cron), expected, "{cron}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "a * * * *",
            "5-3 * * * *",
            "*/0 * * * *",
            "@often",
            &"1,".repeat(200),
        ] {
            assert!(Cron::new(text, "UTC").is_err(), "{text:?}");
        }
        assert!(Cron::new("@daily", "Europe/Atlantis").is_err());
    }

    #[test]
    fn a_fixed_time_fires_once_where_the_clock_is_set_forward() {
        // In Berlin, 2026-03-29 has no time from 02:00 to 03:00.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
            [
                "03-28 02:30 +0100",
                "03-29 03:00 +0200",
                "03-30 02:30 +0200"
            ]
        );
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
            [
                "03-29 01:30 +0100",
                "03-29 03:00 +0200",
                "03-29 03:30 +0200"
            ]
        );
    }

    #[test]
    fn a_fixed_time_fires_once_where_the_clock_is_set_back() {
        // In Berlin, 2026-10-25 has the hour from 02:00 twice.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T01:00:00Z", 3),
            [
                "10-25 02:30 +0200",
                "10-26 02:30 +0100",
                "10-27 02:30 +0100"
            ]
        );
        assert_eq!(
            times("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3),
            [
                "10-25 02:30 +0200",
                "10-25 02:30 +0100",
                "10-25 03:30 +0100"
            ]
        );
    }
}
