//! Holds an answer to a JSON schema while it is decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use toktrie::{InferenceCapabilities, SimpleVob, TokEnv};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Schemas whose grammars are kept: the parts of a course have a few, asked for again and again.
const KEPT_MAX: usize = 16;
/// Answers until a lexer is made anew, so that what it knows does not grow for ever.
const ANSWERS_MAX: u32 = 64;

/// Makes grammars; costs seconds for a large vocabulary, so there is one per engine.
pub(crate) struct Grammars {
    factory: Arc<ParserFactory>,
    /// Threads that ask grammars.
    threads: usize,
    /// The latest last.
    kept: Vec<Kept>,
}

/// A grammar at its beginning.
struct Kept {
    schema: Value,
    matcher: Matcher,
    lexers: Vec<Lexer>,
}

/// Its words as far as answers came upon them, to which they add. One thread asks it at a time, others
/// would wait.
struct Lexer {
    /// At the beginning; its clones learn and know the same words.
    matcher: Matcher,
    /// Held by the answers that have it.
    users: Arc<Users>,
    answers: u32,
}

/// What answers with one lexer have in common.
#[derive(Default)]
struct Users {
    /// It failed one of them, and may fail others.
    spoilt: AtomicBool,
}

/// The place in a grammar that one answer has reached.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Grammar {
    matcher: Matcher,
    users: Arc<Users>,
}

impl Grammars {
    pub(crate) fn new(tokenizer: &Arc<Tokenizer>) -> Result<Self> {
        let environment: TokEnv = tokenizer.clone();
        let capabilities = InferenceCapabilities {
            ff_tokens: true,
            ..Default::default()
        };
        let slices = SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(&environment, capabilities, &slices)
            .map_err(|error| Error::Engine(error.to_string()))?;
        factory.quiet();
        Ok(Self {
            factory: Arc::new(factory),
            threads: 1,
            kept: Vec::new(),
        })
    }

    /// Others of the same tokens, for as many threads.
    pub(crate) fn twin(&self, threads: usize) -> Self {
        Self {
            factory: self.factory.clone(),
            threads,
            kept: Vec::new(),
        }
    }

    /// A grammar at its beginning. JSON comes out compact, properties in the schema's order.
    pub(crate) fn compile(&mut self, schema: &Value) -> Result<Grammar> {
        let place = self.kept.iter().position(|kept| kept.schema == *schema);
        let mut kept = match place {
            Some(place) => self.kept.remove(place),
            None => Kept {
                schema: schema.clone(),
                matcher: self.matcher(schema)?,
                lexers: Vec::new(),
            },
        };
        let grammar = kept.begin(self.threads);
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(kept);
        Ok(grammar)
    }

    fn matcher(&self, schema: &Value) -> Result<Matcher> {
        let Value::Object(mut schema) = schema.clone() else {
            return Err(Error::Schema("a schema is an object".into()));
        };
        // Left to itself the model may write spaces without end.
        let compact = json!({
            "whitespace_flexible": false, "item_separator": ",", "key_separator": ":"
        });
        schema.insert("x-guidance".into(), compact);
        let grammar = TopLevelGrammar::from_json_schema(Value::Object(schema));
        let matcher = Matcher::new(self.factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(Error::Schema(error)),
            None => Ok(matcher),
        }
    }
}

impl Kept {
    /// The grammar with the lexer that fewest answers have, of one for every thread.
    fn begin(&mut self, threads: usize) -> Grammar {
        let spoilt = |lexer: &Lexer| lexer.users.spoilt.load(Ordering::Relaxed);
        self.lexers
            .retain(|lexer| lexer.answers < ANSWERS_MAX && !spoilt(lexer));
        let users = |lexer: &Lexer| Arc::strong_count(&lexer.users) - 1;
        let least = self.lexers.iter().map(users).min();
        if least != Some(0) && self.lexers.len() < threads {
            self.lexers.push(Lexer {
                matcher: self.matcher.deep_clone(),
                users: Arc::default(),
                answers: 0,
            });
        }
        self.lexers.sort_by_key(users);
        let lexer = &mut self.lexers[0];
        lexer.answers += 1;
        Grammar {
            matcher: lexer.matcher.clone(),
            users: lexer.users.clone(),
        }
    }
}

impl Grammar {
    /// Do both have one lexer?
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.users, &other.users)
    }

    /// Takes the tokens that have to come next whatever the model thinks; often there are none.
    pub(crate) fn take_forced(&mut self) -> Result<Vec<u32>> {
        let forced = self.matcher.consume_ff_tokens();
        self.checked(forced)
    }

    /// The tokens that may come next; at least one.
    pub(crate) fn allowed(&mut self) -> Result<SimpleVob> {
        let allowed = self.matcher.compute_mask_or_eos();
        allowed.map_err(|error| self.failed(&error))
    }

    /// Takes a token that was allowed.
    pub(crate) fn accept(&mut self, id: u32) -> Result<()> {
        let accepted = self.matcher.consume_token(id);
        accepted.map_err(|error| self.failed(&error))
    }

    /// Takes a token if it is allowed, which is found out faster than all that are; says whether it was.
    pub(crate) fn try_accept(&mut self, id: u32) -> Result<bool> {
        let taken = self.matcher.try_consume_tokens(&[id]);
        taken
            .map(|count| count == 1)
            .map_err(|error| self.failed(&error))
    }

    /// Is the answer complete?
    pub(crate) fn is_complete(&self) -> bool {
        let reason = self.matcher.stop_reason();
        let ends = [
            StopReason::NoExtension,
            StopReason::NoExtensionBias,
            StopReason::EndOfSentence,
        ];
        ends.contains(&reason)
    }

    fn checked<T>(&self, value: T) -> Result<T> {
        match self.matcher.get_error() {
            Some(error) => Err(self.failed(&error)),
            None => Ok(value),
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Error {
        self.users.spoilt.store(true, Ordering::Relaxed);
        Error::Engine(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Weights;

    fn grammars(threads: usize) -> Result<Grammars> {
        let weights = Weights::starter();
        let tokenizer = Arc::new(weights.tokenizer(&weights.open()?)?);
        Ok(Grammars::new(&tokenizer)?.twin(threads))
    }

    fn schema() -> Value {
        json!({"type": "string", "maxLength": 20})
    }

    #[test]
    fn a_token_is_taken_if_it_is_among_the_allowed_ones() -> Result<()> {
        let object = json!({"type": "object", "additionalProperties": false,
            "required": ["name", "size"],
            "properties": {"name": {"type": "string", "maxLength": 6}, "size": {"type": "integer"}}});
        // After a number that stands alone, the answer may go on or end.
        for (schema, tokens_min) in [(object, 6), (json!({"type": "integer"}), 2)] {
            let mut grammar = grammars(1)?.compile(&schema)?;
            grammar.take_forced()?;
            let (mut random, mut tokens) = (crate::splitmix::SplitMix64(7), 0);
            while !grammar.is_complete() && tokens < 40 {
                let allowed = grammar.allowed()?;
                for id in 0..4096 {
                    let taken = grammar.clone().try_accept(id)?;
                    assert_eq!(taken, allowed.is_allowed(id), "{tokens}: {id}");
                }
                let ids: Vec<u32> = (0..4096).filter(|id| allowed.is_allowed(*id)).collect();
                #[expect(clippy::cast_possible_truncation, reason = "few")]
                let next = ids[random.next() as usize % ids.len()];
                grammar.accept(next)?;
                grammar.take_forced()?;
                tokens += 1;
            }
            assert!(tokens >= tokens_min, "{tokens}");
        }
        Ok(())
    }

    #[test]
    fn every_thread_has_a_lexer_and_answers_have_that_with_fewest() -> Result<()> {
        let mut grammars = grammars(2)?;
        let mut begin = || grammars.compile(&schema());

        let answers = [begin()?, begin()?, begin()?];
        let shares = |a: usize, b: usize| answers[a].shares_with(&answers[b]);
        assert!(!shares(0, 1) && (shares(0, 2) ^ shares(1, 2)));
        let [first, second, _] = answers;
        drop(second);
        let next = begin()?;
        assert!(!next.shares_with(&first));

        let other = grammars.compile(&json!({"type": "integer"}))?;
        assert!(!other.shares_with(&first) && !other.shares_with(&next));
        Ok(())
    }

    #[test]
    fn a_lexer_that_failed_or_knows_much_is_replaced() -> Result<()> {
        let mut grammars = grammars(1)?;
        let mut begin = || grammars.compile(&schema());
        let first = begin()?;
        for _ in 1..ANSWERS_MAX {
            assert!(begin()?.shares_with(&first));
        }
        let mut second = begin()?;
        assert!(!second.shares_with(&first));

        let allowed = second.allowed()?;
        let never = (0..4096).find(|id| !allowed.is_allowed(*id)).unwrap_or(0);
        assert!(second.accept(never).is_err());

        let third = begin()?;
        assert!(!third.shares_with(&second));
        Ok(())
    }
}
