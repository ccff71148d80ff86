//! Logits against those of Hugging Face transformers in f32 (`reference/make_reference.py`).
//!
//! Bounds are relative to the logits' size: an error counts as its distance divided by
//! `max(1, |largest logit|)`, logits here being of the order of 1 to 10.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use inference::cpu::{Model, Part, Sequence};
use inference::{Checkpoint, Error, Gemma, Result};

const WINDOW: usize = 16;
const POSITIONS: usize = 3 * WINDOW;
const BOUND_F32: f32 = 1e-5;
const BOUND_Q8_0: f32 = 0.15;

/// By sequence and position.
type Rows = Vec<Vec<Vec<f32>>>;

struct Reference {
    ids: Vec<Vec<u32>>,
    logits: Rows,
}

fn folder(name: &str) -> PathBuf {
    Path::new("tests/reference").join(name)
}

fn reference(name: &str) -> Result<Reference> {
    let path = folder(name).join("reference.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
    Ok(Reference {
        ids: tensors["ids"].to_dtype(DType::U32)?.to_vec2()?,
        logits: tensors["logits"].to_vec3()?,
    })
}

fn plain() -> Result<Checkpoint> {
    let folder = folder("kv1");
    let shards = [folder.join("model.safetensors")];
    Checkpoint::open_safetensors(&folder.join("config.json"), &shards)
}

fn nested() -> Result<Checkpoint> {
    let folder = folder("kv4");
    let shard = |number| folder.join(format!("model-0000{number}-of-00002.safetensors"));
    Checkpoint::open_safetensors(&folder.join("config.json"), &[shard(1), shard(2)])
}

fn quantised() -> Result<Model> {
    let checkpoint = Checkpoint::open_gguf(&folder("kv1").join("model-q8_0.gguf"))?;
    load(checkpoint)
}

fn load(mut checkpoint: Checkpoint) -> Result<Model> {
    Model::load(&mut checkpoint, POSITIONS, 1)
}

/// Logits of the first `length` positions of all sequences together, in steps of `chunk` tokens.
fn run(model: &mut Model, ids: &[Vec<u32>], length: usize, chunk: usize) -> Result<Rows> {
    let mut sequences: Vec<_> = ids.iter().map(|_| Sequence::default()).collect();
    let mut rows: Rows = ids.iter().map(|_| Vec::new()).collect();
    for start in (0..length).step_by(chunk) {
        let end = length.min(start + chunk);
        let mut parts = Vec::new();
        for (ids, sequence) in ids.iter().zip(&mut sequences) {
            parts.push(part(ids, sequence, start..end));
        }
        let logits = model.step(&mut parts)?;
        for index in 0..ids.len() * (end - start) {
            let mut row = Vec::new();
            logits.row(index).copy_to(&mut row);
            rows[index / (end - start)].push(row);
        }
    }
    for mut sequence in sequences {
        model.end(&mut sequence);
    }
    Ok(rows)
}

fn part<'a>(ids: &'a [u32], sequence: &'a mut Sequence, range: std::ops::Range<usize>) -> Part<'a> {
    Part {
        wanted: range.len(),
        ids: &ids[range],
        sequence,
    }
}

/// The largest distance and the largest size.
fn distance(ours: &[Vec<Vec<f32>>], theirs: &[Vec<Vec<f32>>]) -> (f32, f32) {
    let mut worst = (0f32, 0f32);
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(ours.len() <= theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!(ours.is_finite());
                worst = (
                    worst.0.max((ours - theirs).abs()),
                    worst.1.max(theirs.abs()),
                );
            }
        }
    }
    worst
}

fn relative_error(ours: &[Vec<Vec<f32>>], theirs: &[Vec<Vec<f32>>]) -> f32 {
    let (distance, largest) = distance(ours, theirs);
    distance / largest.max(1.0)
}

/// Every length, each of them in one piece, in chunks and token by token.
fn assert_parity(checkpoint: Checkpoint, name: &str) -> Result<()> {
    let (mut model, reference) = (load(checkpoint)?, reference(name)?);
    for batch in [1, 3] {
        let mut worst = 0f32;
        for length in 1..=POSITIONS {
            for chunk in [length, 1, 5, WINDOW] {
                let ours = run(&mut model, &reference.ids[..batch], length, chunk)?;
                worst = worst.max(relative_error(&ours, &reference.logits[..batch]));
            }
        }

        println!("{name}, batch {batch}: largest relative error {worst:.2e}");
        assert!(worst < BOUND_F32, "{name}, batch {batch}: {worst}");
    }
    Ok(())
}

#[test]
fn one_kv_head_agrees_with_transformers_at_every_length() -> Result<()> {
    assert_parity(plain()?, "kv1")
}

#[test]
fn four_kv_heads_agree_with_transformers_at_every_length() -> Result<()> {
    assert_parity(nested()?, "kv4")
}

#[test]
fn candle_agrees_with_transformers_too() -> Result<()> {
    for (mut checkpoint, name) in [(plain()?, "kv1"), (nested()?, "kv4")] {
        let model = Gemma::load(&mut checkpoint, POSITIONS, &Device::Cpu)?;
        let reference = reference(name)?;
        let ids = Tensor::new(reference.ids.clone(), &Device::Cpu)?;
        for chunk in [POSITIONS, 1, 5, WINDOW] {
            let mut cache = model.cache(reference.ids.len())?;
            let mut parts = Vec::new();
            for start in (0..POSITIONS).step_by(chunk) {
                let ids = ids.narrow(1, start, chunk.min(POSITIONS - start))?;
                parts.push(model.logits(&model.forward(&ids, start, &mut cache)?)?);
            }

            let ours = Tensor::cat(&parts, 1)?.to_vec3()?;

            let worst = relative_error(&ours, &reference.logits);
            assert!(worst < BOUND_F32, "{name}, chunks of {chunk}: {worst}");
        }
    }
    Ok(())
}

#[test]
fn q8_0_stays_near_and_picks_the_same_tokens() -> Result<()> {
    let (mut model, reference) = (quantised()?, reference("kv1")?);
    let best = |row: &Vec<f32>| {
        let ids = row.iter().enumerate();
        ids.max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| id)
    };
    let top = |rows: &Rows| -> Vec<_> { rows.iter().flatten().map(best).collect() };
    let ours = run(&mut model, &reference.ids, POSITIONS, POSITIONS)?;

    let (worst, _) = distance(&ours, &reference.logits);
    let pairs = top(&ours).into_iter().zip(top(&reference.logits));
    let agreeing = pairs.filter(|(ours, theirs)| ours == theirs).count();

    let positions = reference.ids.len() * POSITIONS;
    println!("q8_0: largest error {worst:.3}; {agreeing} of {positions} have the same top token");
    assert!(worst < BOUND_Q8_0, "{worst}");
    assert!(
        agreeing * 100 >= positions * 98,
        "{agreeing} of {positions}"
    );
    Ok(())
}

#[test]
fn a_sequence_is_the_same_alone_in_company_and_in_any_pieces() -> Result<()> {
    let reference = reference("kv1")?;
    let mut threaded = Model::load(&mut plain()?, POSITIONS, 2)?;
    let right = run(&mut threaded, &reference.ids, POSITIONS, POSITIONS)?;
    assert!(run(&mut load(plain()?)?, &reference.ids, POSITIONS, POSITIONS)? == right);
    for mut model in [load(plain()?)?, quantised()?] {
        let together = run(&mut model, &reference.ids, POSITIONS, POSITIONS)?;
        for chunk in [1, 3, 7, WINDOW, 33] {
            assert!(
                run(&mut model, &reference.ids, POSITIONS, chunk)? == together,
                "{chunk}"
            );
            for (ids, rows) in reference.ids.iter().zip(&together) {
                let alone = run(&mut model, std::slice::from_ref(ids), POSITIONS, chunk)?;
                assert!(alone[0] == *rows, "chunks of {chunk}");
            }
        }
    }
    Ok(())
}

#[test]
fn more_positions_than_the_cache_holds_are_refused() -> Result<()> {
    let (mut model, reference) = (quantised()?, reference("kv1")?);
    let mut sequence = Sequence::default();
    let ids = &reference.ids[0];
    model.step(&mut [part(ids, &mut sequence, 0..POSITIONS)])?;

    let refused = model.step(&mut [part(ids, &mut sequence, 0..1)]);

    let (tokens, context) = (POSITIONS + 1, POSITIONS);
    assert_eq!(refused.err(), Some(Error::TooLong { tokens, context }));
    Ok(())
}
