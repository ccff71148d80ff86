//! How fast this machine runs the published sizes, on random weights of the true shapes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::quantized::GgmlDType;

use crate::checkpoint::Checkpoint;
use crate::cpu::{Model, Part, Sequence};
use crate::error::Result;
use crate::kernels::huge;
use crate::kernels::pool::Pool;
use crate::network::Network;
use crate::random::{Shape, write_gguf};
use crate::sampler::{Sampler, Sampling};

/// Tokens of the prompt that is timed.
const PROMPT_TOKENS: usize = 256;
/// How often it is.
const PROMPTS: usize = 5;
/// Tokens of a prompt that are computed together.
const STEP_TOKENS: usize = 64;
/// Tokens of every answer that is timed.
const ANSWER_TOKENS: usize = 32;
/// Tokens that the answers have before them.
pub const CONTEXTS: [usize; 3] = [64, 256, 1024];
/// Answers that are computed together.
pub const TOGETHER: usize = 8;
/// Positions of a sequence at most.
const POSITIONS: usize = 4096;
/// Memory that is read to see how fast it can be read, in parts of a megabyte.
const BANDWIDTH_BYTES: usize = 256 << 20;
const BANDWIDTH_PARTS: usize = BANDWIDTH_BYTES >> 20;
/// Tokens between two such readings, and how often: how fast memory is changes within seconds.
const BETWEEN_TOKENS: usize = 8;
const READINGS: usize = 12;

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

impl Case {
    /// Writes a GGUF with random weights; equal cases, equal bytes.
    pub fn write(self, path: &Path) -> Result<()> {
        write_gguf(path, &self.shape, self.kind, 1)
    }
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
    /// Size of the matrices in memory.
    pub weights_bytes: u64,
    /// Size of what a token of a single answer reads of them.
    pub step_bytes: u64,
    /// Size of the keys and values of all sequences at the end.
    pub cache_bytes: u64,
    /// Growth of the process's resident memory by model, cache and work; none where unknown.
    pub memory_bytes: Option<u64>,
    /// The same at its highest, loading included.
    pub memory_peak_bytes: Option<u64>,
    /// From the file to a model that is ready, the file being in the system's cache.
    pub load: Duration,
    /// Tokens of a prompt computed per second.
    pub prompt_tokens_per_second: f64,
    /// Tokens of an answer computed per second, behind so many others.
    pub answer_tokens_per_second: [(usize, f64); CONTEXTS.len()],
    /// Tokens computed per second for [`TOGETHER`] answers at once.
    pub together_tokens_per_second: f64,
    /// Bytes that all threads together read from memory per second.
    pub bandwidth: f64,
    /// The share of it that a short answer reads weights with, both taken in turn.
    pub bandwidth_share: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "prompt {:.0} tokens/s, answer",
            self.prompt_tokens_per_second
        )?;
        for (context, speed) in self.answer_tokens_per_second {
            write!(f, " {speed:.1} (after {context})")?;
        }
        let load = self.load.as_secs_f64();
        write!(
            f,
            " tokens/s, {TOGETHER} together {:.0} tokens/s, ",
            self.together_tokens_per_second
        )?;
        write!(f, "load {load:.2} s, ")?;
        let mb = |bytes: u64| bytes / 1_000_000;
        let (file, weights, cache) = (self.file_bytes, self.weights_bytes, self.cache_bytes);
        write!(f, "file {} MB, weights {} MB, ", mb(file), mb(weights))?;
        write!(f, "of which a token reads {} MB, ", mb(self.step_bytes))?;
        write!(f, "cache {} MB, ", mb(cache))?;
        if let Some((memory, peak)) = self.memory_bytes.zip(self.memory_peak_bytes) {
            let share = |bytes: u64| (bytes * 100).checked_div(file).unwrap_or(0);
            write!(
                f,
                "memory {} MB ({} % of the file), ",
                mb(memory),
                share(memory)
            )?;
            write!(f, "at most {} MB ({} %), ", mb(peak), share(peak))?;
        }
        let (gb, share) = (self.bandwidth / 1e9, 100.0 * self.bandwidth_share);
        write!(
            f,
            "memory is read at {gb:.1} GB/s, by answers at {share:.0} % of that"
        )
    }
}

/// Writes the model of a case into `folder`, for [`measure`] in another process.
///
/// Takes up to 3 GB of memory and 1.1 GB of disk for 1B.
pub fn make(case: Case, folder: &Path) -> Result<()> {
    case.write(&place(case, folder))
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
    let measured = run(&path, threads);
    // The figures matter more than a file that stays behind.
    let _ = std::fs::remove_file(&path);
    measured
}

fn place(case: Case, folder: &Path) -> PathBuf {
    folder.join(format!("bench-{}.gguf", case.to_string().replace(' ', "-")))
}

fn run(path: &Path, threads: usize) -> Result<Measured> {
    let before = memory("VmRSS:");
    let started = Instant::now();
    let mut checkpoint = Checkpoint::open_gguf(path)?;
    let mut model = Model::load(&mut checkpoint, POSITIONS, threads)?;
    drop(checkpoint);
    let load = started.elapsed();
    let mut sequences: Vec<_> = (0..TOGETHER).map(|_| Sequence::default()).collect();
    // The first step also pays for starting threads.
    prompt(&mut model, &mut sequences[1], STEP_TOKENS)?;
    let started = Instant::now();
    for _ in 0..PROMPTS {
        model.end(&mut sequences[0]);
        prompt(&mut model, &mut sequences[0], PROMPT_TOKENS)?;
    }
    let prompt_tokens_per_second = per_second(PROMPTS * PROMPT_TOKENS, started.elapsed());
    let mut answers = CONTEXTS.map(|context| (context, 0.0));
    for (context, answer) in &mut answers {
        let mut sequence = Sequence::default();
        prompt(&mut model, &mut sequence, *context)?;
        let sequences = std::slice::from_mut(&mut sequence);
        *answer = answer_speed(&mut model, sequences, ANSWER_TOKENS)?;
        model.end(&mut sequence);
    }
    for sequence in &mut sequences {
        model.end(sequence);
        prompt(&mut model, sequence, CONTEXTS[0])?;
    }
    let together = answer_speed(&mut model, &mut sequences, ANSWER_TOKENS)?;
    let (memory_now, memory_peak) = (memory("VmRSS:"), memory("VmHWM:"));
    let (bandwidth, bandwidth_share) = bandwidth(&mut model, &mut sequences[..1], threads)?;
    let grown = |now: Option<u64>| {
        before
            .zip(now)
            .map(|(before, now)| now.saturating_sub(before))
    };
    Ok(Measured {
        file_bytes: path.metadata().map_or(0, |metadata| metadata.len()),
        weights_bytes: model.weights_bytes() as u64,
        step_bytes: model.step_bytes() as u64,
        cache_bytes: model.cache_bytes() as u64,
        memory_bytes: grown(memory_now),
        memory_peak_bytes: grown(memory_peak),
        load,
        prompt_tokens_per_second,
        answer_tokens_per_second: answers,
        together_tokens_per_second: together,
        bandwidth,
        bandwidth_share,
    })
}

fn id(model: &Model, place: usize) -> u32 {
    u32::try_from(place * 7919 % model.vocabulary()).unwrap_or_default()
}

fn prompt(model: &mut Model, sequence: &mut Sequence, count: usize) -> Result<()> {
    let ids: Vec<u32> = (0..count).map(|place| id(model, place)).collect();
    for ids in ids.chunks(STEP_TOKENS) {
        let sequence = &mut *sequence;
        model.step(&mut [Part {
            ids,
            sequence,
            wanted: 0,
        }])?;
    }
    Ok(())
}

/// Tokens per second of all sequences together, each with one token a step, the likeliest being picked.
fn answer_speed(model: &mut Model, sequences: &mut [Sequence], tokens: usize) -> Result<f64> {
    let samplers = sequences.iter().map(|_| Sampler::new(Sampling::default()));
    let mut samplers: Vec<_> = samplers.collect();
    let (mut computed, vocabulary) = (0, model.vocabulary());
    let started = Instant::now();
    while computed < tokens * sequences.len() {
        let ids: Vec<_> = (0..sequences.len())
            .map(|place| [id(model, computed + place)])
            .collect();
        let pairs = sequences.iter_mut().zip(&ids);
        let mut parts: Vec<_> = pairs
            .map(|(sequence, ids)| Part {
                ids,
                sequence,
                wanted: 1,
            })
            .collect();
        model.compute(&mut parts)?;
        let mut rows: Vec<_> = samplers.iter_mut().enumerate().collect();
        model.hand_out(&mut rows, |(row, sampler), logits| {
            std::hint::black_box(sampler.pick(logits(*row), vocabulary, None, &[])).ok();
        });
        computed += sequences.len();
    }
    Ok(per_second(computed, started.elapsed()))
}

/// How fast much more memory is read than a cache holds, and the share of it that weights are read with
/// in between: the medians.
fn bandwidth(model: &mut Model, sequences: &mut [Sequence], threads: usize) -> Result<(f64, f64)> {
    let mut pool = Pool::new(threads)?;
    // All different: a hypervisor keeps pages that are alike once, and those stay in its cache.
    let data: Vec<_> = (0..(BANDWIDTH_BYTES / size_of::<u64>()) as u64).collect();
    huge::gather(vec![huge::place(&data)]);
    let mut sums = vec![0u64; BANDWIDTH_PARTS];
    let mut read = || {
        let started = Instant::now();
        pool.split(&mut sums, 1, |index, sum| {
            let part = &data[index * (data.len() / BANDWIDTH_PARTS)..];
            let part = part.iter().take(data.len() / BANDWIDTH_PARTS);
            sum[0] = part.fold(0, |sum, number| sum ^ number);
        });
        std::hint::black_box(&sums);
        per_second(BANDWIDTH_BYTES, started.elapsed())
    };
    #[expect(clippy::cast_precision_loss, reason = "a share is no account")]
    let step_bytes = model.step_bytes() as f64;
    let mut measured = [Vec::new(), Vec::new()];
    let mut before = read();
    for _ in 0..READINGS {
        let speed = answer_speed(model, sequences, BETWEEN_TOKENS)?;
        let after = read();
        let bandwidth = f64::midpoint(before, after);
        measured[0].push(bandwidth);
        measured[1].push(speed * step_bytes / bandwidth);
        before = after;
    }
    let [bandwidth, share] = measured.map(|mut values| {
        values.sort_by(f64::total_cmp);
        values[READINGS / 2]
    });
    Ok((bandwidth, share))
}

fn per_second(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64().max(f64::EPSILON)
}

/// Memory of this process, by its name; only Linux tells it without a library.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
