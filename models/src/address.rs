//! Mail addresses: what of RFC 5321 is accepted, in the one form that is stored and compared.
//!
//! Less than the RFC allows, on purpose. No quoted local parts, no address literals, no local parts
//! beyond ASCII: nobody's mailbox needs them, and each is a way to smuggle something into a header.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    error::{Error, Result},
    script,
};

/// The longest address that SMTP can carry (RFC 5321, section 4.5.3.1.3), in bytes.
pub const ADDRESS_BYTES_MAX: usize = 254;
/// The longest local part, in bytes.
pub const LOCAL_BYTES_MAX: usize = 64;
/// The longest label of a domain, in bytes of its ASCII form.
const LABEL_BYTES_MAX: usize = 63;
/// The longest name of a person, in characters.
pub const NAME_CHARS_MAX: usize = 100;

/// A mail address that is safe to put into a header: ASCII, its domain in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Address(String);

impl Address {
    /// Reads an address, or says which rule it breaks. International domains become ASCII.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::invalid("", reason);
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(invalid("must be at most 254 bytes"));
        }
        let (local, domain) = text
            .rsplit_once('@')
            .ok_or_else(|| invalid("must have the form NAME@DOMAIN"))?;
        if !is_local(local) {
            return Err(invalid("has a name before the @ that is not accepted"));
        }
        let domain =
            ascii_domain(domain).ok_or_else(|| invalid("has no domain that is accepted"))?;
        let address = format!("{local}@{domain}");
        if address.len() > ADDRESS_BYTES_MAX {
            return Err(invalid("must be at most 254 bytes"));
        }
        Ok(Self(address))
    }

    /// The address as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes before the `@`.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// What comes after the `@`, in ASCII.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| D::Error::custom(error.to_string().trim()))
    }
}

/// The name of a person as it may stand beside an address, trimmed.
pub fn person(name: &str) -> Result<String> {
    let name = name.trim();
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        return Err(Error::invalid("", "must have from 1 to 100 characters"));
    }
    if name.chars().any(is_unsafe) {
        return Err(Error::invalid("", "must not contain control characters"));
    }
    Ok(name.to_owned())
}

/// Whether a character would end a line, or make a text read otherwise than it is written.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
        // Marks and overrides of direction, isolates, joiners of nothing, tags.
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// A dot-atom of RFC 5322: plus-addresses are in, quotes and comments are out.
fn is_local(local: &str) -> bool {
    let atom = |part: &str| {
        let text = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
        !part.is_empty() && part.bytes().all(text)
    };
    local.len() <= LOCAL_BYTES_MAX && local.split('.').all(atom)
}

fn ascii_domain(domain: &str) -> Option<String> {
    let domain = domain.to_lowercase();
    let ascii = idna::domain_to_ascii_strict(&domain).ok()?;
    let (unicode, valid) = idna::domain_to_unicode(&ascii);
    valid.ok()?;
    // Whatever the mapping would change (full-width letters, invisible characters) is refused: it
    // was meant to be read as something else.
    if domain != unicode && domain != ascii {
        return None;
    }
    let label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let labels: Vec<&str> = ascii.split('.').collect();
    // No address literals, and no numbers that would be read as one.
    let named = labels
        .last()
        .is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()));
    let honest = unicode.split('.').all(script::is_honest);
    (labels.len() >= 2 && labels.iter().all(|text| label(text)) && named && honest).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Address::parse(text).ok().map(|address| address.0)
    }

    #[test]
    fn ordinary_addresses_are_kept_as_they_are() {
        for text in [
            "a@example.com",
            "ann.lee+courses@mail.example.co.uk",
            "o'brien_2@example.org",
            "x@xn--bcher-kva.example",
        ] {
            assert_eq!(parsed(text).as_deref(), Some(text));
        }
        assert_eq!(
            parsed("Ann@EXAMPLE.com").as_deref(),
            Some("Ann@example.com"),
            "the local part is the provider's"
        );
        for (given, stored) in [
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("a@例え.jp", "a@xn--r8jz45g.jp"),
            ("a@почта.example", "a@xn--80a1acny.example"),
        ] {
            assert_eq!(parsed(given).as_deref(), Some(stored), "{given}");
        }
    }

    #[test]
    fn what_could_break_out_of_a_header_is_refused() {
        for text in [
            "",
            "a",
            "@example.com",
            "a@",
            "a@example.com\r\nBcc: b@example.com",
            "a@example.com\nBcc: b@example.com",
            "a\r\n@example.com",
            "a\0@example.com",
            "a@example.com\0",
            "a@example.com,b@example.com",
            "a@example.com;b@example.com",
            "a@example.com b@example.com",
            "<a@example.com>",
            "Ann <a@example.com>",
            "a@example.com>",
            "\"a\"@example.com",
            "\"a\\\r\nb\"@example.com",
            "a(comment)@example.com",
            "a@(comment)example.com",
            "a b@example.com",
            " a@example.com",
            "a@example.com ",
            "a\t@example.com",
            "a@exa\u{85}mple.com",
            "a@exam\u{2028}ple.com",
            "a:b@example.com",
            "a[b]@example.com",
            "a\\b@example.com",
            "a@b@example.com",
            "mailto:a@example.com",
            "a@example.com?bcc=b@example.com",
            "a%0d%0aBcc:b@example.com",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_looks_like_another_domain_is_refused() {
        for text in [
            // Cyrillic through and through, and one Cyrillic letter among Latin ones.
            "a@аррӏе.com",
            "a@xn--80ak6aa92e.com",
            "a@pаypal.com",
            "a@gооgle.com",
            // Greek omicron.
            "a@gοοgle.com",
            "a@οοο.com",
            // Full width, mathematical, ligature, soft hyphen, zero width, direction.
            "a@ｅxample.com",
            "a@𝐞xample.com",
            "a@ﬁn.example",
            "a@exam\u{ad}ple.com",
            "a@exam\u{200b}ple.com",
            "a@exam\u{200d}ple.com",
            "a@\u{202e}moc.elpmaxe",
            "a@example。com",
            "a＠example.com",
            // Local parts beyond ASCII.
            "аnn@example.com",
            "ann\u{301}@example.com",
            // A slash or a dot that is none.
            "a@example.com\u{2044}evil.example",
            "a@example․com",
            "a@xn--a",
            "a@xn--\u{fc}.com",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_or_has_no_real_domain_is_refused() {
        let long = |n: usize| "a".repeat(n);
        for text in [
            format!("{}@example.com", long(65)),
            format!("a@{}.com", long(64)),
            format!("a@{}com", "ab.".repeat(90)),
            format!("{}@{}.com", long(64), ["b"; 63].join(".") + &long(64)),
            format!("a@{}", long(10_000)),
            format!("{}@example.com", long(1_000_000)),
            format!("a@{}.example", "ü".repeat(60)),
            ".a@example.com".to_owned(),
            "a.@example.com".to_owned(),
            "a..b@example.com".to_owned(),
            "a@.example.com".to_owned(),
            "a@example.com.".to_owned(),
            "a@example..com".to_owned(),
            "a@-example.com".to_owned(),
            "a@example-.com".to_owned(),
            "a@localhost".to_owned(),
            "a@127.0.0.1".to_owned(),
            "a@[127.0.0.1]".to_owned(),
            "a@[IPv6:::1]".to_owned(),
            "a@2130706433".to_owned(),
            "a@exam_ple.com".to_owned(),
        ] {
            assert_eq!(parsed(&text), None, "{text:.80}");
        }
        assert!(parsed(&format!("{}@example.com", long(64))).is_some());
        assert!(parsed(&format!("a@{}.com", long(63))).is_some());
    }

    #[test]
    fn a_name_is_one_plain_line() {
        assert_eq!(person("  Ann Lee ").ok().as_deref(), Some("Ann Lee"));
        assert!(person("Zoë 山田").is_ok());
        for name in [
            "",
            "  ",
            "Ann\r\nBcc: b@example.com",
            "Ann\u{2028}b",
            "\u{202e}nnA",
            &"a".repeat(101),
        ] {
            assert!(person(name).is_err(), "{name:?}");
        }
    }
}
