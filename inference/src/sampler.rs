//! Picks the next token.

use toktrie::SimpleVob;

use crate::cpu::Row;
use crate::error::{Error, Result};
use crate::splitmix::SplitMix64;

/// How to pick the next token; the defaults are greedy.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token, 1 samples as the model was trained, more is wilder.
    pub temperature: f32,
    /// Only the so many likeliest tokens.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability (0 to 1).
    pub top_p: Option<f32>,
    /// Only tokens at least this likely compared to the likeliest (0 to 1).
    pub min_p: Option<f32>,
    /// Above 1 makes recent tokens of the answer less likely; 1 does nothing.
    pub repetition_penalty: f32,
    /// How many tokens of the answer count as recent; the prompt never does, since an answer has
    /// to be free to name what it was asked about.
    pub repetition_window: usize,
    /// The same seed gives the same answer.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: 0,
        }
    }
}

/// Sorting fewer candidates than this is cheap, and they nearly always hold enough probability.
const SORTED_FIRST: usize = 512;
/// Tokens that are looked at together: as many as a word of a mask has bits.
const TOGETHER: usize = 32;
/// Unlikely tokens are left out before their exact weights are known, those beyond this doubt.
const DOUBT: f32 = 0.01;

/// The state of picking tokens for one answer.
pub(crate) struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy)]
struct Candidate {
    id: u32,
    /// A logit at first, a weight relative to the likeliest later.
    score: f32,
}

impl Candidate {
    /// The likelier first; a total order, so that equal seeds see equal lists.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "sorting compares by reference"
    )]
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then(self.id.cmp(&other.id))
    }
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        let random = SplitMix64(sampling.seed);
        Self {
            sampling,
            random,
            logits: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Picks among the allowed ones of so many tokens (all, if there is no mask); `answer` is what was
    /// picked so far.
    pub(crate) fn pick(
        &mut self,
        logits: Row<'_>,
        tokens: usize,
        allowed: Option<&SimpleVob>,
        answer: &[u32],
    ) -> Result<u32> {
        logits.copy_bounds_to(&mut self.logits);
        self.logits.truncate(tokens);
        self.penalise(answer);
        if let Some(allowed) = allowed {
            forbid(&mut self.logits, allowed.as_slice());
        }
        let mut best = largest(&self.logits);
        if best.is_finite() && logits.is_rough() {
            // The best has at least what the one has that promises most.
            self.gather(best);
            best = self.refine(logits, answer);
            self.gather(self.floor(best));
            best = self.refine(logits, answer);
        } else {
            self.gather(self.floor(best));
        }
        if !best.is_finite() {
            return Err(Error::Engine("no token has a finite logit".into()));
        }
        let first = self.candidates.iter().find(|found| found.score >= best);
        let first = first.map_or(0, |found| found.id);
        if self.sampling.temperature <= 0.0 {
            return Ok(first);
        }
        self.weigh(best);
        self.cut();
        Ok(self.draw().unwrap_or(first))
    }

    /// Makes the scores of the candidates exact, drops those that are out of the question now, and
    /// returns the best.
    fn refine(&mut self, logits: Row<'_>, answer: &[u32]) -> f32 {
        logits.refine(&mut self.candidates, |candidate| {
            (candidate.id, &mut candidate.score)
        });
        let recent = self.sampling.recent(answer);
        let penalty = self.sampling.repetition_penalty;
        for candidate in &mut self.candidates {
            if recent.contains(&candidate.id) {
                candidate.score = penalised(candidate.score, penalty);
            }
        }
        let scores = self.candidates.iter().map(|candidate| candidate.score);
        let best = scores.fold(f32::NEG_INFINITY, larger);
        let floor = self.floor(best);
        self.candidates.retain(|candidate| candidate.score >= floor);
        best
    }

    fn penalise(&mut self, answer: &[u32]) {
        let recent = self.sampling.recent(answer);
        for (index, id) in recent.iter().enumerate() {
            let seen = recent[..index].contains(id);
            if let Some(logit) = self.logits.get_mut(*id as usize).filter(|_| !seen) {
                *logit = penalised(*logit, self.sampling.repetition_penalty);
            }
        }
    }

    /// Tokens with smaller logits are out of the question beside this one.
    fn floor(&self, best: f32) -> f32 {
        let temperature = self.sampling.temperature.max(0.0);
        match self.sampling.min_p {
            Some(least) if least > 0.0 => best + temperature * (least.ln() - DOUBT),
            _ if temperature > 0.0 => f32::MIN,
            _ => best,
        }
    }

    /// Collects the tokens that have at least so much, in the order of their ids.
    fn gather(&mut self, floor: f32) {
        let candidates = &mut self.candidates;
        candidates.clear();
        for (first, scores) in (0u32..).step_by(TOGETHER).zip(self.logits.chunks(TOGETHER)) {
            // Most parts have nobody in question, which vectors find out fast.
            if scores.iter().filter(|score| **score >= floor).count() == 0 {
                continue;
            }
            let scored = (first..).zip(scores.iter().copied());
            let scored = scored.map(|(id, score)| Candidate { id, score });
            candidates.extend(scored.filter(|candidate| candidate.score >= floor));
        }
    }

    /// Logits to weights; the likeliest weighs 1, so `min_p` is a plain comparison.
    fn weigh(&mut self, best: f32) {
        let temperature = self.sampling.temperature;
        let least = self.sampling.min_p.unwrap_or(0.0);
        self.candidates.retain_mut(|candidate| {
            candidate.score = ((candidate.score - best) / temperature).exp();
            candidate.score >= least
        });
    }

    fn cut(&mut self) {
        if let Some(count) = self.sampling.top_k.filter(|count| *count > 0) {
            keep_likeliest(&mut self.candidates, count);
        }
        let Some(share) = self.sampling.top_p.filter(|share| *share < 1.0) else {
            return;
        };
        let goal = total(&self.candidates) * f64::from(share.max(0.0));
        // The whole vocabulary is sorted only when its first part is not likely enough.
        let mut first = self.candidates.clone();
        keep_likeliest(&mut first, SORTED_FIRST);
        if total(&first) >= goal {
            self.candidates = first;
        }
        self.candidates.sort_unstable_by(Candidate::order);
        let mut sum = 0.0;
        let enough = self.candidates.iter().position(|candidate| {
            sum += f64::from(candidate.score);
            sum >= goal
        });
        self.candidates
            .truncate(enough.map_or(usize::MAX, |last| last + 1));
    }

    fn draw(&mut self) -> Option<u32> {
        let mut left = self.random.unit() * total(&self.candidates);
        let chosen = self.candidates.iter().find(|candidate| {
            left -= f64::from(candidate.score);
            left < 0.0
        });
        chosen
            .or(self.candidates.last())
            .map(|candidate| candidate.id)
    }
}

impl Sampling {
    /// The tokens of an answer that count as recent.
    fn recent<'a>(&self, answer: &'a [u32]) -> &'a [u32] {
        &answer[answer.len().saturating_sub(self.repetition_window)..]
    }
}

/// What a logit becomes when its token is repeated; the larger ones stay the larger ones.
fn penalised(logit: f32, penalty: f32) -> f32 {
    if logit > 0.0 {
        logit / penalty
    } else {
        logit * penalty
    }
}

/// Makes all tokens impossible whose bit is not set.
fn forbid(logits: &mut [f32], allowed: &[u32]) {
    let beyond = logits.len().min(allowed.len() * TOGETHER);
    logits[beyond..].fill(f32::NEG_INFINITY);
    for (scores, bits) in logits.chunks_mut(TOGETHER).zip(allowed) {
        match *bits {
            u32::MAX => {}
            0 => scores.fill(f32::NEG_INFINITY),
            bits => {
                for (place, score) in scores.iter_mut().enumerate() {
                    if bits >> place & 1 == 0 {
                        *score = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The largest number; what is not a number does not count.
fn largest(logits: &[f32]) -> f32 {
    let (parts, rest) = logits.as_chunks::<TOGETHER>();
    let mut lanes = [f32::NEG_INFINITY; TOGETHER];
    for part in parts {
        for (lane, score) in lanes.iter_mut().zip(part) {
            *lane = larger(*lane, *score);
        }
    }
    let all = lanes.iter().chain(rest).copied();
    all.fold(f32::NEG_INFINITY, larger)
}

fn keep_likeliest(candidates: &mut Vec<Candidate>, count: usize) {
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, Candidate::order);
        candidates.truncate(count);
    }
}

fn total(candidates: &[Candidate]) -> f64 {
    candidates
        .iter()
        .map(|candidate| f64::from(candidate.score))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(
        sampler: &mut Sampler,
        logits: &[f32],
        allowed: Option<&SimpleVob>,
        answer: &[u32],
    ) -> Result<u32> {
        let mut eights = logits.to_vec();
        eights.resize(logits.len().next_multiple_of(8), 0.0);
        let row = Row::alone(&eights, logits.len());
        sampler.pick(row, logits.len(), allowed, answer)
    }

    fn counts(sampling: &Sampling, logits: &[f32], draws: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(sampling.clone());
        let mut counts = vec![0; logits.len()];
        for _ in 0..draws {
            let id = pick(&mut sampler, logits, None, &[]).expect("finite logits");
            counts[id as usize] += 1;
        }
        counts
    }

    fn at(temperature: f32) -> Sampling {
        Sampling {
            temperature,
            ..Sampling::default()
        }
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        assert_eq!(counts(&at(0.0), &[1.0, 3.0, 2.0], 5), [0, 5, 0]);
    }

    #[test]
    fn temperature_one_samples_by_probability() {
        let counts = counts(&at(1.0), &[0.0, 3f32.ln()], 4000);

        assert!((2900..3100).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn the_cuts_leave_what_they_promise() {
        let logits: Vec<f32> = [0.5f32, 0.25, 0.15, 0.1].map(f32::ln).to_vec();
        let kept = |sampling| {
            counts(&sampling, &logits, 500)
                .iter()
                .filter(|n| **n > 0)
                .count()
        };

        assert_eq!(
            kept(Sampling {
                top_k: Some(2),
                ..at(1.0)
            }),
            2
        );
        assert_eq!(
            kept(Sampling {
                top_p: Some(0.8),
                ..at(1.0)
            }),
            3
        );
        assert_eq!(
            kept(Sampling {
                min_p: Some(0.4),
                ..at(1.0)
            }),
            2
        );
        assert_eq!(kept(at(1.0)), 4);
    }

    #[test]
    fn top_p_over_a_flat_large_vocabulary_keeps_its_share() {
        let logits = vec![0f32; 4000];
        let sampling = Sampling {
            top_p: Some(0.5),
            ..at(1.0)
        };

        let counts = counts(&sampling, &logits, 4000);

        assert!(counts[2001..].iter().all(|count| *count == 0));
        assert!(counts[1000..2000].iter().any(|count| *count > 0));
    }

    #[test]
    fn a_repeated_token_gets_less_likely() {
        let sampling = Sampling {
            repetition_penalty: 2.0,
            ..at(0.0)
        };
        let mut sampler = Sampler::new(sampling);

        let id = pick(&mut sampler, &[2.0, 1.5], None, &[0, 0]).expect("finite logits");

        assert_eq!(id, 1);
    }

    #[test]
    fn a_mask_is_obeyed_and_no_finite_logit_is_an_error() {
        let mut allowed = SimpleVob::alloc(3);
        allowed.allow_token(2);
        let mut sampler = Sampler::new(at(1.0));

        let id = pick(&mut sampler, &[9.0, 9.0, 0.0], Some(&allowed), &[]);

        assert_eq!(id, Ok(2));
        assert!(pick(&mut sampler, &[f32::NAN; 3], None, &[]).is_err());
    }
}
