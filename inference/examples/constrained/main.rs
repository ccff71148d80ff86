//! Generates documents under a schema, checks that every one parses into its Rust type, and prints
//! what the grammar costs: `cargo run -p inference --example constrained -- 500 [SOURCE]`.

mod document;

use std::time::{Duration, Instant};

use document::{is_valid, schema};
use inference::{
    Engine, EngineConfig, Error, FetchOptions, Finish, Request, Sampling, Source, Weights,
};
use serde_json::Value;

fn request(seed: u64, schema: Option<Value>) -> Request {
    let prompt = format!("Write module {seed} of a course.");
    let sampling = Sampling {
        temperature: 1.0,
        seed,
        ..Sampling::default()
    };
    Request {
        prompt,
        schema,
        sampling,
        tokens_max: 900,
        ..Request::default()
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(20u64);
    let source: Source = arguments.next().as_deref().unwrap_or("starter").parse()?;
    let options = FetchOptions::new(std::env::temp_dir());
    let weights = Weights::fetch(&source, &options, |_| {}).await?;
    let engine = Engine::start(weights, EngineConfig::default())?;
    println!("{:?}", engine.info());

    let (mut valid, mut tokens, mut constrained) = (0, 0usize, Duration::ZERO);
    let (mut plain_tokens, mut plain) = (0usize, Duration::ZERO);
    for seed in 0..count {
        let started = Instant::now();
        let answer = engine.generate(request(seed, Some(schema()))).await?;
        constrained += started.elapsed();
        tokens += answer.tokens_out;
        let ok = answer.finish == Finish::Stop && is_valid(&answer.text);
        valid += u64::from(ok);
        if !ok || seed == 0 {
            println!("{:?} {}", answer.finish, answer.text);
        }
        if seed % 10 == 0 {
            let started = Instant::now();
            let free = Request {
                tokens_max: answer.tokens_out,
                ..request(seed, None)
            };
            plain_tokens += engine.generate(free).await?.tokens_out;
            plain += started.elapsed();
        }
    }
    let micros = |time: Duration, tokens: usize| {
        time.as_secs_f64() * 1e6 / f64::from(u32::try_from(tokens.max(1)).unwrap_or(u32::MAX))
    };
    println!("{valid} of {count} documents parse into their type");
    println!(
        "{tokens} tokens, {:.0} us a token with the grammar, {:.0} us without",
        micros(constrained, tokens),
        micros(plain, plain_tokens)
    );
    Ok(())
}
