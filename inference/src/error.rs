//! What can go wrong, as far as a caller can act on it.

/// Every way in which this crate fails; one variant per thing that a caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The weights cannot be had now: missing, gated, unreachable. Follow the advice or try later.
    #[error("the model is unavailable: {reason}; {advice}")]
    Unavailable {
        /// What happened, with the name of the file or repository.
        reason: String,
        /// What a person can do about it.
        advice: String,
    },
    /// The weights are there but damaged or of a kind that cannot be run.
    #[error("the model is corrupt: {reason}; {advice}")]
    Corrupt {
        /// What does not fit, with the name of the file or tensor.
        reason: String,
        /// What a person can do about it.
        advice: String,
    },
    /// The prompt and the tokens asked for do not fit into the context of the model.
    #[error("{tokens} tokens do not fit into a context of {context}")]
    TooLong {
        /// Tokens of the prompt with its template, plus `tokens_max`.
        tokens: usize,
        /// Tokens that the engine holds for one request.
        context: usize,
    },
    /// The request was cancelled; nothing of it is kept.
    #[error("cancelled")]
    Cancelled,
    /// The JSON schema cannot be turned into a grammar; the same schema will fail again.
    #[error("the schema cannot be used: {0}")]
    Schema(String),
    /// Too many requests wait already; try again later.
    #[error("too many requests wait for the model")]
    Overloaded,
    /// Something broke while computing; trying again may help.
    #[error("the engine failed: {0}")]
    Engine(String),
}

/// The result of everything public in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

const ADVICE_CORRUPT: &str = "remove the file and fetch it again, or choose another model";

impl Error {
    /// A damaged or unsupported file, with the advice that fits most of them.
    pub(crate) fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt {
            reason: reason.into(),
            advice: ADVICE_CORRUPT.into(),
        }
    }

    pub(crate) fn unavailable(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Unavailable {
            reason: reason.into(),
            advice: advice.into(),
        }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Engine(error.to_string())
    }
}
