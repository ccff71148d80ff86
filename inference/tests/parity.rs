//! Logits against those of Hugging Face transformers in f32 (`reference/make_reference.py`).
//!
//! Bounds are relative to the logits' size: an error counts as its distance divided by
//! `max(1, |largest logit|)`, logits here being of the order of 1 to 10.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use inference::{Checkpoint, Gemma, Result};

const WINDOW: usize = 16;
const POSITIONS: usize = 3 * WINDOW;
const BOUND_F32: f32 = 1e-5;
const BOUND_Q8_0: f32 = 0.15;

struct Reference {
    /// `(3, POSITIONS)`
    ids: Tensor,
    /// `(3, POSITIONS, vocabulary)`
    logits: Tensor,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(name)
}

fn reference(name: &str) -> Result<Reference> {
    let path = folder(name).join("reference.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
    let ids = tensors["ids"].to_dtype(candle_core::DType::U32)?;
    Ok(Reference {
        ids,
        logits: tensors["logits"].clone(),
    })
}

fn plain() -> Result<Gemma> {
    let folder = folder("kv1");
    let shards = [folder.join("model.safetensors")];
    load(Checkpoint::open_safetensors(
        &folder.join("config.json"),
        &shards,
    )?)
}

fn nested() -> Result<Gemma> {
    let folder = folder("kv4");
    let shard = |number| folder.join(format!("model-0000{number}-of-00002.safetensors"));
    load(Checkpoint::open_safetensors(
        &folder.join("config.json"),
        &[shard(1), shard(2)],
    )?)
}

fn quantised() -> Result<Gemma> {
    load(Checkpoint::open_gguf(
        &folder("kv1").join("model-q8_0.gguf"),
    )?)
}

fn load(mut checkpoint: Checkpoint) -> Result<Gemma> {
    Gemma::load(&mut checkpoint, POSITIONS, &Device::Cpu)
}

/// Logits of the first `length` positions of `ids`, computed in steps of `chunk`.
fn run(model: &Gemma, ids: &Tensor, length: usize, chunk: usize) -> Result<Tensor> {
    let mut cache = model.cache(ids.dim(0)?)?;
    let mut parts = Vec::new();
    for start in (0..length).step_by(chunk) {
        let ids = ids.narrow(1, start, chunk.min(length - start))?;
        parts.push(model.logits(&model.forward(&ids, start, &mut cache)?)?);
    }
    Ok(Tensor::cat(&parts, 1)?)
}

fn relative_error(ours: &Tensor, theirs: &Tensor) -> Result<f32> {
    let largest = theirs.abs()?.max_all()?.to_scalar::<f32>()?;
    let distance = (ours - theirs)?.abs()?.max_all()?.to_scalar::<f32>()?;
    Ok(distance / largest.max(1.0))
}

/// The largest error over every length, each of them in one piece, in chunks and token by token.
fn worst_error(model: &Gemma, reference: &Reference, batch: usize) -> Result<f32> {
    let ids = reference.ids.narrow(0, 0, batch)?;
    let mut worst = 0f32;
    for length in 1..=POSITIONS {
        let theirs = reference.logits.narrow(0, 0, batch)?.narrow(1, 0, length)?;
        for chunk in [length, 1, 5, WINDOW] {
            let ours = run(model, &ids, length, chunk)?;
            worst = worst.max(relative_error(&ours, &theirs)?);
        }
    }
    Ok(worst)
}

fn assert_parity(model: &Gemma, name: &str) -> Result<()> {
    let reference = reference(name)?;
    for batch in [1, 3] {
        let worst = worst_error(model, &reference, batch)?;

        println!("{name}, batch {batch}: largest relative error {worst:.2e}");
        assert!(worst < BOUND_F32, "{name}, batch {batch}: {worst}");
    }
    Ok(())
}

#[test]
fn one_kv_head_agrees_with_transformers_at_every_length() -> Result<()> {
    assert_parity(&plain()?, "kv1")
}

#[test]
fn four_kv_heads_agree_with_transformers_at_every_length() -> Result<()> {
    assert_parity(&nested()?, "kv4")
}

#[test]
fn q8_0_stays_near_and_picks_the_same_tokens() -> Result<()> {
    let (model, reference) = (quantised()?, reference("kv1")?);

    let mut same = Vec::new();
    for chunk in [POSITIONS, WINDOW, 1] {
        let ours = run(&model, &reference.ids, POSITIONS, chunk)?;
        let distance = (&ours - &reference.logits)?
            .abs()?
            .max_all()?
            .to_scalar::<f32>()?;
        assert!(distance < BOUND_Q8_0, "chunks of {chunk}: {distance}");
        let top = |logits: &Tensor| logits.argmax(2)?.flatten_all()?.to_vec1::<u32>();
        let pairs = top(&ours)?.into_iter().zip(top(&reference.logits)?);
        same.extend(pairs.map(|(ours, theirs)| ours == theirs));
        println!("q8_0, chunks of {chunk}: largest error {distance:.3}");
    }

    let agreeing = same.iter().filter(|same| **same).count();
    println!(
        "q8_0: {agreeing} of {} positions have the same top token",
        same.len()
    );
    assert!(
        agreeing * 100 >= same.len() * 98,
        "{agreeing} of {}",
        same.len()
    );
    Ok(())
}

#[test]
fn cutting_back_overwrites_what_came_later() -> Result<()> {
    let (model, reference) = (plain()?, reference("kv1")?);
    let ids = reference.ids.narrow(0, 0, 1)?;
    let mut cache = model.cache(1)?;
    model.forward(&ids, 0, &mut cache)?;

    let tail = ids.narrow(1, 20, 4)?;
    let again = model.logits(&model.forward(&tail, 20, &mut cache)?)?;

    let theirs = reference.logits.narrow(0, 0, 1)?.narrow(1, 20, 4)?;
    assert!(relative_error(&again, &theirs)? < BOUND_F32);
    Ok(())
}

#[test]
fn more_positions_than_the_cache_holds_are_refused() -> Result<()> {
    let (model, reference) = (plain()?, reference("kv1")?);
    let ids = reference.ids.narrow(0, 0, 1)?;

    let refused = model.forward(&ids, 1, &mut model.cache(1)?);

    let context = POSITIONS;
    let tokens = POSITIONS + 1;
    assert_eq!(
        refused.err(),
        Some(inference::Error::TooLong { tokens, context })
    );
    Ok(())
}
