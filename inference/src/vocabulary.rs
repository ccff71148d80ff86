//! The tokens of a SentencePiece vocabulary and how they are put together.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::Replace;
use tokenizers::{AddedToken, NormalizerWrapper};
use toktrie::TokTrie;

use crate::tokenizer::{END_OF_TURN, START_OF_TURN};

/// How SentencePiece writes a space.
const SPACE: char = '▁';

/// What a token is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    /// Never written by a user and never part of an answer.
    Control,
    /// Taken as it stands, before the text is split further.
    UserDefined,
    Byte(u8),
}

/// One token.
pub(crate) struct Entry {
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

impl Kind {
    pub(crate) fn of_gguf(kind: i32, text: &str) -> Self {
        // Some files call the marks of a turn normal; letting users write them would be an opening.
        if text == START_OF_TURN || text == END_OF_TURN {
            return Self::Control;
        }
        match kind {
            2 | 3 => Self::Control,
            4 => Self::UserDefined,
            6 => byte_of(text).map_or(Self::Normal, Self::Byte),
            _ => Self::Normal,
        }
    }
}

impl Entry {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self.kind {
            Kind::Byte(byte) => vec![byte],
            Kind::Control => {
                let mut bytes = vec![TokTrie::SPECIAL_TOKEN_MARKER];
                bytes.extend_from_slice(self.text.as_bytes());
                bytes
            }
            Kind::Normal | Kind::UserDefined => self.text.replace(SPACE, " ").into_bytes(),
        }
    }
}

/// `<0x0A>` is the byte 10.
pub(crate) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16)
        .ok()
        .filter(|_| digits.len() == 2)
}

pub(crate) fn byte_pairs(
    entries: &[Entry],
    score: impl Fn(usize) -> f32,
    unknown: Option<String>,
) -> Result<tokenizers::Tokenizer, String> {
    let mut vocabulary = HashMap::with_capacity(entries.len());
    for (id, entry) in (0u32..).zip(entries) {
        vocabulary.entry(entry.text.clone()).or_insert(id);
    }
    let merges = merges(entries, &vocabulary, score);
    let mut builder = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
        .byte_fallback(true)
        .fuse_unk(true);
    if let Some(unknown) = unknown {
        builder = builder.unk_token(unknown);
    }
    let build = || -> tokenizers::Result<_> {
        let mut bpe = tokenizers::Tokenizer::new(builder.build()?);
        let spaces = NormalizerWrapper::Replace(Replace::new(" ", SPACE.to_string())?);
        bpe.with_normalizer(Some(spaces))?;
        let added = |kind: Kind, special| {
            let of_kind = entries.iter().filter(move |entry| entry.kind == kind);
            let token = move |entry: &Entry| AddedToken::from(entry.text.clone(), special);
            of_kind
                .map(move |entry| token(entry).normalized(false))
                .collect::<Vec<_>>()
        };
        bpe.add_special_tokens(added(Kind::Control, true))?;
        bpe.add_tokens(added(Kind::UserDefined, false))?;
        Ok(bpe)
    };
    build().map_err(|error| error.to_string())
}

/// A GGUF keeps no merges. Every way of making a token out of two others is one, and those of
/// tokens with a higher score come first; this is how transformers converts such a vocabulary.
fn merges(
    entries: &[Entry],
    vocabulary: &HashMap<String, u32>,
    score: impl Fn(usize) -> f32,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (id, entry) in entries.iter().enumerate() {
        // Nobody can be allowed to spell a control token or a byte out of its parts.
        if !matches!(entry.kind, Kind::Normal | Kind::UserDefined) {
            continue;
        }
        for (split, _) in entry.text.char_indices().skip(1) {
            let (left, right) = entry.text.split_at(split);
            if let (Some(left), Some(right)) = (vocabulary.get(left), vocabulary.get(right)) {
                found.push((score(id), *left, *right));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let text = |id: u32| entries[id as usize].text.clone();
    found
        .into_iter()
        .map(|(_, left, right)| (text(left), text(right)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_of_better_tokens_come_first() {
        let entry = |text: &str| Entry {
            text: text.into(),
            kind: Kind::Normal,
        };
        let entries = ["a", "b", "c", "ab", "bc", "abc"].map(entry);
        let ids = (0u32..)
            .zip(&entries)
            .map(|(id, entry)| (entry.text.clone(), id))
            .collect();

        let merges = merges(&entries, &ids, |id| if id == 4 { -1.0 } else { -2.0 });

        let pairs: Vec<_> = merges
            .iter()
            .map(|(l, r)| (l.as_str(), r.as_str()))
            .collect();
        assert_eq!(pairs, [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")]);
    }
}
