//! One thread owns the weights; everybody else holds a handle and waits for their turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::chat;
use crate::decode::Decoder;
use crate::device::Compute;
use crate::error::{Error, Result};
use crate::gemma::Gemma;
use crate::request::{Generation, ModelInfo, Request};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// Requests that may wait for the model; one more is [`Error::Overloaded`].
pub const WAITING_MAX: usize = 256;
/// Positions of prompt and answer together, unless the configuration says otherwise.
const CONTEXT_DEFAULT: usize = 8192;

/// Models with fewer weights run on one thread as f32: handing their little work to other threads
/// costs more than it saves, and far more while other programs want the cores.
const PARAMETERS_SMALL_MAX: u64 = 32_000_000;

/// How to run a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Threads to compute with; if not given, one for a small model, else all physical cores.
    ///
    /// Candle counts its threads for quantised matrices by itself; set `RAYON_NUM_THREADS` in the
    /// environment for those. A number that differs from it is logged.
    pub threads: Option<usize>,
    /// Where to compute.
    pub device: Compute,
    /// Positions that one request may use, up to what the model was trained for.
    pub context: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: None,
            device: Compute::Cpu,
            context: CONTEXT_DEFAULT,
        }
    }
}

/// A handle to the thread that owns a model; clones share it, and it ends with the last of them.
#[derive(Clone)]
pub struct Engine {
    info: Arc<ModelInfo>,
    tokenizer: Arc<Tokenizer>,
    jobs: mpsc::Sender<Job>,
}

struct Job {
    request: Request,
    prompt: Vec<u32>,
    reply: oneshot::Sender<Result<Generation>>,
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
        let load = AssertUnwindSafe(|| load(&weights, &config));
        // Candle asserts where a file lies about its own shapes.
        let loaded = catch_unwind(load);
        let Loaded {
            info,
            tokenizer,
            decoder,
            threads,
        } = loaded.unwrap_or_else(|panic| Err(Error::corrupt(message(panic.as_ref()))))?;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("inference".into())
            .spawn(move || on_pool(threads, || answer_all(decoder, waiting)))
            .map_err(|error| Error::Engine(format!("no thread could be started: {error}")))?;
        Ok(Self {
            info: Arc::new(info),
            tokenizer,
            jobs,
        })
    }

    /// What is loaded.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Answers a request after those that came before it; dropping the future cancels it.
    ///
    /// The same request gives the same answer, whatever was asked before.
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
        let (reply, answer) = oneshot::channel();
        let cancel = request.cancel.clone();
        self.jobs
            .try_send(Job {
                request,
                prompt,
                reply,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::Overloaded,
                mpsc::error::TrySendError::Closed(_) => {
                    Error::Engine("the thread has ended".into())
                }
            })?;
        tokio::select! {
            biased;
            // The thread notices it at its next token; nobody has to wait for that.
            () = cancel.cancelled() => Err(Error::Cancelled),
            answer = answer => {
                answer.unwrap_or_else(|_| Err(Error::Engine("the thread has ended".into())))
            }
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

struct Loaded {
    info: ModelInfo,
    tokenizer: Arc<Tokenizer>,
    decoder: Decoder,
    threads: usize,
}

fn load(weights: &Weights, config: &EngineConfig) -> Result<Loaded> {
    let device = config.device.device()?;
    let mut checkpoint = weights.open()?;
    let tokenizer = Arc::new(weights.tokenizer(&checkpoint)?);
    let small = checkpoint.parameters() <= PARAMETERS_SMALL_MAX;
    if small {
        checkpoint.expand();
    }
    let gemma = Gemma::load(&mut checkpoint, config.context, &device)?;
    if gemma.vocabulary() < tokenizer.size() {
        return Err(Error::corrupt(
            "the tokenizer has more tokens than the model",
        ));
    }
    let info = ModelInfo {
        id: weights.id().to_owned(),
        sha256: weights.sha256().to_owned(),
        context: gemma.positions(),
        parameters: checkpoint.parameters(),
        vocabulary: tokenizer.size(),
        quantisation: checkpoint.quantisation(),
    };
    let decoder = Decoder::new(gemma, tokenizer.clone())?;
    let threads = if small {
        config.threads.unwrap_or(1)
    } else {
        threads_for_large(config)
    };
    Ok(Loaded {
        info,
        tokenizer,
        decoder,
        threads,
    })
}

fn threads_for_large(config: &EngineConfig) -> usize {
    let candle = candle_core::utils::get_num_threads();
    let threads = config.threads.unwrap_or(candle);
    if candle != threads {
        tracing::warn!(
            threads,
            candle,
            "Set RAYON_NUM_THREADS={threads} for quantised matrices"
        );
    }
    threads
}

/// Runs `work` on a pool of `threads` threads, the first of which is the calling one: a model on one
/// thread never waits for another.
fn on_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .use_current_thread()
        .build();
    match pool {
        Ok(pool) => pool.install(work),
        // A thread that is in a pool already stays there.
        Err(_) => work(),
    }
}

fn answer_all(mut decoder: Decoder, mut waiting: mpsc::Receiver<Job>) {
    while let Some(Job {
        request,
        prompt,
        reply,
    }) = waiting.blocking_recv()
    {
        let cancelled = || request.cancel.is_cancelled() || reply.is_closed();
        if cancelled() {
            continue;
        }
        let work = AssertUnwindSafe(|| decoder.answer(&request, &prompt, cancelled));
        let answer = catch_unwind(work).unwrap_or_else(|panic| {
            decoder.reset();
            Err(Error::Engine(message(panic.as_ref())))
        });
        // Nobody listens any more: they cancelled.
        let _ = reply.send(answer);
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it stopped for an unknown reason".into())
}
