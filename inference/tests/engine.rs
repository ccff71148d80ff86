//! Answers of the engine on random weights: what holds whatever the model says.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use candle_core::quantized::GgmlDType;
use inference::random::{Shape, write_gguf};
use inference::{
    Engine, EngineConfig, Error, FetchOptions, Finish, Generation, Request, Sampling, Source,
    Weights,
};
use serde_json::{Value, json};

/// An engine of its own, with nothing cached.
async fn fresh() -> Engine {
    with_places(inference::PLACES_DEFAULT).await
}

async fn with_places(places: usize) -> Engine {
    static FILE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FILE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tiny.gguf");
        write_gguf(&path, &Shape::TINY, GgmlDType::Q8_0, 1).expect("a model is written");
        folder
    });
    let source = Source::Path(folder.path().to_owned());
    let options = FetchOptions::new(folder.path());
    let weights = Weights::fetch(&source, &options, |_| {})
        .await
        .expect("the file is there");
    let config = EngineConfig {
        places,
        ..EngineConfig::default()
    };
    Engine::start(weights, config).expect("the file is a model")
}

fn lively(seed: u64) -> Sampling {
    Sampling {
        temperature: 0.9,
        top_p: Some(0.95),
        min_p: Some(0.02),
        repetition_penalty: 1.1,
        seed,
        ..Sampling::default()
    }
}

fn request(prompt: &str, seed: u64) -> Request {
    let prompt = prompt.to_owned();
    Request {
        prompt,
        sampling: lively(seed),
        tokens_max: 60,
        ..Request::default()
    }
}

fn card() -> Value {
    json!({"type": "object", "additionalProperties": false, "required": ["title", "count", "tags"],
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 20},
            "count": {"type": "integer", "minimum": 1, "maximum": 90},
            "tags": {"type": "array", "minItems": 2, "maxItems": 2,
                "items": {"enum": ["easy", "medium", "hard"]}}}})
}

const SHARED: &str = "These words are the same for both of the prompts, and there are enough of \
    them to fill several chunks of the prompt, so that a part of it can be used again. ";

#[tokio::test]
async fn an_answer_does_not_depend_on_what_was_asked_before() {
    let used = fresh().await;
    let (first, second) = (
        format!("{SHARED} Say A!"),
        format!("{SHARED} Say something else."),
    );
    for schema in [None, Some(card())] {
        let asked = Request {
            schema,
            tokens_max: 120,
            ..request(&second, 7)
        };
        used.generate(request(&first, 3)).await.expect("an answer");
        used.generate(request("quite another prompt", 4))
            .await
            .expect("an answer");
        used.generate(request(&first, 5)).await.expect("an answer");

        let after_others = used.generate(asked.clone()).await;
        let again = used.generate(asked.clone()).await;
        let alone = fresh().await.generate(asked).await;

        assert!(alone.is_ok());
        assert_eq!(after_others, alone);
        assert_eq!(again, alone);
    }
}

/// Requests of all kinds: with and without a schema, short and long, greedy and lively.
fn varied(seed: u64) -> Request {
    let words = usize::try_from(seed * 7 % 61).expect("a small number");
    let prompt = match seed % 3 {
        0 => format!("{SHARED} Number {seed}."),
        1 => format!("{} {seed}", "other words ".repeat(words)),
        _ => format!("{seed}"),
    };
    Request {
        schema: Some(card()).filter(|_| seed % 4 != 3),
        tokens_max: 10 + words,
        sampling: if seed.is_multiple_of(5) {
            Sampling::default()
        } else {
            lively(seed)
        },
        ..request(&prompt, seed)
    }
}

#[tokio::test]
async fn two_hundred_answers_are_the_same_alone_and_in_random_company() {
    const ANSWERS: u64 = 200;
    let alone = with_places(1).await;
    let mut right = Vec::new();
    for seed in 0..ANSWERS {
        right.push(alone.generate(varied(seed)).await.expect("an answer"));
    }
    for places in [3, 32] {
        let engine = with_places(places).await;
        // In an order that has nothing to do with the one above, and some give up on the way.
        let order = (0..ANSWERS).map(|place| place * 73 % ANSWERS);
        let answers = order.map(|seed| {
            let request = varied(seed);
            let cancel = request.cancel.clone();
            let engine = engine.clone();
            async move {
                if seed.is_multiple_of(11) {
                    let (_, ()) = tokio::join!(engine.generate(request), async {
                        tokio::task::yield_now().await;
                        cancel.cancel();
                    });
                    return (seed, engine.generate(varied(seed)).await);
                }
                (seed, engine.generate(request).await)
            }
        });

        let answers = futures_util::future::join_all(answers).await;

        for (seed, answer) in answers {
            let right = &right[usize::try_from(seed).expect("a small number")];
            assert_eq!(answer.as_ref(), Ok(right), "{seed} of {places} places");
        }
    }
}

#[tokio::test]
async fn another_seed_gives_another_answer() {
    let engine = fresh().await;

    let one = engine
        .generate(request("hello", 1))
        .await
        .expect("an answer");
    let two = engine
        .generate(request("hello", 2))
        .await
        .expect("an answer");

    assert_ne!(one.text, two.text);
}

#[tokio::test]
async fn documents_are_compact_and_in_the_order_of_the_schema() {
    let engine = fresh().await;
    for seed in 0..20 {
        let schema = Some(card());
        let asked = Request {
            schema,
            tokens_max: 200,
            ..request("a card", seed)
        };

        let Generation { text, finish, .. } = engine.generate(asked).await.expect("an answer");

        assert_eq!(finish, Finish::Stop);
        let document: Value = serde_json::from_str(&text).expect("it parses");
        let keys: Vec<_> = document.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["title", "count", "tags"]);
        assert!(text.starts_with("{\"title\":\""), "{text}");
        let (_, rest) = text
            .rsplit_once("\",\"count\":")
            .expect("no space before the next key");
        assert!(
            rest.contains(",\"tags\":[\"") && !rest.contains(' '),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_says_so() {
    let engine = fresh().await;
    for tokens_max in [0, 1, 7] {
        let schema = Some(card());
        let asked = Request {
            schema,
            tokens_max,
            ..request("a card", 1)
        };

        let answer = engine.generate(asked).await.expect("an answer");

        assert_eq!(
            (answer.finish, answer.tokens_out),
            (Finish::Length, tokens_max)
        );
    }
}

#[tokio::test]
async fn pieces_add_up_to_the_text() {
    let engine = fresh().await;
    let (sender, mut pieces) = tokio::sync::mpsc::channel(1000);
    let on_token = Some(sender);

    let asked = Request {
        on_token,
        schema: Some(card()),
        tokens_max: 200,
        ..request("x", 3)
    };
    let answer = engine.generate(asked).await.expect("an answer");

    let mut joined = String::new();
    while let Some(piece) = pieces.recv().await {
        joined.push_str(&piece);
    }
    assert_eq!(joined, answer.text);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_any_work() {
    let engine = fresh().await;
    let context = engine.info().context;

    let refused = engine
        .generate(Request {
            tokens_max: context,
            ..request("x", 1)
        })
        .await;

    let tokens = context + engine.count_tokens("x").expect("a count");
    assert_eq!(refused, Err(Error::TooLong { tokens, context }));
}

#[tokio::test]
async fn a_useless_schema_is_an_error_and_not_the_end() {
    let engine = fresh().await;
    for schema in [json!("text"), json!({"type": "no such type"})] {
        let refused = engine
            .generate(Request {
                schema: Some(schema),
                ..request("x", 1)
            })
            .await;

        assert!(matches!(refused, Err(Error::Schema(_))), "{refused:?}");
    }
    assert!(engine.generate(request("x", 1)).await.is_ok());
}

/// Stops an engine between two tokens: it wakes this when it hands out a piece of text.
struct Pause {
    reached: Sender<()>,
    over: Mutex<Receiver<()>>,
}

impl Wake for Pause {
    fn wake(self: Arc<Self>) {
        // Fails when the test has ended, which is an end of the pause as well.
        let _ = self.reached.send(());
        let _ = self.over.lock().map(|over| over.recv());
    }
}

/// An engine that pauses, until this is dropped.
struct Paused {
    reached: Receiver<()>,
    _go_on: Sender<()>,
    /// Has to be there to be woken.
    _pieces: tokio::sync::mpsc::Receiver<String>,
}

/// A long request whose engine pauses at its first piece.
fn pausing() -> (Request, Paused) {
    let ((reached, has_reached), (go_on, over)) = (channel(), channel());
    let (on_token, mut pieces) = tokio::sync::mpsc::channel(1);
    let over = Mutex::new(over);
    let waker = Waker::from(Arc::new(Pause { reached, over }));
    let nothing_yet = pieces.poll_recv(&mut Context::from_waker(&waker));
    assert!(nothing_yet.is_pending());
    let asked = Request {
        on_token: Some(on_token),
        ..long(1)
    };
    let paused = Paused {
        reached: has_reached,
        _go_on: go_on,
        _pieces: pieces,
    };
    (asked, paused)
}

fn long(seed: u64) -> Request {
    Request {
        tokens_max: 1900,
        ..request("x", seed)
    }
}

#[tokio::test]
async fn a_cancelled_request_makes_room_for_the_next() {
    let engine = with_places(1).await;
    let (asked, paused) = pausing();
    let cancel = asked.cancel.clone();
    let mut running = Box::pin(engine.generate(asked));
    assert!(futures_util::poll!(&mut running).is_pending());
    paused.reached.recv().expect("it begins");
    let mut dropped = Box::pin(engine.generate(long(2)));
    assert!(futures_util::poll!(&mut dropped).is_pending());

    cancel.cancel();
    let answer = running.await;
    drop(dropped);
    drop(paused);
    let next = tokio::time::timeout(Duration::from_secs(20), engine.generate(request("y", 3)));

    assert_eq!(answer, Err(Error::Cancelled));
    assert!(next.await.expect("the thread is free").is_ok());
}

#[tokio::test]
async fn more_requests_than_may_wait_are_turned_away() {
    let engine = with_places(1).await;
    let (asked, paused) = pausing();
    let mut running = Box::pin(engine.generate(asked));
    assert!(futures_util::poll!(&mut running).is_pending());
    paused.reached.recv().expect("it begins");

    let mut waiting = Vec::new();
    for seed in 0..inference::WAITING_MAX as u64 {
        let mut answer = Box::pin(engine.generate(long(seed)));
        assert!(futures_util::poll!(&mut answer).is_pending());
        waiting.push(answer);
    }
    let one_more = engine.generate(long(0)).await;

    assert_eq!(one_more, Err(Error::Overloaded));
}

#[tokio::test]
async fn the_starter_model_answers() {
    let engine = Engine::start(Weights::starter(), EngineConfig::default()).expect("it loads");
    let schema = Some(card());
    let asked = Request {
        schema,
        tokens_max: 200,
        ..request("Name a card.", 1)
    };

    let answer = engine.generate(asked).await.expect("an answer");

    assert!(
        serde_json::from_str::<Value>(&answer.text).is_ok(),
        "{}",
        answer.text
    );
    assert_eq!(engine.info().sha256.len(), 64);
}
