//! How fast this machine runs the published sizes, on random weights of the true shapes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use candle_core::quantized::GgmlDType;

use crate::checkpoint::Checkpoint;
use crate::decode::CHUNK;
use crate::device::Compute;
use crate::engine::on_pool;
use crate::error::{Error, Result};
use crate::gemma::Gemma;
use crate::random::{Shape, write_gguf};

/// Tokens of the prompt that is timed; whole chunks, as most of a real prompt is.
const PROMPT_TOKENS: usize = 4 * CHUNK;
/// Tokens of the answer that is timed.
const ANSWER_TOKENS: usize = 32;

/// A size and a way of storing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    shape: Shape,
    kind: GgmlDType,
}

impl Case {
    /// 270M and 1B, each in `Q8_0` and `Q4_0`.
    pub const ALL: [Self; 4] = [
        Self {
            shape: Shape::GEMMA_270M,
            kind: GgmlDType::Q8_0,
        },
        Self {
            shape: Shape::GEMMA_270M,
            kind: GgmlDType::Q4_0,
        },
        Self {
            shape: Shape::GEMMA_1B,
            kind: GgmlDType::Q8_0,
        },
        Self {
            shape: Shape::GEMMA_1B,
            kind: GgmlDType::Q4_0,
        },
    ];
}

impl fmt::Display for Case {
    /// Such as `270M q8_0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.shape.name,
            format!("{:?}", self.kind).to_lowercase()
        )
    }
}

/// What was measured for a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Size of the file.
    pub file_bytes: u64,
    /// Growth of the process's resident memory by model, cache and work; none where unknown.
    pub memory_bytes: Option<u64>,
    /// From the file to a model that is ready, the file being in the system's cache.
    pub load: Duration,
    /// Tokens of a prompt computed per second.
    pub prompt_tokens_per_second: f64,
    /// Tokens of an answer computed per second.
    pub answer_tokens_per_second: f64,
}

/// Writes the model of a case into `folder`, for [`measure`] in another process.
///
/// Takes up to 3 GB of memory and 1.1 GB of disk for 1B.
pub fn make(case: Case, folder: &Path) -> Result<()> {
    write_gguf(&place(case, folder), &case.shape, case.kind, 1)
}

/// Runs the model of a case on `threads` threads, and removes it from `folder` again.
///
/// Makes the model first if it is not there. An allocator keeps some of what that took, so the
/// memory is the model's alone only in a process that did nothing else before.
pub fn measure(case: Case, folder: &Path, threads: usize) -> Result<Measured> {
    let path = place(case, folder);
    if !path.exists() {
        make(case, folder)?;
    }
    let file = path.clone();
    let thread = std::thread::Builder::new().name("bench".into());
    let work = thread.spawn(move || on_pool(threads, || run(&file)));
    let work =
        work.map_err(|error| Error::Engine(format!("no thread could be started: {error}")))?;
    let stopped = |_| Err(Error::Engine("the measurement stopped".into()));
    let measured = work.join().unwrap_or_else(stopped);
    // The figures matter more than a file that stays behind.
    let _ = std::fs::remove_file(&path);
    measured
}

fn place(case: Case, folder: &Path) -> PathBuf {
    folder.join(format!("bench-{}.gguf", case.to_string().replace(' ', "-")))
}

fn run(path: &Path) -> Result<Measured> {
    let before = resident_bytes();
    let started = Instant::now();
    let mut checkpoint = Checkpoint::open_gguf(path)?;
    let gemma = Gemma::load(&mut checkpoint, 4096, &Compute::Cpu.device()?)?;
    drop(checkpoint);
    let load = started.elapsed();
    let mut cache = gemma.cache(1)?;
    let ids = |first: usize, count: usize| {
        let id =
            |place: usize| u32::try_from(place * 7919 % gemma.vocabulary()).unwrap_or_default();
        let ids: Vec<u32> = (first..first + count).map(id).collect();
        Tensor::new(ids, gemma.device())?.unsqueeze(0)
    };
    // The first chunk also pays for starting threads.
    gemma.forward(&ids(0, CHUNK)?, 0, &mut cache)?;
    let started = Instant::now();
    for position in (0..PROMPT_TOKENS).step_by(CHUNK) {
        gemma.forward(&ids(position, CHUNK)?, position, &mut cache)?;
    }
    let prompt = started.elapsed();
    let started = Instant::now();
    for position in PROMPT_TOKENS..PROMPT_TOKENS + ANSWER_TOKENS {
        let hidden = gemma.forward(&ids(position, 1)?, position, &mut cache)?;
        gemma.logits(&hidden)?.flatten_all()?.to_vec1::<f32>()?;
    }
    let answer = started.elapsed();
    let after = resident_bytes();
    Ok(Measured {
        file_bytes: path.metadata().map_or(0, |metadata| metadata.len()),
        memory_bytes: before
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before)),
        load,
        prompt_tokens_per_second: per_second(PROMPT_TOKENS, prompt),
        answer_tokens_per_second: per_second(ANSWER_TOKENS, answer),
    })
}

fn per_second(tokens: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) / time.as_secs_f64().max(f64::EPSILON)
}

/// Memory of this process that is in RAM; only Linux tells it without a library.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
