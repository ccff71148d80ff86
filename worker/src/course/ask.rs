//! Asking the model for one part of a course, and once more when the answer does not pass.

use inference::{Error, Finish, Generation, Request};
use models::content::{Flag, Provenance};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    prompts::{Prompt, hex},
    sampling, seeds,
};
use crate::{error::JobError, model::Loaded};

/// An answer that has less room than this share of what it may need is not begun.
const ROOM_MIN: usize = 3;

/// The code of a part whose every answer was cut off or had another form.
pub(crate) const UNREADABLE: &str = "answer_unreadable";

/// The later of two answers as it is: for parts that make sense only as a whole.
pub(crate) fn later<T>(_best: Option<&T>, later: T) -> T {
    later
}

/// Everything that decides what the model answers.
#[derive(Debug)]
pub(crate) struct Part {
    /// Names the part within the course; its seed follows from the name.
    pub(crate) name: String,
    pub(crate) prompt: &'static Prompt,
    /// The prompt with its variables filled in.
    pub(crate) text: String,
    pub(crate) schema: Value,
    pub(crate) sampling: sampling::Setting,
    pub(crate) tokens_max: usize,
    /// How often it is asked for at most, each time with another seed.
    pub(crate) asks_max: u8,
    /// The seed of the course.
    pub(crate) seed: u64,
    /// How often the part was written over.
    pub(crate) round: i64,
}

/// The better of the answers to one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer<T> {
    pub(crate) draft: T,
    /// What the gates found in it; empty when it passed.
    pub(crate) flags: Vec<Flag>,
    pub(crate) provenance: Provenance,
    /// Tokens of all asks, those of answers that were thrown away included.
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
}

impl Part {
    /// Names everything that the answer follows from: a checkpoint with another digest is stale.
    pub(crate) fn digest(&self, model: &Loaded) -> String {
        let mut hash = Sha256::new();
        for field in [
            model.info().sha256.as_str(),
            &self.text,
            &self.schema.to_string(),
            &format!("{:?}", self.sampling),
            &format!(
                "{} {} {} {}",
                self.name, self.seed, self.round, self.tokens_max
            ),
        ] {
            hash.update(field.len().to_be_bytes());
            hash.update(field.as_bytes());
        }
        hex(&hash.finalize())
    }

    /// Asks, and asks again with another seed while a gate fails.
    ///
    /// `join` makes one answer of the best so far and a later one; the result replaces the best when
    /// the gates find less in it. What they still find goes to the author. When no answer could be
    /// read at all, it fails with [`UNREADABLE`].
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        model: &Loaded,
        cancel: &CancellationToken,
        join: impl Fn(Option<&T>, T) -> T + Send,
        gates: impl Fn(&T) -> Vec<Flag> + Send,
    ) -> Result<Answer<T>, JobError> {
        let mut best: Option<Answer<T>> = None;
        let (mut tokens_in, mut tokens_out) = (0, 0);
        for ask in 0..self.asks_max {
            let seed = seeds::of(self.seed, &self.name, self.round, ask);
            let generation = self.generate(model, cancel, seed).await?;
            tokens_in += count(generation.tokens_in);
            tokens_out += count(generation.tokens_out);
            let Some(draft) = self.read::<T>(&generation) else {
                continue;
            };
            let draft = join(best.as_ref().map(|best| &best.draft), draft);
            let flags = gates(&draft);
            let passed = flags.is_empty();
            if best
                .as_ref()
                .is_none_or(|best| flags.len() < best.flags.len())
            {
                let provenance = self.provenance(model, seed, &generation);
                best = Some(Answer {
                    draft,
                    flags,
                    provenance,
                    tokens_in: 0,
                    tokens_out: 0,
                });
            }
            if passed {
                break;
            }
        }
        let unreadable = || format!("no answer for {} could be read", self.name);
        let best = best.ok_or_else(|| JobError::fail(UNREADABLE, unreadable()))?;
        Ok(Answer {
            tokens_in,
            tokens_out,
            ..best
        })
    }

    /// One generation. How long the prompt is in tokens is known to the engine alone: when prompt and
    /// answer do not fit together, it says by how much before it does any work.
    async fn generate(
        &self,
        model: &Loaded,
        cancel: &CancellationToken,
        seed: u64,
    ) -> Result<Generation, JobError> {
        let request = |tokens_max| Request {
            prompt: self.text.clone(),
            schema: Some(self.schema.clone()),
            sampling: self.sampling.seeded(seed),
            tokens_max,
            urgent: model.urgent,
            cancel: cancel.clone(),
            on_token: None,
        };
        match model.generate(request(self.tokens_max)).await {
            Err(Error::TooLong { tokens, context }) => {
                let room = self
                    .tokens_max
                    .saturating_sub(tokens.saturating_sub(context));
                if room < self.tokens_max / ROOM_MIN {
                    return Err(JobError::fail(
                        "prompt_too_long",
                        format!("{}: {tokens} tokens do not fit into {context}", self.name),
                    ));
                }
                Ok(model.generate(request(room)).await?)
            }
            answer => Ok(answer?),
        }
    }

    /// The answer, unless it was cut off or does not have the form that was asked for.
    fn read<T: DeserializeOwned>(&self, generation: &Generation) -> Option<T> {
        if generation.finish == Finish::Length {
            debug!(part = %self.name, tokens = generation.tokens_out, "The answer was cut off");
            return None;
        }
        let draft = serde_json::from_str(&generation.text);
        draft
            .inspect_err(|error| debug!(part = %self.name, %error, "The answer has another form"))
            .ok()
    }

    fn provenance(&self, model: &Loaded, seed: u64, generation: &Generation) -> Provenance {
        let mut params = self.sampling.params();
        if let Some(reason) = &model.fallback {
            params.insert("fallback".to_owned(), reason.as_str().into());
        }
        Provenance {
            generator: "gemma".to_owned(),
            model_id: model.info().id.clone(),
            model_sha256: model.info().sha256.clone(),
            prompt_id: self.prompt.id.to_owned(),
            prompt_sha256: self.prompt.sha256(),
            seed,
            params,
            tokens_in: count(generation.tokens_in),
            tokens_out: count(generation.tokens_out),
        }
    }
}

fn count(tokens: usize) -> u64 {
    u64::try_from(tokens).unwrap_or(u64::MAX)
}
