//! Threads that compute one thing together, many thousand times a second.
//!
//! A job is a list of parts that whoever is free takes the next of. The caller takes parts too, and
//! waits only for helpers that have begun one: a helper that the system does not let run holds nobody
//! up. Between jobs helpers look out for the next one for a moment, then sleep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use crate::error::{Error, Result};

/// Threads at most, the caller included.
pub(crate) const THREADS_MAX: usize = 256;
/// Looks for a job before a helper sleeps: some 50 us, longer than between two jobs of a step.
const LOOKS_MAX: u32 = 2000;
/// Looks for the end of the last parts before the caller lets others run.
const WAITS_MAX: u32 = 2000;

/// Helpers that are inside of a job are counted in the lower bits of the gate.
const INSIDE: u64 = 0xffff;
/// Set while helpers may enter.
const OPEN: u64 = 1 << 16;
/// Above it the gate holds the number of the job.
const NUMBER_SHIFT: u32 = 17;

type Job<'a> = &'a (dyn Fn() + Sync);

/// Helper threads; they end with it.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    gate: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    failed: AtomicBool,
    ended: AtomicBool,
    asleep: Vec<AtomicBool>,
}

impl Pool {
    /// A pool of `threads` threads, one of which is whoever calls it.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let helpers = threads.clamp(1, THREADS_MAX) - 1;
        let shared = Arc::new(Shared {
            gate: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            failed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            asleep: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut pool = Self {
            shared,
            helpers: Vec::new(),
        };
        for place in 0..helpers {
            let shared = pool.shared.clone();
            let helper = std::thread::Builder::new().name(format!("inference-{place}"));
            let helper = helper
                .spawn(move || shared.help(place))
                .map_err(|error| Error::Engine(format!("no thread could be started: {error}")))?;
            pool.helpers.push(helper);
        }
        Ok(pool)
    }

    /// Threads that compute, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `work` for every part of `out`, `size` long but for the last, with its index.
    pub(crate) fn split<T: Send>(
        &mut self,
        out: &mut [T],
        size: usize,
        work: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let size = size.max(1);
        if self.threads() == 1 || out.len() <= size {
            for (index, part) in out.chunks_mut(size).enumerate() {
                work(index, part);
            }
            return;
        }
        let parts = Mutex::new(out.chunks_mut(size).enumerate());
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
        self.run(&|| {
            while let Some((index, part)) = next() {
                work(index, part);
            }
        });
    }

    /// Calls `job` on as many threads as come in time, on this one in any case.
    fn run(&mut self, job: Job<'_>) {
        let shared = &*self.shared;
        let place = std::ptr::from_ref(&job).cast::<Job<'static>>();
        shared.job.store(place.cast_mut(), Ordering::Relaxed);
        let number = (shared.gate.load(Ordering::Relaxed) >> NUMBER_SHIFT) + 1;
        shared
            .gate
            .store((number << NUMBER_SHIFT) | OPEN, Ordering::SeqCst);
        // Closes the gate also when the job panics: the job must not end while a helper is inside.
        let closing = Closing(shared);
        for (asleep, helper) in shared.asleep.iter().zip(&self.helpers) {
            if asleep.load(Ordering::SeqCst) {
                helper.thread().unpark();
            }
        }
        job();
        drop(closing);
        assert!(
            !shared.failed.swap(false, Ordering::Relaxed),
            "a helper of the pool failed"
        );
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            Thread::unpark(helper.thread());
            // Helpers catch panics; there is nothing to learn from their end.
            let _ = helper.join();
        }
    }
}

struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut waits = 0;
        while self.0.gate.load(Ordering::Acquire) & INSIDE != 0 {
            waits += 1;
            if waits < WAITS_MAX {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

impl Shared {
    fn help(&self, place: usize) {
        let mut last = 0;
        while let Some(number) = self.next_job(last, place) {
            last = number;
            let enter = |gate: u64| {
                let current = gate >> NUMBER_SHIFT == number && gate & OPEN != 0;
                current.then_some(gate + 1)
            };
            let entered = self
                .gate
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, enter);
            if entered.is_err() {
                continue;
            }
            #[expect(
                unsafe_code,
                reason = "a job borrows what its caller has, for one call"
            )]
            // SAFETY: `run` stored the pointer before it opened the gate that was entered just now, and
            // it does not return, nor unwind, before this helper has left: what it points to lives.
            let job = unsafe { *self.job.load(Ordering::Relaxed) };
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            self.gate.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for a job after the one with the number `last`; none when the pool ends.
    fn next_job(&self, last: u64, place: usize) -> Option<u64> {
        let mut looks = 0;
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            if gate & OPEN != 0 && gate >> NUMBER_SHIFT != last {
                self.asleep[place].store(false, Ordering::Relaxed);
                return Some(gate >> NUMBER_SHIFT);
            }
            if self.ended.load(Ordering::SeqCst) {
                return None;
            }
            looks += 1;
            if looks < LOOKS_MAX {
                std::hint::spin_loop();
            } else if self.asleep[place].swap(true, Ordering::SeqCst) {
                // It was said before the last look, so whoever opens the gate wakes this thread.
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_whatever_the_number_of_threads() -> Result<()> {
        for threads in [1, 2, 3, 7] {
            let mut pool = Pool::new(threads)?;
            for round in 0..300 {
                let mut numbers = vec![0; 101];
                pool.split(&mut numbers, 1 + round % 13, |index, part| {
                    for number in part {
                        *number += index + round;
                    }
                });
                let size = 1 + round % 13;
                let right: Vec<_> = (0..101).map(|place| place / size + round).collect();
                assert_eq!(numbers, right);
            }
        }
        Ok(())
    }

    #[test]
    fn helpers_that_sleep_are_woken_and_a_panic_does_not_end_them() -> Result<()> {
        let mut pool = Pool::new(3)?;
        let asleep = |pool: &Pool| pool.shared.asleep.iter().all(|a| a.load(Ordering::SeqCst));
        let mut numbers = vec![1u64; 64];

        let panic = catch_unwind(AssertUnwindSafe(|| {
            pool.split(&mut numbers, 1, |index, _| {
                assert!(index != 40, "on purpose");
            });
        }));
        while !asleep(&pool) {
            std::thread::yield_now();
        }
        pool.split(&mut numbers, 1, |_, part| part[0] += 1);

        assert!(panic.is_err());
        assert_eq!(numbers, [2; 64]);
        Ok(())
    }
}
