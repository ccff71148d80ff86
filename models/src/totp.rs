//! The codes of authenticator apps: TOTP (RFC 6238) as every app understands it, with SHA-1, six digits and a
//! new code every thirty seconds.

use std::fmt;

use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;

use crate::error::{Error, Result};

/// For how many seconds an app shows a code.
pub const STEP_SECONDS: i64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// The codes of so many steps before and after the present one are taken too: clocks differ, and people type.
const DRIFT_STEPS: i64 = 1;
/// Random bytes of a secret, as RFC 4226 advises.
const SECRET_BYTES: usize = 20;
/// What comes after the last code.
const END: u32 = 1_000_000;

/// What an app computes its codes from: nothing shows it unless it is asked to.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// One that nobody knows.
    pub fn draw() -> Self {
        Self(rand::random())
    }

    /// The secret as people type it: base32, in capitals.
    pub fn encode(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// The secret that was written down so.
    pub fn decode(text: &str) -> Result<Self> {
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).ok();
        let bytes: Option<[u8; SECRET_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let broken = || Error::broken("a second factor is not 20 bytes in base32");
        bytes.map(Self).ok_or_else(broken)
    }

    /// What an app reads from a QR code. The account is what it calls the entry: a mail address.
    pub fn uri(&self, account: &str) -> String {
        let name = utf8_percent_encode(account, NON_ALPHANUMERIC);
        let secret = self.encode();
        format!(
            "otpauth://totp/Lyo:{name}?secret={secret}&issuer=Lyo&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
        )
    }

    /// The code that an app shows at this time.
    pub fn code(&self, at: DateTime<Utc>) -> String {
        let number = self.number(step(at)).unwrap_or_default();
        format!("{number:0DIGITS$}")
    }

    /// The time steps around now that this is the code of, oldest first.
    pub fn steps(&self, code: &str, now: DateTime<Utc>) -> impl Iterator<Item = i64> {
        // Apps show a gap in the middle.
        let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let is_code = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        let sent: Option<u32> = digits.parse().ok().filter(|_| is_code);
        let now = step(now);
        (now - DRIFT_STEPS..=now + DRIFT_STEPS)
            .filter(move |step| sent.is_some() && self.number(*step) == sent)
    }

    /// The code of a step as a number (RFC 4226, 5.3).
    fn number(&self, step: i64) -> Option<u32> {
        // A key of any length will do, so there always is one.
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).ok()?;
        mac.update(&step.to_be_bytes());
        let hash: [u8; 20] = mac.finalize().into_bytes().into();
        // From 0 to 15, so that four bytes follow.
        let at = usize::from(hash[19] & 15);
        let word = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]);
        Some((word & 0x7fff_ffff) % END)
    }
}

fn step(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(STEP_SECONDS)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    /// Appendix B of RFC 6238, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = Secret(*b"12345678901234567890");

        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code(at(seconds)), code);
        }
    }

    #[test]
    fn a_code_is_good_for_the_step_before_and_the_one_after() {
        let (secret, now) = (Secret::draw(), at(1_000_000_020));
        let step = step(now);
        let steps = |seconds: i64| {
            let code = secret.code(now + TimeDelta::seconds(seconds));
            secret.steps(&code, now).collect::<Vec<_>>()
        };

        // Another step has the same code once in a million times.
        assert!(steps(0).contains(&step));
        assert!(steps(-STEP_SECONDS).contains(&(step - 1)));
        assert!(steps(STEP_SECONDS).contains(&(step + 1)));
        assert!(!steps(2 * STEP_SECONDS).contains(&(step + 2)));
        let code = secret.code(now);
        let spaced = format!(" {} {}", &code[..3], &code[3..]);
        assert!(secret.steps(&spaced, now).any(|found| found == step));
        for wrong in ["", "12345", "1234567", "+12345", "abcdef", "１２３４５６"] {
            assert_eq!(secret.steps(wrong, now).count(), 0, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_read_as_it_was_written_and_not_shown() -> Result<()> {
        let secret = Secret(*b"12345678901234567890");
        let text = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

        assert_eq!(secret.encode(), text);
        assert_eq!(Secret::decode(text)?.code(at(59)), "287082");
        assert!(Secret::decode("GEZDGNBV").is_err());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(
            secret.uri("ada+x@example.com"),
            format!(
                "otpauth://totp/Lyo:ada%2Bx%40example%2Ecom?secret={text}&issuer=Lyo&algorithm=SHA1&digits=6&period=30"
            )
        );
        Ok(())
    }
}
