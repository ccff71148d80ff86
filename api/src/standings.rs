//! Who was recognised of late, so that a poll costs a digest and not a signature and a query.
//!
//! What is remembered is at most two seconds old: that is how long a token works after its session was
//! ended by another process. This process forgets at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::caller::Caller;

/// How long a caller is taken to be as they were.
const STANDING_PERIOD: Duration = Duration::from_secs(2);
/// Callers that are remembered at most.
const CALLERS_MAX: usize = 10_000;

type Digest = [u8; 32];

/// The callers that were recognised of late, by the digests of their tokens; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standings(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    generation: Generation,
    callers: HashMap<Digest, (Caller, Instant)>,
}

/// Between which changes somebody was asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Standings {
    /// Whose token this is, if that was found out just now; otherwise what [`Standings::keep`] asks for
    /// once it is found out.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Caller, Generation> {
        let known = self.lock();
        match known.callers.get(digest) {
            Some((caller, until)) if *until > Instant::now() => Ok(*caller),
            _ => Err(known.generation),
        }
    }

    /// Remembers whose token this is, for no longer than the token is good, in seconds. What was found
    /// out while something changed is not remembered: it may be what was true before.
    pub(crate) fn keep(&self, asked: Generation, digest: Digest, caller: Caller, seconds: u64) {
        let now = Instant::now();
        let until = now + STANDING_PERIOD.min(Duration::from_secs(seconds));
        let mut known = self.lock();
        if known.callers.len() >= CALLERS_MAX {
            known.callers.retain(|_, (_, until)| *until > now);
        }
        // So many at once are recognised anew each time: slower, and still right.
        if known.callers.len() < CALLERS_MAX && known.generation == asked {
            known.callers.insert(digest, (caller, until));
        }
    }

    /// Forgets everybody, since an account or a session has changed.
    pub(crate) fn clear(&self) {
        let mut known = self.lock();
        known.generation.0 += 1;
        known.callers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Operators;

    #[test]
    fn what_was_found_out_before_a_change_is_not_remembered_after_it() {
        let (standings, caller) = (Standings::default(), Caller::local(&Operators::Nobody));
        let asked = |digest| standings.find(&digest).err();

        let before = asked([1; 32]).unwrap_or_default();
        standings.clear();
        standings.keep(before, [1; 32], caller, 60);
        let after = asked([1; 32]);
        standings.keep(after.unwrap_or_default(), [1; 32], caller, 60);
        standings.keep(after.unwrap_or_default(), [2; 32], caller, 0);

        assert!(after.is_some_and(|after| after != before));
        assert!(standings.find(&[1; 32]).is_ok());
        assert!(standings.find(&[2; 32]).is_err(), "its time is over");
        standings.clear();
        assert!(standings.find(&[1; 32]).is_err());
    }
}
