//! Signs mail (RFC 6376, and RFC 8463 for Ed25519): a reader's provider can see that it is ours.

use std::{fmt, sync::Arc};

use anyhow::Context;
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{Ed25519KeyPair, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The headers that are signed where they are present, in this order.
const SIGNED: [&str; 9] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "list-unsubscribe",
    "list-unsubscribe-post",
];

/// A key that signs for a domain.
#[derive(Clone)]
pub struct Dkim {
    domain: String,
    selector: String,
    key: Arc<Key>,
}

enum Key {
    Rsa(KeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why mail cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum DkimError {
    /// The key is not what was expected.
    #[error("the key must be an RSA or Ed25519 private key in PEM")]
    Key,
    /// The domain or the selector would break the header.
    #[error("the domain and the selector must be made of letters, digits, dots and hyphens")]
    Name,
}

impl fmt::Debug for Dkim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dkim({}._domainkey.{})", self.selector, self.domain)
    }
}

impl Dkim {
    /// Signs for a domain with the key whose public half is at `SELECTOR._domainkey.DOMAIN`.
    ///
    /// # Errors
    /// When the key is not a private key in PEM, or a name would break the header.
    pub fn new(domain: &str, selector: &str, pem: &str) -> Result<Self, DkimError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name = |name: &str| !name.is_empty() && name.chars().all(plain);
        if !name(domain) || !name(selector) {
            return Err(DkimError::Name);
        }
        let body: String = pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD.decode(body.trim()).map_err(|_| DkimError::Key)?;
        let rsa = || KeyPair::from_pkcs8(&der).or_else(|_| KeyPair::from_der(&der));
        let key = match rsa() {
            Ok(key) => Key::Rsa(key),
            Err(_) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .map(Key::Ed25519)
                .map_err(|_| DkimError::Key)?,
        };
        Ok(Self {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            key: Arc::new(key),
        })
    }

    /// The header that signs a mail, with its line break.
    fn header(&self, head: &str, body: &str) -> anyhow::Result<String> {
        let fields = fields(head);
        let present = |name: &&str| fields.iter().any(|(known, _)| known == name);
        let signed: Vec<&str> = SIGNED.into_iter().filter(present).collect();
        let unsigned = format!(
            "v=1; a={}; c=relaxed/relaxed; d={}; s={};\r\n h={};\r\n bh={};\r\n b=",
            match *self.key {
                Key::Rsa(_) => "rsa-sha256",
                Key::Ed25519(_) => "ed25519-sha256",
            },
            self.domain,
            self.selector,
            signed.join(":"),
            STANDARD.encode(digest(&SHA256, relaxed_body(body).as_bytes())),
        );
        let mut data = String::new();
        for name in signed {
            // With several of a name, the last one is signed (section 5.4.2).
            if let Some((_, value)) = fields.iter().rfind(|(known, _)| known == name) {
                data.extend([name, ":", value.as_str(), "\r\n"]);
            }
        }
        data.extend(["dkim-signature:", relaxed(&unsigned).as_str()]);
        let signature = STANDARD.encode(self.sign(data.as_bytes())?);
        let lines: Vec<&str> = signature
            .as_bytes()
            .chunks(70)
            .filter_map(|line| std::str::from_utf8(line).ok())
            .collect();
        Ok(format!(
            "DKIM-Signature: {unsigned}{}\r\n",
            lines.join("\r\n ")
        ))
    }

    fn sign(&self, data: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(match &*self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    data,
                    &mut signature,
                )?;
                signature
            }
            Key::Ed25519(key) => key.sign(digest(&SHA256, data).as_ref()).as_ref().to_vec(),
        })
    }
}

/// The mail with its signature in front, or as it is where there is no key.
pub(super) fn sign(dkim: Option<&Dkim>, mail: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let Some(dkim) = dkim else { return Ok(mail) };
    let text = std::str::from_utf8(&mail).context("a mail that is not text")?;
    let (head, body) = text.split_once("\r\n\r\n").context("a mail without body")?;
    let mut signed = dkim.header(head, body)?.into_bytes();
    signed.extend_from_slice(&mail);
    Ok(signed)
}

/// The headers as names in lower case and relaxed values, in their order.
fn fields(head: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, value))) => value.push_str(line),
            _ => {
                if let Some((name, value)) = line.split_once(':') {
                    fields.push((name.trim().to_ascii_lowercase(), value.to_owned()));
                }
            }
        }
    }
    for (_, value) in &mut fields {
        *value = relaxed(value);
    }
    fields
}

/// Unfolded, every run of white space one space, none at the ends (section 3.4.2).
fn relaxed(value: &str) -> String {
    let words = value.split([' ', '\t', '\r', '\n']);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// No white space at the ends of lines, no empty lines at the end (section 3.4.4).
fn relaxed_body(body: &str) -> String {
    let mut canonical = String::with_capacity(body.len());
    let mut empty = 0;
    for line in body.split("\r\n") {
        let indented = line.starts_with([' ', '\t']);
        let line = relaxed(line);
        if line.is_empty() {
            empty += 1;
            continue;
        }
        canonical.push_str(&"\r\n".repeat(std::mem::take(&mut empty)));
        if indented {
            canonical.push(' ');
        }
        canonical.push_str(&line);
        canonical.push_str("\r\n");
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_headers_are_relaxed_as_the_rfc_shows() {
        // RFC 6376, section 3.4.5.
        assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
        assert_eq!(relaxed_body("\r\n\r\n"), "");
        assert_eq!(relaxed_body("a\r\n\r\nb"), "a\r\n\r\nb\r\n");
        let fields = fields("A: X\r\nB : Y\t\r\n\tZ  ");
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(fields, [owned("a", "X"), owned("b", "Y Z")]);
    }

    #[test]
    fn names_that_break_the_header_and_keys_that_are_none_are_refused() {
        assert!(matches!(Dkim::new("a;b", "s", ""), Err(DkimError::Name)));
        assert!(matches!(
            Dkim::new("a.example", "", ""),
            Err(DkimError::Name)
        ));
        assert!(matches!(
            Dkim::new("a.example", "s", "junk!"),
            Err(DkimError::Key)
        ));
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert!(matches!(
            Dkim::new("a.example", "s", public),
            Err(DkimError::Key)
        ));
    }
}
