//! When apalis looks for messages: at a knock, and now and then.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{PollSnapshot, PollStrategy};
use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep};

/// A knock may be lost, so the worker looks this often.
const TICK: Duration = Duration::from_secs(1);
/// A knock may come while an older look is under way, so it is answered once more after so long.
const ECHO: Duration = Duration::from_millis(10);

/// A door to knock at.
#[derive(Debug, Default)]
pub(super) struct Door {
    knocked: AtomicBool,
    waker: AtomicWaker,
}

impl Door {
    pub(super) fn knock(&self) {
        self.knocked.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// Wakes the worker of apalis; whenever that is woken, it looks.
#[derive(Debug)]
pub(super) struct Listener {
    door: Arc<Door>,
    tick: Interval,
    echo: Pin<Box<Sleep>>,
    echoing: bool,
}

impl Listener {
    pub(super) fn new(door: Arc<Door>) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            door,
            tick,
            echo: Box::pin(sleep(ECHO)),
            echoing: false,
        }
    }
}

impl PollStrategy for Listener {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        self.door.waker.register(cx.waker());
        if self.door.knocked.swap(false, Ordering::AcqRel) {
            self.echo.as_mut().reset(Instant::now() + ECHO);
            self.echoing = true;
        }
        if self.echoing && self.echo.as_mut().poll(cx).is_ready() {
            self.echoing = false;
        }
        // To the end, so that the next tick wakes.
        while self.tick.poll_tick(cx).is_ready() {}
        Poll::Pending
    }
}
