//! The express lane of a queue: tasks that came while others waited, for an owner who may have
//! nothing in hand.
//!
//! Who comes first is decided in rounds, and a newcomer would wait for the one under way to end. So a
//! worker keeps some places for owners that it does nothing for, and hears of their tasks here. What
//! does not fit in here takes its turn with all others.

use std::{
    collections::VecDeque,
    fmt,
    num::NonZeroUsize,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use models::{OwnerId, TaskId};
use tokio::sync::Notify;

/// Offers of a queue that wait at most.
pub(super) const OFFERS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// A task that has just become due, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The task.
    pub id: TaskId,
    /// Its owner.
    pub owner: OwnerId,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.owner)
    }
}

impl FromStr for Offer {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, owner) = text.split_once(' ').unwrap_or((text, ""));
        Ok(Self {
            id: id.parse()?,
            owner: owner.parse()?,
        })
    }
}

/// The offers of a queue inside a process, and those who wait for them.
#[derive(Debug, Default)]
pub(super) struct Express {
    offers: Mutex<VecDeque<Offer>>,
    offered: Notify,
}

impl Express {
    /// Adds an offer, if there is room. Never waits.
    pub(super) fn push(&self, offer: Offer) {
        let mut offers = self.offers();
        if offers.len() < OFFERS_MAX.get() {
            offers.push_back(offer);
        }
        drop(offers);
        self.knock();
    }

    /// Says that there are offers, here or elsewhere.
    pub(super) fn knock(&self) {
        self.offered.notify_one();
    }

    /// Waits until somebody says that there are offers.
    pub(super) async fn offered(&self) {
        self.offered.notified().await;
    }

    /// Takes what is there, `most` at most.
    pub(super) fn pop(&self, most: NonZeroUsize) -> Vec<Offer> {
        let mut offers = self.offers();
        let most = most.get().min(offers.len());
        offers.drain(..most).collect()
    }

    fn offers(&self) -> MutexGuard<'_, VecDeque<Offer>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
