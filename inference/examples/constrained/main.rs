//! Generates documents under a schema, checks that every one parses into its Rust type, and prints
//! what the grammar costs:
//! `cargo run --release -p inference --example constrained -- [DOCUMENTS] [SOURCE] [TOGETHER]`.
//!
//! Answers with the grammar and answers of the same lengths without it take turns, `TOGETHER` of them
//! at a time; the figure is the median over all turns.

mod document;

use std::time::Instant;

use document::{is_valid, schema};
use futures_util::future::try_join_all;
use inference::{
    Engine, EngineConfig, Error, FetchOptions, Finish, Generation, Request, Sampling, Source,
    Weights,
};

/// Tokens of a document at most.
const TOKENS_MAX: usize = 900;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().as_deref().unwrap_or("20").parse()?;
    let source: Source = arguments.next().as_deref().unwrap_or("starter").parse()?;
    let together: usize = arguments.next().as_deref().unwrap_or("1").parse()?;
    let options = FetchOptions::new(std::env::temp_dir());
    let weights = Weights::fetch(&source, &options, |_| {}).await?;
    let config = EngineConfig {
        places: together,
        ..EngineConfig::default()
    };
    let engine = Engine::start(weights, config)?;
    println!("{:?}", engine.info());

    let (mut valid, mut tokens) = (0, 0);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let seeds: Vec<u64> = (0..count).collect();
    for seeds in seeds.chunks(together.max(1)) {
        let held = seeds.iter().map(|seed| Request {
            schema: Some(schema()),
            ..request(*seed, TOKENS_MAX)
        });
        let (answers, micros) = timed(&engine, held.collect()).await?;
        with.push(micros);
        let free = answers.iter().zip(seeds);
        let free = free.map(|(answer, seed)| request(*seed, answer.tokens_out));
        without.push(timed(&engine, free.collect()).await?.1);
        for answer in answers {
            tokens += answer.tokens_out;
            let ok = answer.finish == Finish::Stop && is_valid(&answer.text);
            valid += u64::from(ok);
            if !ok || valid == 1 {
                println!("{:?} {}", answer.finish, answer.text);
            }
        }
    }
    let (with, without) = (median(with), median(without));
    println!("{valid} of {count} documents parse into their type, {tokens} tokens");
    println!(
        "{together} at a time: {with:.0} us a token with the grammar, {without:.0} us without: {:+.1} %",
        100.0 * (with / without - 1.0)
    );
    Ok(())
}

fn request(seed: u64, tokens_max: usize) -> Request {
    Request {
        prompt: format!("Write module {seed} of a course."),
        sampling: Sampling {
            temperature: 1.0,
            min_p: Some(0.02),
            seed,
            ..Sampling::default()
        },
        tokens_max,
        ..Request::default()
    }
}

/// The answers, and microseconds per token of all of them together.
async fn timed(engine: &Engine, requests: Vec<Request>) -> Result<(Vec<Generation>, f64), Error> {
    let began = Instant::now();
    let asked = requests.into_iter().map(|request| engine.generate(request));
    let answers = try_join_all(asked).await?;
    let tokens: usize = answers.iter().map(|answer| answer.tokens_out).sum();
    let tokens = f64::from(u32::try_from(tokens.max(1)).unwrap_or(u32::MAX));
    Ok((answers, began.elapsed().as_secs_f64() * 1e6 / tokens))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
