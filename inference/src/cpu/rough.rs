//! When it pays to compute what logits are at most, and exactly only those that are in question.
//!
//! Reading half of the largest matrix is faster where a step waits for memory, that is with few tokens.
//! It is slower where many logits are in question: those of models with random weights are, all being
//! alike.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kernels::weights::{Form, Matrix};

/// Tokens whose logits are wanted, at most; with eight there is no difference.
const TOKENS_MAX: usize = 4;
/// The share of a token's logits that may have been in question, as a divisor: one costs about as much as
/// sixteen in the usual way, and the half of what is usual was saved.
const REFINED_SHARE: usize = 64;
/// Steps until it is tried again after too many were.
const STEPS_WITHOUT: usize = 64;

/// What has been learned of the answers that are written.
#[derive(Default)]
pub(crate) struct Rough {
    /// Was the last step?
    on: bool,
    /// Logits of it that were in question.
    refined: AtomicUsize,
    /// Steps to go until it is tried again.
    steps_without: usize,
}

impl Rough {
    /// Decides for a step with so many tokens whose logits are wanted.
    pub(crate) fn decide(&mut self, head: &Matrix, tokens: usize) -> bool {
        let refined = std::mem::take(self.refined.get_mut());
        if refined > head.rows / REFINED_SHARE {
            self.steps_without = STEPS_WITHOUT;
        }
        self.on = false;
        if matches!(head.form, Form::Planes(_)) && (1..=TOKENS_MAX).contains(&tokens) {
            self.on = self.steps_without == 0;
            self.steps_without = self.steps_without.saturating_sub(1);
        }
        self.on
    }

    /// Are the logits of the last step rough?
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Says that so many logits were in question.
    pub(crate) fn refined(&self, count: usize) {
        self.refined.fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::cpu::{Model, Part, Sequence};
    use crate::error::Result;
    use crate::network::Network;
    use crate::random::{Shape, write_gguf};
    use crate::sampler::{Sampler, Sampling};

    const SHAPE: Shape = Shape {
        vocabulary: 70_003,
        ..Shape::TINY
    };

    fn model() -> Result<Model> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("many.gguf");
        write_gguf(&path, &SHAPE, GgmlDType::Q8_0, 1)?;
        Model::load(&mut Checkpoint::open_gguf(&path)?, 512, 2)
    }

    fn samplings() -> [Sampling; 4] {
        let likely = Sampling {
            temperature: 0.7,
            top_p: Some(0.9),
            min_p: Some(0.5),
            repetition_penalty: 1.3,
            seed: 3,
            ..Sampling::default()
        };
        let few = Sampling {
            min_p: None,
            top_k: Some(5),
            ..likely.clone()
        };
        let never_twice = Sampling {
            repetition_penalty: 9.0,
            ..Sampling::default()
        };
        [Sampling::default(), never_twice, likely, few]
    }

    /// The tokens of answers that are written together, and of all steps whether they were rough.
    fn write(
        model: &mut Model,
        samplings: &[Sampling],
        tokens: usize,
    ) -> Result<(Vec<Vec<u32>>, Vec<bool>)> {
        let samplers = samplings.iter().cloned().map(Sampler::new);
        let mut answers: Vec<_> = samplers.map(|sampler| (sampler, vec![7])).collect();
        let mut sequences: Vec<_> = answers.iter().map(|_| Sequence::default()).collect();
        let mut rough = Vec::new();
        for _ in 0..tokens {
            let pairs = answers.iter().zip(&mut sequences);
            let mut parts: Vec<_> = pairs
                .map(|((_, ids), sequence)| Part {
                    ids: &ids[ids.len() - 1..],
                    sequence,
                    wanted: 1,
                })
                .collect();
            model.compute(&mut parts)?;
            rough.push(model.rough.is_on());
            let vocabulary = model.vocabulary();
            let mut rows: Vec<_> = answers.iter_mut().enumerate().collect();
            model.hand_out(&mut rows, |(row, (sampler, ids)), logits| {
                ids.extend(sampler.pick(logits(*row), vocabulary, None, &ids[1..]));
            });
        }
        for sequence in &mut sequences {
            model.end(sequence);
        }
        Ok((answers.into_iter().map(|(_, ids)| ids).collect(), rough))
    }

    #[test]
    fn answers_are_the_same_however_logits_are_computed() -> Result<()> {
        let mut model = model()?;
        let all = samplings();

        model.rough.steps_without = usize::MAX;
        let (right, rough) = write(&mut model, &all, 40)?;
        assert!(rough.iter().all(|rough| !rough));
        for (sampling, right) in all.iter().zip(&right).take(3) {
            model.rough.steps_without = 0;
            let (alone, rough) = write(&mut model, std::slice::from_ref(sampling), 40)?;
            assert!(rough.iter().all(|rough| *rough));
            assert_eq!(alone[0], *right);
        }
        model.rough.steps_without = 0;
        let (together, rough) = write(&mut model, &all, 40)?;

        assert_eq!(together, right);
        assert_eq!(right[1].len(), 41);
        // To know the five likeliest of all without a bound is to compute all.
        assert!(rough[0] && rough[1..].iter().all(|rough| !rough));
        Ok(())
    }

    #[test]
    fn whoever_wants_all_logits_gets_them_exactly() -> Result<()> {
        let mut model = model()?;
        let mut rows = Vec::new();
        for steps_without in [0, 1] {
            let (mut sequence, mut row) = (Sequence::default(), Vec::new());
            model.rough.steps_without = steps_without;
            let (ids, sequence) = (&[1, 2, 3], &mut sequence);
            let part = Part {
                ids,
                sequence,
                wanted: 1,
            };
            model.step(&mut [part])?.row(0).copy_to(&mut row);
            assert_eq!(model.rough.is_on(), steps_without == 0);
            rows.push(row);
        }

        assert_eq!(rows[0].len(), 70_003);
        assert!(rows[0] == rows[1]);
        Ok(())
    }

    #[test]
    fn it_is_tried_again_some_time_after_it_did_not_pay() -> Result<()> {
        let model = model()?;
        let (head, small) = (model.weights.head(), &model.weights.layers[0].up);
        let mut rough = Rough::default();
        assert!(rough.decide(head, 1) && rough.decide(head, TOKENS_MAX));
        assert!(!rough.decide(head, TOKENS_MAX + 1) && !rough.decide(head, 0));
        assert!(!rough.decide(small, 1));

        rough.refined(head.rows / REFINED_SHARE);
        assert!(rough.decide(head, 1));
        rough.refined(head.rows / REFINED_SHARE + 1);

        let decided = [(); STEPS_WITHOUT + 2].map(|()| rough.decide(head, 1));
        assert_eq!(decided.iter().filter(|rough| **rough).count(), 2);
        assert!(decided[STEPS_WITHOUT..].iter().all(|rough| *rough));
        Ok(())
    }
}
