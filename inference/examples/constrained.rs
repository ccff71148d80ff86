//! Generates documents under a schema, checks that every one parses into its Rust type, and prints
//! what the grammar costs: `cargo run -p inference --example constrained -- 500 [SOURCE]`.

use std::time::{Duration, Instant};

use inference::{
    Engine, EngineConfig, Error, FetchOptions, Finish, Request, Sampling, Source, Weights,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// A document with everything the schemas of a course use.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    title: String,
    level: Level,
    minutes: u8,
    ready: bool,
    lessons: Vec<Lesson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lesson {
    title: String,
    body: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Easy,
    Medium,
    Hard,
}

fn schema() -> Value {
    let text = |max: u32| json!({"type": "string", "minLength": 1, "maxLength": max});
    let lesson = json!({"type": "object", "additionalProperties": false,
        "required": ["title", "body"], "properties": {"title": text(40), "body": text(120)}});
    json!({"type": "object", "additionalProperties": false,
        "required": ["title", "level", "minutes", "ready", "lessons"],
        "properties": {
            "title": text(60),
            "level": {"enum": ["easy", "medium", "hard"]},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 90},
            "ready": {"type": "boolean"},
            "lessons": {"type": "array", "minItems": 1, "maxItems": 2, "items": lesson}}})
}

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

fn is_valid(text: &str) -> bool {
    let Ok(module) = serde_json::from_str::<Module>(text) else {
        return false;
    };
    let bounded = |text: &str, max| (1..=max).contains(&text.chars().count());
    let lesson = |lesson: &Lesson| bounded(&lesson.title, 40) && bounded(&lesson.body, 120);
    bounded(&module.title, 60)
        && (1..=90).contains(&module.minutes)
        && (1..=2).contains(&module.lessons.len())
        && module.lessons.iter().all(lesson)
        && (module.ready || module.level != Level::Easy || !module.title.is_empty())
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
    let micros = |time: Duration, tokens: usize| time.as_secs_f64() * 1e6 / tokens.max(1) as f64;
    println!("{valid} of {count} documents parse into their type");
    println!(
        "{tokens} tokens, {:.0} us a token with the grammar, {:.0} us without",
        micros(constrained, tokens),
        micros(plain, plain_tokens)
    );
    Ok(())
}
