//! Few threads own the weights; everybody else holds a handle and waits for an answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, oneshot};

use crate::batch::{self, Job, message};
use crate::chat;
use crate::cpu;
use crate::device::Compute;
use crate::error::{Error, Result};
use crate::gemma::Gemma;
use crate::gpu::Device;
use crate::lanes::Lanes;
use crate::request::{Generation, ModelInfo, Request};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// Requests that may wait for a place; one more is [`Error::Overloaded`].
pub const WAITING_MAX: usize = 256;
/// Answers that can be written together at most.
pub const PLACES_MAX: usize = batch::PLACES_MAX;
/// Answers that are written together, unless the configuration says otherwise: the lessons of a course.
pub const PLACES_DEFAULT: usize = 12;
/// Positions of prompt and answer together, unless the configuration says otherwise.
const CONTEXT_DEFAULT: usize = 8192;
/// Bytes of keys and values of all answers together, unless the configuration says otherwise.
const PAST_BYTES_DEFAULT: usize = 1 << 30;

/// Products of a token from which on all threads compute it together; below, each has a lane of its own.
const PRODUCTS_MIN: usize = 10_000_000;

/// How to run a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Threads to compute with; if not given, one a core.
    pub threads: Option<usize>,
    /// Where to compute.
    pub device: Compute,
    /// Positions that one request may use, up to what the model was trained for.
    pub context: usize,
    /// Answers that are written together, 1 to 32; others wait for a place.
    pub places: usize,
    /// Bytes that the keys and values of all answers may take together. An answer that needs more
    /// is written alone.
    pub past_bytes_max: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: None,
            device: Compute::Cpu,
            context: CONTEXT_DEFAULT,
            places: PLACES_DEFAULT,
            past_bytes_max: PAST_BYTES_DEFAULT,
        }
    }
}

/// A handle to the threads that own a model; clones share it, and they end with the last of them.
#[derive(Clone)]
pub struct Engine {
    info: Arc<ModelInfo>,
    tokenizer: Arc<Tokenizer>,
    lanes: Arc<Lanes>,
    /// Room for those that wait: what bounds the lanes' queue.
    waiting: Arc<Semaphore>,
}

impl Engine {
    /// Loads the weights and starts the thread; takes seconds, so call it where blocking is fine.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Corrupt`], both with advice.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the weights are used up: their file is not to be read a second time"
    )]
    pub fn start(weights: Weights, config: EngineConfig) -> Result<Self> {
        let start = AssertUnwindSafe(|| start(&weights, &config));
        // Candle asserts where a file lies about its own shapes.
        catch_unwind(start).unwrap_or_else(|panic| Err(Error::corrupt(message(panic.as_ref()))))
    }

    /// What is loaded.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Answers a request together with others; dropping the future cancels it.
    ///
    /// The same request gives the same answer, whatever else is asked before or meanwhile.
    ///
    /// # Errors
    /// [`Error::TooLong`] before any work; [`Error::Overloaded`] when [`WAITING_MAX`] requests wait;
    /// [`Error::Schema`], [`Error::Cancelled`] and [`Error::Engine`].
    pub async fn generate(&self, request: Request) -> Result<Generation> {
        let context = self.info.context;
        // Cutting megabytes into tokens takes seconds; they cannot fit, whatever they are cut into.
        let least = request.prompt.len() / self.tokenizer.bytes_max();
        if least > context {
            return Err(Error::TooLong {
                tokens: least,
                context,
            });
        }
        let prompt = chat::user_turn(&self.tokenizer, &request.prompt)?;
        let tokens = prompt.len().saturating_add(request.tokens_max);
        if tokens > context {
            return Err(Error::TooLong { tokens, context });
        }
        let waits = self.waiting.clone().try_acquire_owned();
        let waits = waits.map_err(|_| Error::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let cancel = request.cancel.clone();
        self.lanes.send(Job {
            request,
            prompt,
            reply,
            since: Instant::now(),
            waits,
        })?;
        let ended = || Error::Engine("the thread has ended".into());
        tokio::select! {
            biased;
            // The thread notices it before its next step; nobody has to wait for that.
            () = cancel.cancelled() => Err(Error::Cancelled),
            answer = answer => answer.unwrap_or_else(|_| Err(ended())),
        }
    }

    /// The number of tokens of a prompt with its template, as [`Generation::tokens_in`] counts.
    pub fn count_tokens(&self, prompt: &str) -> Result<usize> {
        Ok(chat::user_turn(&self.tokenizer, prompt)?.len())
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

fn start(weights: &Weights, config: &EngineConfig) -> Result<Engine> {
    let mut checkpoint = weights.open()?;
    let tokenizer = Arc::new(weights.tokenizer(&checkpoint)?);
    let mut info = ModelInfo {
        id: weights.id().to_owned(),
        sha256: weights.sha256().to_owned(),
        context: 0,
        parameters: checkpoint.parameters(),
        vocabulary: tokenizer.size(),
        quantisation: checkpoint.quantisation(),
    };
    let places = config.places.clamp(1, PLACES_MAX);
    let lanes = match config.device {
        Compute::Cpu => {
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let threads = config.threads.unwrap_or_else(cores);
            let model = cpu::Model::load(&mut checkpoint, config.context, threads)?;
            drop(checkpoint);
            info.context = model.positions();
            fits(&tokenizer, model.vocabulary())?;
            let mut models = vec![model];
            if models[0].products() < PRODUCTS_MIN {
                let lanes = (0..threads.clamp(1, places)).map(|_| models[0].twin(1));
                models = lanes.collect::<Result<_>>()?;
            }
            Lanes::start(models, &tokenizer, config, places)?
        }
        Compute::Cuda => {
            let device = config.device.device()?;
            let gemma = Gemma::load(&mut checkpoint, config.context, &device)?;
            drop(checkpoint);
            info.context = gemma.positions();
            fits(&tokenizer, gemma.vocabulary())?;
            Lanes::start(vec![Device::new(gemma)], &tokenizer, config, places)?
        }
    };
    Ok(Engine {
        info: Arc::new(info),
        tokenizer,
        lanes: Arc::new(lanes),
        waiting: Arc::new(Semaphore::new(WAITING_MAX)),
    })
}

fn fits(tokenizer: &Tokenizer, vocabulary: usize) -> Result<()> {
    if vocabulary < tokenizer.size() {
        return Err(Error::corrupt(
            "the tokenizer has more tokens than the model",
        ));
    }
    Ok(())
}
