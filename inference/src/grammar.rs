//! Holds an answer to a JSON schema while it is decoded.

use std::sync::Arc;

use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use toktrie::{InferenceCapabilities, SimpleVob, TokEnv};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Schemas whose grammars are kept: the parts of a course have a few, asked for again and again.
const KEPT_MAX: usize = 16;

/// Makes grammars; costs seconds for a large vocabulary, so there is one per engine.
pub(crate) struct Grammars {
    factory: ParserFactory,
    /// Grammars at their beginning, the latest last.
    kept: Vec<(Value, Matcher)>,
}

/// The place in a grammar that one answer has reached.
pub(crate) struct Grammar {
    matcher: Matcher,
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
            factory,
            kept: Vec::new(),
        })
    }

    /// A grammar at its beginning. JSON comes out compact, properties in the schema's order.
    pub(crate) fn compile(&mut self, schema: &Value) -> Result<Grammar> {
        let place = self.kept.iter().position(|(kept, _)| kept == schema);
        let kept = match place {
            Some(place) => self.kept.remove(place),
            None => (schema.clone(), self.matcher(schema)?),
        };
        // Answers are written at the same time, so none shares what another one learns.
        let matcher = kept.1.deep_clone();
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(kept);
        Ok(Grammar { matcher })
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

impl Grammar {
    /// Takes the tokens that have to come next whatever the model thinks; often there are none.
    pub(crate) fn take_forced(&mut self) -> Result<Vec<u32>> {
        let forced = self.matcher.consume_ff_tokens();
        self.checked(forced)
    }

    /// The tokens that may come next; at least one.
    pub(crate) fn allowed(&mut self) -> Result<SimpleVob> {
        self.matcher
            .compute_mask_or_eos()
            .map_err(|error| Error::Engine(error.to_string()))
    }

    /// Takes a token that was allowed.
    pub(crate) fn accept(&mut self, id: u32) -> Result<()> {
        self.matcher
            .consume_token(id)
            .map_err(|error| Error::Engine(error.to_string()))
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
            Some(error) => Err(Error::Engine(error)),
            None => Ok(value),
        }
    }
}
