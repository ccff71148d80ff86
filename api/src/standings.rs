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
pub(crate) struct Standings(Arc<Mutex<HashMap<Digest, (Caller, Instant)>>>);

impl Standings {
    /// Whose token this is, if that was found out just now.
    pub(crate) fn find(&self, digest: &Digest) -> Option<Caller> {
        let known = self.lock();
        let (caller, until) = known.get(digest)?;
        (*until > Instant::now()).then_some(*caller)
    }

    /// Remembers whose token this is, for no longer than the token is good, in seconds.
    pub(crate) fn keep(&self, digest: Digest, caller: Caller, seconds: u64) {
        let now = Instant::now();
        let until = now + STANDING_PERIOD.min(Duration::from_secs(seconds));
        let mut known = self.lock();
        if known.len() >= CALLERS_MAX {
            known.retain(|_, (_, until)| *until > now);
        }
        // So many at once are recognised anew each time: slower, and still right.
        if known.len() < CALLERS_MAX {
            known.insert(digest, (caller, until));
        }
    }

    /// Forgets everybody, since an account or a session has changed.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, (Caller, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
