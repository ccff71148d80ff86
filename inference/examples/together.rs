//! Writes lessons one after the other and several at a time, and compares both in one run:
//! `cargo run --release -p inference --example together -- [SOURCE] [LESSONS] [TOKENS] [ROUNDS]`.
//!
//! The lessons begin alike, as those of a course do, and their texts have to be the same either way.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, stream::FuturesUnordered};
use inference::{
    Engine, EngineConfig, FetchOptions, PLACES_DEFAULT, Request, Sampling, Source, Weights,
};
use serde_json::{Value, json};

const BEGINNING: &str = "You are the author of a course. Answer with JSON only, in the language \
    given.\nTask: write one lesson. Teach the objective and name the topic. Write a summary, three \
    sections with a heading and a text, and three key points. Finish every sentence.\n\nTopic: Tide \
    pools\nAudience: curious beginners\nLevel: beginner\nLanguage: English\nCourse: Tide pools step \
    by step\n";

struct Run {
    first: Duration,
    whole: Duration,
    tokens: usize,
    texts: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |place: usize| arguments.get(place).map(String::as_str);
    let source: Source = argument(0).unwrap_or("starter").parse()?;
    let lessons = argument(1).map_or(Ok(12), str::parse)?;
    let tokens_max = argument(2).map_or(Ok(150), str::parse)?;
    let rounds: u32 = argument(3).map_or(Ok(3), str::parse)?;
    let mut engines = Vec::new();
    for places in [1, PLACES_DEFAULT] {
        let options = FetchOptions::new(std::env::temp_dir());
        let weights = Weights::fetch(&source, &options, |_| {}).await?;
        let config = EngineConfig {
            places,
            ..EngineConfig::default()
        };
        engines.push((places, Engine::start(weights, config)?, Vec::new()));
    }
    for _ in 0..rounds {
        for (_, engine, runs) in &mut engines {
            runs.push(write(engine, lessons, tokens_max).await?);
        }
    }
    let texts = &engines[0].2.first().context("no round")?.texts;
    let mut wholes = Vec::new();
    for (places, _, runs) in &engines {
        ensure!(runs.iter().all(|run| run.texts == *texts), "texts differ");
        let (first, whole) = (median(runs, |run| run.first), median(runs, |run| run.whole));
        let tokens = f64::from(u32::try_from(runs[0].tokens)?);
        println!(
            "{lessons} lessons, {places} at a time: first {first:.3} s, all {whole:.3} s, {:.0} tokens/s",
            tokens / whole
        );
        wholes.push(whole);
    }
    println!("{:.2} times as fast together", wholes[0] / wholes[1]);
    Ok(())
}

async fn write(engine: &Engine, lessons: u64, tokens_max: usize) -> anyhow::Result<Run> {
    let began = Instant::now();
    let asked = (1..=lessons).map(|number| async move {
        let answer = engine.generate(request(number, tokens_max)).await?;
        anyhow::Ok((number, answer))
    });
    let mut coming: FuturesUnordered<_> = asked.collect();
    let (mut first, mut answers) = (None, Vec::new());
    while let Some(answer) = coming.next().await {
        answers.push(answer?);
        first.get_or_insert_with(|| began.elapsed());
    }
    let whole = began.elapsed();
    answers.sort_by_key(|(number, _)| *number);
    Ok(Run {
        first: first.unwrap_or(whole),
        whole,
        tokens: answers.iter().map(|(_, answer)| answer.tokens_out).sum(),
        texts: answers.into_iter().map(|(_, answer)| answer.text).collect(),
    })
}

fn request(number: u64, tokens_max: usize) -> Request {
    Request {
        prompt: format!(
            "{BEGINNING}Lesson {number} of 12: Part {number}\nObjective: Explain part {number}"
        ),
        schema: Some(schema()),
        sampling: Sampling {
            temperature: 0.7,
            top_p: Some(0.95),
            min_p: Some(0.05),
            repetition_penalty: 1.05,
            seed: number,
            ..Sampling::default()
        },
        tokens_max,
        // As a worker asks: whoever waits for a course sees its first lesson first.
        urgent: number == 1,
        ..Request::default()
    }
}

fn schema() -> Value {
    let text = |max: u32| json!({"type": "string", "minLength": 1, "maxLength": max});
    let list =
        |items: Value| json!({"type": "array", "minItems": 3, "maxItems": 3, "items": items});
    let section = json!({"type": "object", "additionalProperties": false,
        "required": ["heading", "text"], "properties": {"heading": text(60), "text": text(400)}});
    json!({"type": "object", "additionalProperties": false,
        "required": ["summary", "sections", "key_points"],
        "properties": {"summary": text(200), "sections": list(section), "key_points": list(text(120))}})
}

fn median(runs: &[Run], of: impl Fn(&Run) -> Duration) -> f64 {
    let mut times: Vec<_> = runs.iter().map(of).collect();
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
}
