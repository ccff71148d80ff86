//! A model that answers by a script: the pipeline's tests need answers that they know.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use inference::{Error, Finish, Generation, ModelInfo, Request};
use serde_json::{Value, json};
use tokio::sync::watch;
use worker::Model;

/// One ask, as the script sees it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// `outline`, `lesson/2`, `quiz/2`.
    pub(crate) part: String,
    /// How many times this part was asked for before.
    pub(crate) before: usize,
    /// How many asks of any part there were before.
    pub(crate) asks: usize,
}

/// What the model does with an ask.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A good answer, another one for every seed.
    Good,
    /// This answer.
    Json(Value),
    /// An answer that was cut off.
    Cut,
    /// No answer, ever.
    Hang,
    /// A fault in the program.
    Panic,
    /// A fault of the engine.
    Fail,
}

type Script = Box<dyn Fn(&Ask) -> Reply + Send + Sync>;

/// The model.
pub(crate) struct Scripted {
    info: ModelInfo,
    script: Script,
    asked: Mutex<HashMap<String, usize>>,
    urgent: Mutex<BTreeSet<String>>,
    asks: watch::Sender<usize>,
}

impl Scripted {
    pub(crate) fn new(script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let info = ModelInfo {
            id: "scripted".to_owned(),
            sha256: "0".repeat(64),
            context: 1_024,
            parameters: 0,
            vocabulary: 0,
            quantisation: "none".to_owned(),
        };
        Self {
            info,
            script: Box::new(script),
            asked: Mutex::default(),
            urgent: Mutex::default(),
            asks: watch::Sender::new(0),
        }
    }

    /// How often each part was asked for.
    pub(crate) fn asked(&self) -> HashMap<String, usize> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The parts that were asked for urgently.
    pub(crate) fn urgent(&self) -> Vec<String> {
        let urgent = self.urgent.lock().unwrap_or_else(PoisonError::into_inner);
        urgent.iter().cloned().collect()
    }

    /// Waits until there were so many asks.
    pub(crate) async fn reached(&self, asks: usize) {
        let mut seen = self.asks.subscribe();
        // The sender lives as long as the model.
        let _ = seen.wait_for(|seen| *seen >= asks).await;
    }

    fn note(&self, part: &str) -> Ask {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asks = asked.values().sum();
        let count = asked.entry(part.to_owned()).or_default();
        let ask = Ask {
            part: part.to_owned(),
            before: *count,
            asks,
        };
        *count += 1;
        ask
    }
}

impl Model for Scripted {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn generate(&self, request: Request) -> BoxFuture<'_, Result<Generation, Error>> {
        Box::pin(async move {
            let ask = self.note(&part(&request.prompt));
            if request.urgent {
                let mut urgent = self.urgent.lock().unwrap_or_else(PoisonError::into_inner);
                urgent.insert(ask.part.clone());
            }
            self.asks.send_replace(ask.asks + 1);
            let text = match (self.script)(&ask) {
                Reply::Good => good(&request),
                Reply::Json(answer) => answer,
                Reply::Cut => {
                    return Ok(generation("{\"summary\":\"Tid".to_owned(), Finish::Length));
                }
                Reply::Hang => return std::future::pending().await,
                Reply::Panic => panic!("the script panics"),
                Reply::Fail => return Err(Error::Engine("the script fails".to_owned())),
            };
            Ok(generation(text.to_string(), Finish::Stop))
        })
    }
}

fn generation(text: String, finish: Finish) -> Generation {
    Generation {
        tokens_in: 100,
        tokens_out: text.len() / 4,
        text,
        finish,
    }
}

/// Which part a prompt asks for.
fn part(prompt: &str) -> String {
    if prompt.contains("Task: plan the course.") {
        return "outline".to_owned();
    }
    // Titles of the script end with their number.
    let number = |title: &str| title.rsplit(' ').next().unwrap_or_default().to_owned();
    match line(prompt, "Lesson: ") {
        Some(title) => format!("quiz/{}", number(title)),
        None => format!(
            "lesson/{}",
            number(
                line(prompt, "Objective: Explain step ")
                    .unwrap_or_default()
                    .split(' ')
                    .next()
                    .unwrap_or_default()
            )
        ),
    }
}

fn line<'p>(prompt: &'p str, begin: &str) -> Option<&'p str> {
    prompt.lines().find_map(|line| line.strip_prefix(begin))
}

fn good(request: &Request) -> Value {
    let topic = line(&request.prompt, "Topic: ").unwrap_or_default();
    let seed = request.sampling.seed;
    match part(&request.prompt).split('/').next() {
        Some("outline") => outline(topic, request),
        Some("lesson") => lesson(topic, seed),
        _ => quiz(topic, seed),
    }
}

fn outline(topic: &str, request: &Request) -> Value {
    let schema = request.schema.clone().unwrap_or_default();
    let modules = schema["properties"]["modules"]["prefixItems"]
        .as_array()
        .cloned();
    let mut number = 0;
    let mut lesson = || {
        number += 1;
        json!({"title": format!("{topic} {number}"), "objective": format!("Explain step {number} of {topic}")})
    };
    let modules = modules.unwrap_or_default().into_iter().map(|module| {
        let size = module["properties"]["lessons"]["minItems"]
            .as_u64()
            .unwrap_or(0);
        let lessons: Vec<Value> = (0..size).map(|_| lesson()).collect();
        json!({"title": format!("{topic} in {size} lessons"), "lessons": lessons})
    });
    let modules: Vec<Value> = modules.collect();
    json!({"title": format!("{topic} for you"), "summary": format!("You will explain {topic}."), "modules": modules})
}

/// A lesson that passes every gate.
pub(crate) fn lesson(topic: &str, seed: u64) -> Value {
    let say = |place: u64| sentence(seed, place);
    let sections: Vec<Value> = (0..3)
        .map(|number| {
            let text = format!("Look at {topic}: {} {}", say(number), say(number + 10));
            json!({"heading": format!("Part {number}"), "text": text})
        })
        .collect();
    let points: Vec<String> = (20..23).map(say).collect();
    json!({
        "summary": format!("This is about {topic}. {}", say(30)),
        "sections": sections,
        "key_points": points,
        "misconception": {"claim": say(40), "truth": say(41)},
        "exercise": {"task": say(50), "solution": say(51)},
    })
}

fn quiz(topic: &str, seed: u64) -> Value {
    let items: Vec<Value> = (0..3)
        .map(|number| {
            let word = |place| word(seed, number * 10 + place);
            let wrong: Vec<String> = (1..4)
                .map(|place| format!("{} {place}", word(place)))
                .collect();
            json!({
                "question": format!("What about {topic} is {} in case {number}?", word(9)),
                "answer": word(0),
                "wrong": wrong,
                "explanation": sentence(seed, 60 + number),
            })
        })
        .collect();
    json!({"items": items})
}

fn sentence(seed: u64, place: u64) -> String {
    let words: Vec<String> = (0..10).map(|at| word(seed, place * 100 + at)).collect();
    format!("{}.", words.join(" "))
}

/// A word that nobody knows, drawn by seed and place.
fn word(seed: u64, place: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "ka", "lo", "mi", "ru", "ten", "so", "va", "ni", "po", "shi", "dar", "el", "qu", "fen",
        "ja", "wo",
    ];
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((seed, place));
    let syllable = |shift: u32| SYLLABLES[usize::try_from(hash >> shift & 15).unwrap_or(0)];
    format!("{}{}{}", syllable(0), syllable(8), syllable(16))
}
