//! Threads that write answers, each with a batch of its own.
//!
//! A model of some size has one lane, whose every product all cores share out. Of a small model there
//! is one for every core: sharing out so little costs more than it saves, and far more while other
//! programs want the cores, too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::batch::{Batch, Job};
use crate::engine::EngineConfig;
use crate::error::{Error, Result};
use crate::grammar::Grammars;
use crate::network::Network;
use crate::tokenizer::Tokenizer;

/// All lanes of an engine; their threads end with it.
pub(crate) struct Lanes(Mutex<Vec<Lane>>);

struct Lane {
    jobs: mpsc::UnboundedSender<Job>,
    /// Held by every request that it has, waiting or being answered.
    held: Arc<()>,
}

impl Lanes {
    /// Starts a lane with every network; `places` of them all are at least one for each.
    pub(crate) fn start<N: Network + Send + 'static>(
        networks: Vec<N>,
        tokenizer: &Arc<Tokenizer>,
        config: &EngineConfig,
        places: usize,
    ) -> Result<Self>
    where
        N::Sequence: Send,
    {
        let count = networks.len();
        let grammars = Grammars::new(tokenizer)?;
        let mut lanes = Vec::new();
        for (number, network) in networks.into_iter().enumerate() {
            let batch = Batch {
                grammars: grammars.twin(network.threads()),
                network,
                tokenizer: tokenizer.clone(),
                places: places / count + usize::from(number < places % count),
                past_bytes_max: config.past_bytes_max / count,
                waiting: VecDeque::new(),
                running: Vec::new(),
            };
            let (jobs, coming) = mpsc::unbounded_channel();
            std::thread::Builder::new()
                .name(format!("lane-{number}"))
                .spawn(move || batch.run(coming))
                .map_err(|error| Error::Engine(format!("no thread could be started: {error}")))?;
            let held = Arc::default();
            lanes.push(Lane { jobs, held });
        }
        Ok(Self(Mutex::new(lanes)))
    }

    /// Sends a job, made of what it holds meanwhile, to a lane that has fewest.
    pub(crate) fn send(&self, job: impl FnOnce(Arc<()>) -> Job) -> Result<()> {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes
            .iter()
            .filter(|lane| !lane.jobs.is_closed())
            .min_by_key(|lane| Arc::strong_count(&lane.held));
        let sent = lane.map(|lane| lane.jobs.send(job(lane.held.clone())).is_ok());
        match sent {
            Some(true) => Ok(()),
            _ => Err(Error::Engine("the thread has ended".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::request::Request;

    fn job(held: Arc<()>) -> Job {
        let waits = Arc::new(Semaphore::new(1)).try_acquire_owned();
        Job {
            request: Request::default(),
            prompt: Vec::new(),
            reply: oneshot::channel().0,
            since: Instant::now(),
            waits: waits.expect("a new semaphore has room"),
            held,
        }
    }

    #[test]
    fn a_job_goes_to_a_lane_that_has_fewest() -> Result<()> {
        let mut coming = Vec::new();
        let lanes = Lanes(Mutex::new(Vec::new()));
        for _ in 0..3 {
            let (jobs, came) = mpsc::unbounded_channel();
            let held = Arc::default();
            lanes.0.lock().expect("a lock").push(Lane { jobs, held });
            coming.push(came);
        }

        for _ in 0..8 {
            lanes.send(job)?;
        }
        let had: Vec<_> = coming.iter().map(mpsc::UnboundedReceiver::len).collect();
        let done = [coming[1].try_recv(), coming[1].try_recv()];
        drop(done);
        lanes.send(job)?;

        assert_eq!(had, [3, 3, 2]);
        assert_eq!(coming[1].len(), 2);
        coming.truncate(1);
        lanes.send(job)?;
        assert_eq!(coming[0].len(), 4);
        drop(coming);
        assert!(lanes.send(job).is_err());
        Ok(())
    }
}
