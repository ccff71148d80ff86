//! Gemma 3 on candle: a model is a function from a prompt to tokens.
