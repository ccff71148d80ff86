//! What rounding activations and the cache to fewer bits costs, on a text.

use super::{Model, Part, Sequence};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::network::Network;
use crate::weights::Weights;

const TEXT: &str = include_str!("../../tests/reference/lesson.txt");
const POSITIONS: usize = 1024;

/// The logits after every token of the text.
fn logits(mut checkpoint: Checkpoint, ids: &[u32]) -> Result<Vec<Vec<f32>>> {
    let mut model = Model::load(&mut checkpoint, POSITIONS, 2)?;
    let mut sequence = Sequence::default();
    let (wanted, sequence) = (ids.len(), &mut sequence);
    model.step(&mut [Part {
        ids,
        sequence,
        wanted,
    }])?;
    let mut rows: Vec<_> = (0..ids.len()).map(|row| (row, Vec::new())).collect();
    model.hand_out(&mut rows, |(row, out), logits| logits(*row).copy_to(out));
    Ok(rows.into_iter().map(|(_, out)| out).collect())
}

/// What the text's own tokens cost on average, as a power of e.
fn perplexity(rows: &[Vec<f32>], ids: &[u32]) -> f64 {
    let costs = rows.iter().zip(&ids[1..]).map(|(row, next)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|x| f64::from(x - largest).exp()).sum();
        sum.ln() - f64::from(row[*next as usize] - largest)
    });
    let count = f64::from(u32::try_from(ids.len() - 1).unwrap_or(u32::MAX));
    (costs.sum::<f64>() / count).exp()
}

fn best(row: &[f32]) -> Option<usize> {
    let scored = row.iter().enumerate();
    scored.max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| id)
}

#[test]
fn fewer_bits_hardly_change_what_a_text_costs() -> Result<()> {
    let weights = Weights::starter();
    let tokenizer = weights.tokenizer(&weights.open()?)?;
    let ids = tokenizer.encode(TEXT)?;
    assert!((300..POSITIONS).contains(&ids.len()), "{}", ids.len());
    let mut exact = weights.open()?;
    exact.expand();

    let (ours, exact) = (logits(weights.open()?, &ids)?, logits(exact, &ids)?);

    let alike = ours
        .iter()
        .zip(&exact)
        .filter(|(a, b)| best(a) == best(b))
        .count();
    let (ours, exact) = (perplexity(&ours, &ids), perplexity(&exact, &ids));
    let count = ids.len();
    println!("perplexity {ours:.4}, exactly {exact:.4}; {alike} of {count} likeliest tokens alike");
    assert!((ours / exact - 1.0).abs() < 0.005, "{ours} {exact}");
    assert!(alike * 100 >= count * 98, "{alike} of {count}");
    Ok(())
}
