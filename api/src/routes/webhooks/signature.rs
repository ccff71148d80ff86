//! Whether a webhook is from who it says: ECDSA on P-256 over the timestamp and the body.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};

/// A signature is good for this long, in both directions: clocks differ.
const AGE_MAX: TimeDelta = TimeDelta::minutes(10);

/// The public key of a service.
#[derive(Clone)]
pub struct WebhookKey(ParsedPublicKey);

/// The key cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("must be a public key on P-256: base64 of its SubjectPublicKeyInfo")]
pub struct KeyError;

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey(..)")
    }
}

impl FromStr for WebhookKey {
    type Err = KeyError;

    /// The key as the settings of SendGrid show it: a public key on P-256 in base64.
    fn from_str(base64: &str) -> Result<Self, KeyError> {
        let der = STANDARD.decode(base64.trim()).map_err(|_| KeyError)?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der);
        key.map(Self).map_err(|_| KeyError)
    }
}

impl WebhookKey {
    /// Whether the service signed this body, and not long ago.
    pub(super) fn verifies(
        &self,
        signature: &str,
        timestamp: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> bool {
        let signed_at = timestamp.parse().ok();
        let signed_at = signed_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let fresh = signed_at.is_some_and(|signed_at| (now - signed_at).abs() <= AGE_MAX);
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        fresh
            && self
                .0
                .verify_sig(&[timestamp.as_bytes(), body].concat(), &signature)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The vector that SendGrid publishes with its own libraries (sendgrid-python,
    // test/unit/test_eventwebhook.py), and the wrong key and the wrong signature beside it.
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    const OTHER_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA==";
    const OTHER_SIGNATURE: &str = "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0=";
    const SIGNATURE: &str = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
    const TIMESTAMP: &str = "1600112502";
    const BODY: &str = "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    #[test]
    fn the_published_vector_verifies_and_nothing_beside_it() -> Result<(), KeyError> {
        let key = KEY.parse::<WebhookKey>()?;
        let now = at(1_600_112_510);

        assert!(key.verifies(SIGNATURE, TIMESTAMP, BODY.as_bytes(), now));

        let changed = BODY.replace("dropped", "delivered");
        assert!(
            !key.verifies(SIGNATURE, TIMESTAMP, changed.as_bytes(), now),
            "body"
        );
        assert!(
            !key.verifies(SIGNATURE, TIMESTAMP, BODY.trim_end().as_bytes(), now),
            "line break"
        );
        assert!(
            !key.verifies(SIGNATURE, "1600112503", BODY.as_bytes(), now),
            "timestamp"
        );
        let turned = SIGNATURE.replace("MEUCIGHQ", "MEUCIGHR");
        assert!(
            !key.verifies(&turned, TIMESTAMP, BODY.as_bytes(), now),
            "signature"
        );
        for nonsense in [OTHER_SIGNATURE, "", "!", "AAAA", "MEUCIGHQ"] {
            assert!(
                !key.verifies(nonsense, TIMESTAMP, BODY.as_bytes(), now),
                "{nonsense}"
            );
        }
        for later in [600, 601, -600, -601] {
            let verified = key.verifies(
                SIGNATURE,
                TIMESTAMP,
                BODY.as_bytes(),
                at(1_600_112_502 + later),
            );
            assert_eq!(verified, later.abs() <= 600, "{later} s");
        }
        for timestamp in ["", "now", "99999999999999999999", "9223372036854775807"] {
            assert!(
                !key.verifies(SIGNATURE, timestamp, BODY.as_bytes(), now),
                "{timestamp}"
            );
        }
        Ok(())
    }

    #[test]
    fn another_key_verifies_nothing_and_what_is_no_key_is_refused() -> Result<(), KeyError> {
        let other: WebhookKey = OTHER_KEY.parse()?;
        assert!(!other.verifies(SIGNATURE, TIMESTAMP, BODY.as_bytes(), at(1_600_112_510)));

        for nonsense in ["", "!", "AAAA", &KEY[..40]] {
            assert!(nonsense.parse::<WebhookKey>().is_err(), "{nonsense}");
        }
        Ok(())
    }
}
