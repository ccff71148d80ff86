//! Tokens whose signature was proven: clients send the same one with every request, and to prove it
//! each time costs between a quarter and two fifths of the polls that a second has room for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};

use crate::access::Claims;

/// Tokens that are remembered at most; then all are forgotten, which costs a proof each.
const TOKENS_MAX: usize = 10_000;

/// What tokens say, by their digests. Whether their time is now is looked at each time.
#[derive(Clone, Default)]
pub(crate) struct Proven(Arc<Mutex<HashMap<[u8; 32], Claims>>>);

impl Proven {
    /// What a token says; `prove` is asked when it was not proven before.
    pub(crate) fn claims(
        &self,
        token: &str,
        prove: impl FnOnce(&str) -> Option<Claims>,
    ) -> Option<Claims> {
        let digest = Sha256::digest(token).into();
        if let Some(claims) = self.tokens().get(&digest) {
            return Some(claims.clone());
        }
        let claims = prove(token)?;
        let mut tokens = self.tokens();
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(digest, claims.clone());
        Some(claims)
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<[u8; 32], Claims>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use models::{OwnerId, SessionId};

    use super::*;
    use crate::access::{LIFETIME, SigningKeys};

    #[test]
    fn a_token_is_proven_once_and_no_other_with_it() {
        let (keys, now) = (SigningKeys::ephemeral(), DateTime::UNIX_EPOCH);
        let token = keys.sign(OwnerId::new(), SessionId::new(), 1, now, LIFETIME);
        let said = keys.read(&token, now).ok();
        let proven = Proven::default();

        assert_eq!(proven.claims("one", |_| None), None);
        assert_eq!(proven.claims("one", |_| said.clone()), said);
        assert_eq!(proven.claims("one", |_| None), said, "it is remembered");
        assert_eq!(proven.claims("other", |_| None), None);

        for number in 0..=TOKENS_MAX {
            proven.claims(&number.to_string(), |_| said.clone());
        }
        assert!(proven.tokens().len() <= TOKENS_MAX);
    }
}
