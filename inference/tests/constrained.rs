//! What comes out under a schema always parses into the Rust type.

#[path = "../examples/constrained/document.rs"]
mod document;

use candle_core::quantized::GgmlDType;
use document::{is_valid, schema};
use inference::random::{Shape, write_gguf};
use inference::{Engine, EngineConfig, FetchOptions, Finish, Request, Sampling, Source, Weights};

async fn assert_all_parse(weights: Weights) {
    let engine = Engine::start(weights, EngineConfig::default()).expect("it loads");
    for seed in 0..30 {
        let sampling = Sampling {
            temperature: 1.0,
            seed,
            ..Sampling::default()
        };
        let prompt = format!("Write module {seed} of a course.");
        let schema = Some(schema());
        let asked = Request {
            prompt,
            schema,
            sampling,
            tokens_max: 900,
            ..Request::default()
        };

        let answer = engine.generate(asked).await.expect("an answer");

        assert_eq!(answer.finish, Finish::Stop);
        assert!(is_valid(&answer.text), "seed {seed}: {}", answer.text);
    }
}

#[tokio::test]
async fn documents_of_random_weights_parse() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tiny.gguf");
    write_gguf(&path, &Shape::TINY, GgmlDType::Q8_0, 2).expect("a model is written");
    let options = FetchOptions::new(folder.path());
    let weights = Weights::fetch(&Source::Path(path), &options, |_| {})
        .await
        .expect("a model");

    assert_all_parse(weights).await;
}

#[tokio::test]
async fn documents_of_the_starter_model_parse() {
    assert_all_parse(Weights::starter()).await;
}
