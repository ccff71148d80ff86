//! Passwords: how strong they must be, and how they are kept.
//!
//! These functions compute for tens of milliseconds: call them where nobody else waits.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use zxcvbn::Score;

use crate::error::{Error, Result};

/// What one hash costs, as OWASP advises for argon2id: memory in KiB, passes, lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// How such a hash begins; others are replaced when their owner signs in.
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// Random bytes beside each password.
const SALT_BYTES: usize = 16;
/// The shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// The longest password, in bytes: more adds nothing but work.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Bytes of a password that its strength is estimated from.
const ESTIMATED_BYTES_MAX: usize = 72;

/// Refuses a password that is too short, too long, or soon guessed by somebody who knows the words
/// of `about`: the name and the address of its owner. The pointer is `/password`.
pub fn check(password: &str, about: &[&str]) -> Result<()> {
    let invalid = |reason: &str| Err(Error::invalid("/password", reason));
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return invalid("must have at least 10 characters");
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return invalid("must be at most 256 bytes");
    }
    let mut end = password.len().min(ESTIMATED_BYTES_MAX);
    while !password.is_char_boundary(end) {
        end -= 1;
    }
    let words: Vec<&str> = about
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| word.len() > 2)
        .collect();
    if zxcvbn::zxcvbn(&password[..end], &words).score() < Score::Three {
        return invalid("is too easy to guess: use more words, or words that belong together less");
    }
    Ok(())
}

/// The form in which a password is kept: a PHC string of argon2id.
pub fn hash(password: &str) -> Result<String> {
    let salt: [u8; SALT_BYTES] = rand::random();
    let hash = hasher()?.hash_password_with_salt(password.as_bytes(), &salt);
    Ok(hash
        .map_err(|error| Error::broken(format!("a password cannot be hashed: {error}")))?
        .to_string())
}

/// Whether a password is the one that was kept. Hashes of argon2id and of bcrypt are understood.
///
/// Without a hash it takes as long and answers no, so that time does not tell who has an account. An imported hash
/// of bcrypt takes as long as bcrypt does: until its owner signs in, which replaces it, a wrong password tells by
/// its time that there is such an account. Nothing here can cost the same for every cost that was chosen elsewhere;
/// whoever imports accounts and minds has their owners choose new passwords instead.
pub fn verify(password: &str, kept: Option<&str>) -> bool {
    let Some(kept) = kept else {
        drop(hash(password));
        return false;
    };
    if kept.starts_with("$2") {
        return bcrypt::verify(password, kept).unwrap_or(false);
    }
    hasher().is_ok_and(|hasher| hasher.verify_password(password.as_bytes(), kept).is_ok())
}

/// Whether a hash is of another kind, or of another cost, than those that are made now.
pub fn is_outdated(kept: &str) -> bool {
    !kept.starts_with(PREFIX)
}

fn hasher() -> Result<Argon2<'static>> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)
        .map_err(|error| Error::broken(format!("the cost of a password: {error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "plankton wedding copper 47";

    #[test]
    fn a_password_is_kept_so_that_it_can_only_be_recognised() -> Result<()> {
        let (kept, again) = (hash(GOOD)?, hash(GOOD)?);

        assert!(kept.starts_with(PREFIX), "{kept}");
        assert_ne!(kept, again, "the salt differs");
        assert!(verify(GOOD, Some(&kept)));
        assert!(!verify("plankton wedding copper 48", Some(&kept)));
        assert!(!verify(GOOD, None));
        assert!(!verify(GOOD, Some("nonsense")));
        assert!(!is_outdated(&kept));
        Ok(())
    }

    #[test]
    fn imported_hashes_of_bcrypt_are_understood_and_outdated() -> Result<()> {
        let kept = bcrypt::hash(GOOD, 4).map_err(|error| Error::broken(error.to_string()))?;

        assert!(verify(GOOD, Some(&kept)));
        assert!(!verify("another password", Some(&kept)));
        assert!(is_outdated(&kept));
        Ok(())
    }

    #[test]
    fn what_is_soon_guessed_is_refused() {
        let about = ["Ada Lovelace", "ada@analytical.example"];
        for weak in [
            "short",
            "password123",
            "aaaaaaaaaaaa",
            "qwertyuiop",
            "lovelace2024",
            "analytical1",
            "1234567890",
        ] {
            assert!(check(weak, &about).is_err(), "{weak}");
        }
        let (long, longest) = ("ü".repeat(129), "x7 Kp!q9 ".repeat(28));
        assert!(check(&long, &about).is_err(), "258 bytes");
        assert!(check(&longest, &about).is_ok());
        assert!(check(GOOD, &about).is_ok());
    }
}
