//! What stands in front of a provider: a rate, and a breaker that opens when the provider is away.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::Answer;

/// A mail waits in the process for its place this long; beyond, it goes back into the queue.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);
/// So many troubles in a row open the breaker.
const TROUBLES_MAX: u32 = 10;
/// An open breaker lets nobody through for this long; then the next trouble opens it again.
const OPEN_TIME: Duration = Duration::from_secs(30);
/// A provider that asks for more is asked again after this.
const PAUSE_MAX: Duration = Duration::from_mins(15);

/// The gate of a provider in one process.
#[derive(Debug)]
pub(super) struct Gate {
    /// Between two mails.
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the next mail may leave.
    next: Option<Instant>,
    /// Troubles since the last mail that was taken.
    troubles: u32,
    /// Nobody passes before.
    closed_until: Option<Instant>,
}

impl Gate {
    /// A gate for so many mails a second.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            period: Duration::from_secs(1) / per_second.max(1),
            state: Mutex::default(),
        }
    }

    /// How long to wait before leaving, or after which time to come back.
    pub(super) fn admit(&self, now: Instant) -> Result<Duration, Duration> {
        let mut state = self.state();
        if let Some(until) = state.closed_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        let place = state.next.map_or(now, |next| next.max(now));
        let wait = place - now;
        if wait > WAIT_MAX {
            return Err(wait);
        }
        state.next = Some(place + self.period);
        Ok(wait)
    }

    /// Learns from what the provider answered.
    pub(super) fn heard(&self, answer: &Answer, now: Instant) {
        let mut state = self.state();
        let (trouble, pause) = match answer {
            Answer::Taken(_) => (false, None),
            Answer::Refused(refusal) => (refusal.outage, refusal.pause),
            Answer::Doubt(_) => (true, None),
        };
        state.troubles = if trouble { state.troubles + 1 } else { 0 };
        let open = (state.troubles >= TROUBLES_MAX).then_some(OPEN_TIME);
        if let Some(pause) = pause.or(open) {
            let until = now + pause.min(PAUSE_MAX);
            if state.closed_until.is_none_or(|closed| closed < until) {
                warn!(pause_s = pause.as_secs(), "The mail provider is left alone");
                state.closed_until = Some(until);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every holder leaves it whole, also one that panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailer::Refusal;

    #[test]
    fn mails_leave_one_after_the_other_and_wait_in_the_queue_when_there_are_many() {
        let (gate, now) = (Gate::new(2), Instant::now());

        let waits: Vec<_> = (0..13).map(|_| gate.admit(now)).collect();

        let half = Duration::from_millis(500);
        assert_eq!(waits[..3], [Ok(Duration::ZERO), Ok(half), Ok(half * 2)]);
        assert_eq!(waits[10], Ok(half * 10));
        assert_eq!(waits[11], Err(half * 11));
        assert_eq!(gate.admit(now + half * 11), Ok(Duration::ZERO));
    }

    #[test]
    fn a_provider_in_trouble_is_left_alone_until_it_takes_a_mail() {
        let (gate, now) = (Gate::new(1_000), Instant::now());
        let away = Answer::Refused(Refusal::outage("connection refused"));

        for _ in 1..TROUBLES_MAX {
            gate.heard(&away, now);
        }
        assert!(gate.admit(now).is_ok(), "one more is needed");
        gate.heard(&away, now);
        assert_eq!(gate.admit(now), Err(OPEN_TIME));

        let later = now + OPEN_TIME;
        assert!(gate.admit(later).is_ok(), "it is tried again");
        gate.heard(&away, later);
        assert!(gate.admit(later).is_err(), "and still away");
        let back = later + OPEN_TIME;
        gate.heard(&Answer::Taken(None), back);
        gate.heard(&away, back);
        assert!(gate.admit(back).is_ok(), "one trouble is none");
    }

    #[test]
    fn a_provider_says_itself_how_long_it_wants_to_be_left_alone() {
        let (gate, now) = (Gate::new(1_000), Instant::now());
        let asks = |seconds| {
            Answer::Refused(Refusal {
                retryable: true,
                detail: String::new(),
                pause: Some(Duration::from_secs(seconds)),
                outage: false,
            })
        };

        gate.heard(&asks(7), now);
        assert_eq!(gate.admit(now), Err(Duration::from_secs(7)));
        gate.heard(&asks(1_000_000), now);
        assert_eq!(gate.admit(now), Err(PAUSE_MAX));
    }
}
