//! The database's clock, kept on this side of the connection.
//!
//! Leases, schedules and expiry compare times that different machines wrote. So every time comes
//! from one clock, the database's: a machine whose own clock is an hour off works like any other.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// How far the database's clock is ahead of this machine's.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_us: AtomicI64,
}

impl Clock {
    /// The database's time as well as we know it, in whole microseconds.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let offset = TimeDelta::microseconds(self.offset_us.load(Ordering::Relaxed));
        // PostgreSQL keeps microseconds and SQLite whatever it is given: both must store the same.
        (Self::local() + offset).trunc_subsecs(6)
    }

    /// Takes over what the database answered to a question asked and answered at these local times.
    ///
    /// The middle of the round trip is the best guess of when the database looked at its clock.
    pub(crate) fn set(
        &self,
        asked: DateTime<Utc>,
        database: DateTime<Utc>,
        answered: DateTime<Utc>,
    ) {
        let middle = asked + (answered - asked) / 2;
        let offset_us = (database - middle).num_microseconds().unwrap_or(0);
        self.offset_us.store(offset_us, Ordering::Relaxed);
    }

    /// Moves the offset, as if this machine's clock had jumped the other way.
    #[cfg(feature = "testing")]
    pub(crate) fn disturb(&self, by: TimeDelta) {
        self.offset_us
            .fetch_add(by.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }

    /// This machine's own clock: for measuring only.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    pub(crate) fn local() -> DateTime<Utc> {
        Utc::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_taken_from_the_middle_of_the_round_trip() {
        let clock = Clock::default();
        let asked = Clock::local();
        let hour = TimeDelta::hours(1);

        clock.set(asked, asked + hour, asked + TimeDelta::milliseconds(20));

        assert_eq!(
            clock.offset_us.load(Ordering::Relaxed),
            3_600_000_000 - 10_000
        );
        assert!(clock.now() - Clock::local() > hour - TimeDelta::seconds(1));
    }

    #[test]
    fn times_are_whole_microseconds() {
        assert_eq!(Clock::default().now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
