//! Group commit: what comes while a batch is in flight makes the next batch.
//!
//! An idle system pays nothing for it, since the first item goes at once and alone. Under load many
//! items share one transaction, because commits are what a database has few of. Where they need not
//! be quick, a busy line also waits a moment after each batch, so that more of them do.

use std::{
    collections::VecDeque,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use models::{Error, Result};
use tokio::{sync::oneshot, time::sleep};

/// Does one thing for many callers at a time; clones share the line.
///
/// A batch is done whole or not at all. When one fails for another reason than a database out of
/// reach, each of its items is done again alone: a bad one fails nobody but its caller.
pub struct Batch<I, O>(Arc<Inner<I, O>>);

type Work<I, O> = dyn Fn(Arc<[I]>) -> BoxFuture<'static, Result<Vec<O>>> + Send + Sync;

struct Inner<I, O> {
    most: usize,
    pause: Duration,
    work: Box<Work<I, O>>,
    line: Mutex<Line<I, O>>,
}

struct Line<I, O> {
    waiting: VecDeque<Waiting<I, O>>,
    at_work: bool,
}

struct Waiting<I, O> {
    item: I,
    answer: oneshot::Sender<Result<O>>,
}

impl<I, O> Batch<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    /// Batches of at most `most` items, each done by `work`, which answers for every item in order.
    pub fn new<F>(most: usize, work: impl Fn(Arc<[I]>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<O>>> + Send + 'static,
    {
        Self::unhurried(most, Duration::ZERO, work)
    }

    /// The same, with a `pause` between two batches where the first had company and the second is not
    /// half full.
    pub fn unhurried<F>(
        most: usize,
        pause: Duration,
        work: impl Fn(Arc<[I]>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<O>>> + Send + 'static,
    {
        Self(Arc::new(Inner {
            most: most.max(1),
            pause,
            work: Box::new(move |items| work(items).boxed()),
            line: Mutex::new(Line {
                waiting: VecDeque::new(),
                at_work: false,
            }),
        }))
    }

    /// Waits in line and answers what was done for the item. The line is as long as there are
    /// callers; one that stops waiting leaves it, unless its batch is in flight already.
    pub async fn add(&self, item: I) -> Result<O> {
        let (answer, answered) = oneshot::channel();
        if self.0.push(Waiting { item, answer }) {
            let inner = Arc::clone(&self.0);
            tokio::spawn(async move { inner.work_off().await });
        }
        // The runtime is going down when nobody is left to answer.
        answered
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the batch was given up")))
    }
}

impl<I: Clone, O> Inner<I, O> {
    /// Puts an item into the line; whether somebody has to begin to work it off.
    fn push(&self, waiting: Waiting<I, O>) -> bool {
        let mut line = self.line();
        line.waiting.push_back(waiting);
        !std::mem::replace(&mut line.at_work, true)
    }

    /// The next batch, or the end of the work.
    fn next(&self) -> Option<Vec<Waiting<I, O>>> {
        let mut line = self.line();
        line.waiting.retain(|waiting| !waiting.answer.is_closed());
        let length = line.waiting.len().min(self.most);
        line.at_work = length > 0;
        line.at_work.then(|| line.waiting.drain(..length).collect())
    }

    async fn work_off(&self) {
        while let Some(batch) = self.next() {
            let (items, answers): (Vec<I>, Vec<_>) = batch
                .into_iter()
                .map(|waiting| (waiting.item, waiting.answer))
                .unzip();
            let items: Arc<[I]> = items.into();
            match self.done(Arc::clone(&items)).await {
                Ok(done) => {
                    for (answer, done) in answers.into_iter().zip(done) {
                        // Nobody waits for it any more.
                        let _ = answer.send(Ok(done));
                    }
                }
                Err(error) => self.one_by_one(&items, answers, error).await,
            }
            if items.len() > 1 && !self.pause.is_zero() && self.line().waiting.len() < self.most / 2
            {
                sleep(self.pause).await;
            }
        }
    }

    async fn one_by_one(
        &self,
        items: &[I],
        answers: Vec<oneshot::Sender<Result<O>>>,
        error: Error,
    ) {
        let hopeless = error.is_unavailable();
        let reason = error.to_string();
        let mut error = Some(error).filter(|_| items.len() == 1);
        for (item, answer) in items.iter().zip(answers) {
            let done = match error.take() {
                Some(error) => Err(error),
                None if hopeless => Err(Error::unavailable(&reason)),
                None => self
                    .done(Arc::from([item.clone()]))
                    .await
                    .and_then(|mut done| done.pop().ok_or(Error::NotFound("answer"))),
            };
            let _ = answer.send(done);
        }
    }

    /// The work, of which a panic is an error: whoever comes later still finds somebody at work.
    async fn done(&self, items: Arc<[I]>) -> Result<Vec<O>> {
        let count = items.len();
        let done = AssertUnwindSafe((self.work)(items)).catch_unwind().await;
        let done = done.unwrap_or_else(|_| Err(Error::broken("a batch panicked")))?;
        if done.len() == count {
            Ok(done)
        } else {
            Err(Error::broken("a batch did not answer for every item"))
        }
    }

    #[cfg(test)]
    fn is_in_flight(&self) -> bool {
        let line = self.line();
        line.at_work && line.waiting.is_empty()
    }

    fn line(&self) -> MutexGuard<'_, Line<I, O>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I, O> Clone for Batch<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O> fmt::Debug for Batch<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("most", &self.0.most)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    type Sizes = Arc<Mutex<Vec<usize>>>;

    /// Doubles numbers, remembers how many came at a time, refuses a batch with a 13 and panics at
    /// a 17. The gate lets so many batches through.
    fn doubler(most: usize) -> (Batch<u64, u64>, Sizes, Arc<Semaphore>) {
        unhurried_doubler(most, Duration::ZERO)
    }

    fn unhurried_doubler(most: usize, pause: Duration) -> (Batch<u64, u64>, Sizes, Arc<Semaphore>) {
        let (sizes, gate) = (Sizes::default(), Arc::new(Semaphore::new(0)));
        let (seen, open) = (sizes.clone(), gate.clone());
        let batch = Batch::unhurried(most, pause, move |items: Arc<[u64]>| {
            let (seen, open) = (seen.clone(), open.clone());
            async move {
                open.acquire().await.map_err(|_| Error::Forbidden)?.forget();
                seen.lock().map_err(|_| Error::Forbidden)?.push(items.len());
                assert!(!items.contains(&17), "seventeen");
                if items.contains(&13) {
                    return Err(Error::Conflict("thirteen"));
                }
                if items.contains(&404) {
                    return Err(Error::unavailable("away"));
                }
                Ok(items.iter().map(|number| number * 2).collect())
            }
        });
        (batch, sizes, gate)
    }

    fn sizes(sizes: &Sizes) -> Vec<usize> {
        sizes.lock().map(|sizes| sizes.clone()).unwrap_or_default()
    }

    #[tokio::test]
    async fn what_comes_while_a_batch_is_in_flight_makes_the_next_one() -> Result<()> {
        let (batch, seen, gate) = doubler(3);
        gate.add_permits(100);

        let doubled = join_all((0..8).map(|number| batch.add(number))).await;

        let doubled = doubled.into_iter().collect::<Result<Vec<_>>>()?;
        assert_eq!(doubled, [0, 2, 4, 6, 8, 10, 12, 14]);
        // They all came before the first batch could begin.
        assert_eq!(sizes(&seen), [3, 3, 2]);
        assert_eq!(batch.add(21).await?, 42);
        assert_eq!(
            sizes(&seen),
            [3, 3, 2, 1],
            "the first in an empty line goes alone"
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_busy_line_waits_for_company() -> Result<()> {
        let (batch, seen, gate) = unhurried_doubler(100, Duration::from_secs(1));
        gate.add_permits(100);
        let late = async {
            // Long enough for whoever does not wait.
            sleep(Duration::from_millis(20)).await;
            batch.add(4).await
        };

        tokio::try_join!(batch.add(1), batch.add(2))?;
        tokio::try_join!(batch.add(3), late)?;

        assert_eq!(sizes(&seen), [2, 2]);
        Ok(())
    }

    #[tokio::test]
    async fn a_bad_item_fails_nobody_else() -> Result<()> {
        let (batch, seen, gate) = doubler(10);
        gate.add_permits(100);

        let numbers = [1, 13, 17, 2];
        let done = join_all(numbers.map(|number| batch.add(number))).await;

        let done: Vec<Option<u64>> = done.into_iter().map(Result::ok).collect();
        assert_eq!(done, [Some(2), None, None, Some(4)]);
        assert_eq!(sizes(&seen), [4, 1, 1, 1, 1]);
        assert_eq!(batch.add(3).await?, 6, "a panic ends no line");
        Ok(())
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_not_asked_once_more_for_each_item() {
        let (batch, seen, gate) = doubler(10);
        gate.add_permits(100);

        let done = join_all([1, 404, 2].map(|number| batch.add(number))).await;

        assert!(
            done.iter()
                .all(|done| done.as_ref().is_err_and(Error::is_unavailable))
        );
        assert_eq!(sizes(&seen), [3]);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_line() -> Result<()> {
        let (batch, seen, gate) = doubler(10);
        let first = tokio::spawn({
            let batch = batch.clone();
            async move { batch.add(1).await }
        });
        // Until the first one is in flight.
        while !batch.0.is_in_flight() {
            tokio::task::yield_now().await;
        }

        let gone = batch.add(13).now_or_never();
        let (second, ()) = tokio::join!(batch.add(2), async { gate.add_permits(100) });

        assert!(gone.is_none());
        assert_eq!(second?, 4);
        assert!(
            first
                .await
                .is_ok_and(|done| done.is_ok_and(|done| done == 2))
        );
        assert_eq!(sizes(&seen), [1, 1]);
        Ok(())
    }
}
