//! SendGrid, as far as it signs.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What stands before the point of a public key on P-256 (RFC 5480), in base64, and the byte that says
/// that the point is not compressed.
const PREFIX: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";

/// A key pair.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        Self {
            pair: pair.expect("a key can be made"),
        }
    }

    /// The public key as SendGrid's settings show it.
    pub(crate) fn key(&self) -> String {
        let mut der = STANDARD.decode(PREFIX).unwrap_or_default();
        der.pop();
        der.extend_from_slice(self.pair.public_key().as_ref());
        STANDARD.encode(der)
    }

    /// The two headers that prove a body: the signature and the timestamp.
    pub(crate) fn headers(&self, seconds: i64, body: &str) -> [(&'static str, String); 2] {
        let data = format!("{seconds}{body}");
        let signature = self.pair.sign(&SystemRandom::new(), data.as_bytes());
        let signature = STANDARD.encode(signature.expect("it can sign"));
        [
            ("x-twilio-email-event-webhook-signature", signature),
            (
                "x-twilio-email-event-webhook-timestamp",
                seconds.to_string(),
            ),
        ]
    }
}
