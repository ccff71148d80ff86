//! Who waits for an answer, whose is being written, and what the next step of every lane computes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batch::{Batch, Job, Place};
use crate::kernels::tile::TILE;
use crate::network::Network;

/// Nobody else is begun beside an urgent answer, which would delay it by a tenth, but who waited so long.
const BESIDE_URGENT_WAIT: Duration = Duration::from_secs(10);

/// What the lanes of an engine share.
pub(crate) struct Queue<S> {
    state: Mutex<State<S>>,
    changed: Condvar,
    places: usize,
    /// Bytes for the past of all answers together; one alone may have more.
    past_bytes_max: usize,
}

struct State<S> {
    waiting: VecDeque<Job>,
    /// Answers between two steps; who was in one longest ago comes first.
    ready: VecDeque<Box<Place<S>>>,
    /// What the step of every lane has.
    steps: Vec<Load>,
    closed: bool,
}

/// Answers that are being written, those that somebody looks on at apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    usual: usize,
    urgent: usize,
    bytes: usize,
}

/// What a lane's next step may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    usual: bool,
    urgent: bool,
    answers: usize,
}

impl<S> Queue<S> {
    /// For so many lanes, with `places` answers being written at most.
    pub(crate) fn new(lanes: usize, places: usize, past_bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                ready: VecDeque::new(),
                steps: vec![Load::default(); lanes],
                closed: false,
            }),
            changed: Condvar::new(),
            places,
            past_bytes_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a job done, unless the lanes have ended.
    pub(crate) fn push(&self, job: Job) -> bool {
        let mut state = self.state();
        if !state.closed {
            state.waiting.push_back(job);
            self.changed.notify_all();
        }
        !state.closed
    }

    /// No more jobs come: lanes end when they are done.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// A lane has ended: if not after all others, nobody is to wait any more.
    pub(crate) fn end(&self, lane: usize) {
        let mut state = self.state();
        state.closed = true;
        state.steps[lane] = Load::default();
        state.waiting.clear();
        state.ready.clear();
        self.changed.notify_all();
    }

    /// Takes back what a lane's step has left, and waits for what the next one is to have; false at the end.
    pub(crate) fn turn<N: Network<Sequence = S>>(&self, lane: usize, batch: &mut Batch<N>) -> bool {
        let mut state = self.state();
        state.ready.extend(batch.running.drain(..));
        state.steps[lane] = Load::default();
        let jobs = loop {
            let jobs = state.give(lane, batch, self);
            if state.steps[lane] != Load::default() {
                break jobs;
            }
            if state.closed && state.waiting.is_empty() && state.load() == Load::default() {
                self.changed.notify_all();
                return false;
            }
            let changed = self.changed.wait(state);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        };
        if !state.ready.is_empty() || !state.waiting.is_empty() {
            self.changed.notify_all();
        }
        drop(state);
        for (job, bytes) in jobs {
            batch.begin(job, bytes);
        }
        true
    }
}

impl<S> State<S> {
    /// Gives a lane what its next step is to have: answers that go on, and jobs to begin, each with the
    /// bytes of its past.
    fn give<N: Network<Sequence = S>>(
        &mut self,
        lane: usize,
        batch: &mut Batch<N>,
        queue: &Queue<S>,
    ) -> Vec<(Job, usize)> {
        self.waiting
            .retain(|job| !job.request.cancel.is_cancelled() && !job.reply.is_closed());
        let mut jobs = Vec::new();
        for share in self.shares(queue.places) {
            for place in std::mem::take(&mut self.ready) {
                if batch.running.len() < share.answers && share.has(place.urgent) {
                    self.steps[lane].add(place.urgent, place.bytes);
                    batch.running.push(place);
                } else {
                    self.ready.push_back(place);
                }
            }
            while batch.running.len() + jobs.len() < share.answers
                && let Some((job, bytes)) = self.begin(share, batch, queue)
            {
                self.steps[lane].add(job.request.urgent, bytes);
                jobs.push((job, bytes));
            }
            if self.steps[lane] != Load::default() {
                break;
            }
        }
        jobs
    }

    /// What a lane may have, the best first. Where there are several lanes, urgent answers have steps of
    /// their own, and all lanes but one if it comes to that.
    fn shares(&self, places: usize) -> Vec<Share> {
        let (load, lanes) = (self.load(), self.steps.len());
        if lanes == 1 {
            let (usual, urgent, answers) = (true, true, usize::MAX);
            return vec![Share {
                usual,
                urgent,
                answers,
            }];
        }
        let mut room = places.saturating_sub(load.usual + load.urgent);
        let mut all = |running: usize, wanted: bool| {
            let wanted = |job: &&Job| job.request.urgent == wanted;
            let coming = self.waiting.iter().filter(wanted).count().min(room);
            room -= coming;
            running + coming
        };
        let (urgent, usual) = (all(load.urgent, true), all(load.usual, false));
        let for_urgent = match usual {
            0 => lanes,
            _ => urgent.min(lanes - 1),
        };
        let mut shares = Vec::new();
        if self.steps.iter().filter(|step| step.urgent > 0).count() < for_urgent {
            shares.push(Share {
                usual: false,
                urgent: true,
                answers: urgent.div_ceil(for_urgent),
            });
        }
        shares.push(Share {
            usual: true,
            urgent: false,
            answers: tiles(usual.div_ceil((lanes - for_urgent).max(1))),
        });
        shares
    }

    /// The next job of a share, with the bytes of its past, if there are a place and memory for it.
    fn begin<N: Network<Sequence = S>>(
        &mut self,
        share: Share,
        batch: &Batch<N>,
        queue: &Queue<S>,
    ) -> Option<(Job, usize)> {
        let load = self.load();
        let find = |urgent| {
            let mut waiting = self.waiting.iter();
            waiting.position(|job| job.request.urgent == urgent && share.has(urgent))
        };
        let urgent = find(true);
        let next = urgent.or_else(|| find(false))?;
        let job = &self.waiting[next];
        let beside = urgent.is_none() && share.urgent && load.urgent > 0;
        if beside && job.since.elapsed() < BESIDE_URGENT_WAIT {
            return None;
        }
        let tokens = job.prompt.len() + job.request.tokens_max;
        let bytes = batch.network.past_bytes(tokens);
        let fits = load == Load::default() || load.bytes + bytes <= queue.past_bytes_max;
        if !fits || load.usual + load.urgent >= queue.places {
            return None;
        }
        Some((self.waiting.remove(next)?, bytes))
    }

    /// All answers that are being written.
    fn load(&self) -> Load {
        let mut all = Load::default();
        for place in &self.ready {
            all.add(place.urgent, place.bytes);
        }
        for step in &self.steps {
            all.usual += step.usual;
            all.urgent += step.urgent;
            all.bytes += step.bytes;
        }
        all
    }
}

/// About so many answers, in whole tiles where they are more than one, which is least work for each.
fn tiles(answers: usize) -> usize {
    match answers {
        0..=TILE => answers,
        _ => (answers + TILE / 2) / TILE * TILE,
    }
}

impl Load {
    fn add(&mut self, urgent: bool, bytes: usize) {
        self.usual += usize::from(!urgent);
        self.urgent += usize::from(urgent);
        self.bytes += bytes;
    }
}

impl Share {
    fn has(self, urgent: bool) -> bool {
        if urgent { self.urgent } else { self.usual }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::batch::tests::{Answer, batch, job, long};
    use crate::cpu::{Model, Sequence};
    use crate::error::Result;
    use crate::request::Request;

    /// A queue with lanes that are asked by hand.
    struct Rig {
        queue: Queue<Sequence>,
        lanes: Vec<Batch<Model>>,
    }

    impl Rig {
        fn new(lanes: usize, places: usize, past_bytes_max: usize) -> Result<Self> {
            let mut all = vec![batch()?];
            for _ in 1..lanes {
                let first = &all[0];
                all.push(Batch {
                    network: first.network.twin(1)?,
                    grammars: first.grammars.twin(1),
                    tokenizer: first.tokenizer.clone(),
                    running: Vec::new(),
                });
            }
            let queue = Queue::new(lanes, places, past_bytes_max);
            Ok(Self { queue, lanes: all })
        }

        fn push(&self, request: Request) -> Answer {
            let (job, answer) = job(40, request);
            assert!(self.queue.push(job));
            answer
        }

        /// Usual and urgent answers of a lane's next step.
        fn turn(&mut self, lane: usize) -> (usize, usize) {
            assert!(self.queue.turn(lane, &mut self.lanes[lane]));
            let Load { usual, urgent, .. } = self.queue.state().steps[lane];
            assert_eq!(self.lanes[lane].running.len(), usual + urgent);
            (usual, urgent)
        }

        /// Takes back what a lane has, and gives it nothing.
        fn back(&mut self, lane: usize) {
            let mut state = self.queue.state();
            state.ready.extend(self.lanes[lane].running.drain(..));
            state.steps[lane] = Load::default();
        }

        fn waiting(&self) -> usize {
            self.queue.state().waiting.len()
        }
    }

    fn urgent(tokens_max: usize) -> Request {
        Request {
            urgent: true,
            tokens_max,
            ..Request::default()
        }
    }

    #[test]
    fn lanes_share_answers_out_and_an_urgent_one_has_steps_of_its_own() -> Result<()> {
        let mut rig = Rig::new(2, 12, usize::MAX)?;
        let mut answers: Vec<_> = (0..11).map(|_| rig.push(long())).collect();
        answers.push(rig.push(urgent(1)));

        assert_eq!([rig.turn(0), rig.turn(1)], [(0, 1), (11, 0)]);
        let urgent = answers.pop();
        rig.lanes[0].step();
        assert!(urgent.is_some_and(|mut urgent| urgent.try_recv().is_ok()));
        rig.back(0);
        rig.lanes[1].step();
        // Six and five would not fill their tiles of four.
        assert_eq!([rig.turn(1), rig.turn(0)], [(8, 0), (3, 0)]);

        answers.truncate(6);
        rig.lanes[0].step();
        rig.back(0);
        rig.lanes[1].step();
        assert_eq!([rig.turn(1), rig.turn(0)], [(3, 0), (3, 0)]);
        let state = rig.queue.state();
        assert!(state.ready.is_empty() && state.waiting.is_empty());
        Ok(())
    }

    #[test]
    fn urgent_answers_leave_a_lane_to_the_others() -> Result<()> {
        let mut rig = Rig::new(3, 12, usize::MAX)?;
        let _urgent: Vec<_> = (0..5).map(|_| rig.push(urgent(9))).collect();
        assert_eq!([rig.turn(0), rig.turn(1)], [(0, 2), (0, 2)]);
        let _usual = [rig.push(long()), rig.push(long())];

        assert_eq!(rig.turn(2), (2, 0));
        rig.lanes[0].step();
        assert_eq!(rig.turn(0), (0, 3));
        rig.lanes[2].step();
        assert_eq!(rig.turn(2), (2, 0));
        Ok(())
    }

    #[test]
    fn an_urgent_request_that_has_to_wait_holds_nobody_up() -> Result<()> {
        let mut rig = Rig::new(2, 2, usize::MAX)?;
        let usual = [rig.push(long()), rig.push(long())];
        assert_eq!([rig.turn(0), rig.turn(1)], [(1, 0), (1, 0)]);
        let _urgent = rig.push(urgent(9));

        rig.lanes[0].step();
        assert_eq!((rig.turn(0), rig.waiting()), ((1, 0), 1));

        drop(usual);
        rig.lanes[0].step();
        assert_eq!((rig.turn(0), rig.waiting()), ((0, 1), 0));
        Ok(())
    }

    #[test]
    fn what_one_lane_began_another_goes_on_with() -> Result<()> {
        let mut rig = Rig::new(2, 12, usize::MAX)?;
        let request = Request {
            tokens_max: 40,
            ..Request::default()
        };
        let mut texts = Vec::new();
        for lanes in [[0, 0], [0, 1], [1, 0]] {
            let mut answer = rig.push(request.clone());
            let mut lanes = lanes.into_iter().cycle();
            while answer.is_empty()
                && let Some(lane) = lanes.next()
            {
                assert_eq!(rig.turn(lane), (1, 0));
                rig.lanes[lane].step();
                rig.back(lane);
            }
            let answer = answer.try_recv().expect("it ended")?;
            texts.push(answer.text);
        }

        assert!(!texts[0].is_empty());
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0], texts[2]);
        Ok(())
    }

    #[test]
    fn memory_bounds_who_is_admitted_but_one_always_is() -> Result<()> {
        let needed = batch()?.network.past_bytes(340);
        for (bytes, admitted) in [(0, 1), (2 * needed - 1, 1), (2 * needed, 2)] {
            let mut rig = Rig::new(1, 3, bytes)?;
            let _answers = [(); 4].map(|()| rig.push(long()));

            assert_eq!(rig.turn(0), (admitted, 0));
        }
        Ok(())
    }

    #[test]
    fn places_bound_who_is_admitted_until_somebody_leaves() -> Result<()> {
        let mut rig = Rig::new(1, 3, usize::MAX)?;
        let requests = [long(), long(), long(), long()];
        let cancel = requests[1].cancel.clone();
        let _answers = requests.map(|request| rig.push(request));
        assert_eq!((rig.turn(0), rig.waiting()), ((3, 0), 1));

        cancel.cancel();
        rig.lanes[0].step();

        assert_eq!((rig.turn(0), rig.waiting()), ((3, 0), 0));
        Ok(())
    }

    #[test]
    fn with_one_lane_nobody_is_begun_beside_an_urgent_answer_unless_they_waited_long() -> Result<()>
    {
        let mut rig = Rig::new(1, 8, usize::MAX)?;
        let first = rig.push(urgent(300));
        let _others = [(); 3].map(|()| rig.push(long()));

        assert_eq!(rig.turn(0), (0, 1));
        let second = rig.push(urgent(300));
        assert_eq!(rig.turn(0), (0, 2));
        let earlier = Instant::now().checked_sub(BESIDE_URGENT_WAIT);
        rig.queue.state().waiting[0].since = earlier.expect("the system began long ago");
        assert_eq!(rig.turn(0), (1, 2));

        drop((first, second));
        rig.lanes[0].step();
        assert_eq!((rig.turn(0), rig.waiting()), ((3, 0), 0));
        Ok(())
    }

    #[test]
    fn urgent_requests_go_first() -> Result<()> {
        let mut rig = Rig::new(1, 1, usize::MAX)?;
        let mut usual = rig.push(long());
        let mut urgent = rig.push(urgent(1));

        assert_eq!(rig.turn(0), (0, 1));
        rig.lanes[0].step();

        assert!(urgent.try_recv().is_ok());
        assert!(usual.try_recv().is_err());
        assert_eq!(rig.turn(0), (1, 0));
        Ok(())
    }

    #[test]
    fn when_a_thread_ends_nobody_waits_for_it_and_lanes_that_are_done_end() -> Result<()> {
        let mut rig = Rig::new(2, 12, usize::MAX)?;
        let mut running = rig.push(urgent(1));
        assert_eq!(rig.turn(1), (0, 1));
        let waiting = rig.push(long());

        rig.queue.end(0);

        assert!(waiting.blocking_recv().is_err());
        let (late, _) = job(40, long());
        assert!(!rig.queue.push(late));
        rig.lanes[1].step();
        assert!(running.try_recv().is_ok());
        assert!(!rig.queue.turn(1, &mut rig.lanes[1]));
        Ok(())
    }
}
