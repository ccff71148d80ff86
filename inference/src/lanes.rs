//! Threads that write answers.
//!
//! A model of some size has one lane, whose every product all cores share out. Of a small model there
//! is one for every core: sharing out so little costs more than it saves, and far more while other
//! programs want the cores, too. Between two steps an answer belongs to no lane, so all lanes have
//! work until the last answers end.

use std::sync::Arc;

use crate::batch::{Batch, Job};
use crate::engine::EngineConfig;
use crate::error::{Error, Result};
use crate::grammar::Grammars;
use crate::network::Network;
use crate::queue::Queue;
use crate::tokenizer::Tokenizer;

/// All lanes of an engine; their threads end with it.
pub(crate) struct Lanes(Box<dyn Fn(Job) -> bool + Send + Sync>);

impl Lanes {
    /// Starts a lane with every network, which all go on with each other's sequences.
    pub(crate) fn start<N: Network + Send + 'static>(
        networks: Vec<N>,
        tokenizer: &Arc<Tokenizer>,
        config: &EngineConfig,
        places: usize,
    ) -> Result<Self>
    where
        N::Sequence: Send,
    {
        let queue = Arc::new(Queue::new(networks.len(), places, config.past_bytes_max));
        let door = Door(queue.clone());
        let grammars = Grammars::new(tokenizer)?;
        for (lane, network) in networks.into_iter().enumerate() {
            let mut batch = Batch {
                grammars: grammars.twin(network.threads()),
                network,
                tokenizer: tokenizer.clone(),
                running: Vec::new(),
            };
            let end = End(queue.clone(), lane);
            std::thread::Builder::new()
                .name(format!("lane-{lane}"))
                .spawn(move || {
                    while end.0.turn(lane, &mut batch) {
                        batch.step();
                    }
                })
                .map_err(|error| Error::Engine(format!("no thread could be started: {error}")))?;
        }
        Ok(Self(Box::new(move |job| door.0.push(job))))
    }

    pub(crate) fn send(&self, job: Job) -> Result<()> {
        if (self.0)(job) {
            return Ok(());
        }
        Err(Error::Engine("a thread has ended".into()))
    }
}

/// Whoever can send; the lanes end when they are done after it is gone.
struct Door<S>(Arc<Queue<S>>);

impl<S> Drop for Door<S> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A lane's thread; should a panic end it, nobody waits for answers any more.
struct End<S>(Arc<Queue<S>>, usize);

impl<S> Drop for End<S> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}
