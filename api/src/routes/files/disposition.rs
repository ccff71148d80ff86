//! `Content-Disposition` (RFC 6266) for any name at all.

use std::fmt::Write as _;

/// Says how bytes are to be taken: shown in their place or saved, under a name.
pub(crate) fn disposition(shown: bool, name: &str) -> String {
    let kind = if shown { "inline" } else { "attachment" };
    let mut value = format!("{kind}; filename=\"");
    value.extend(name.chars().map(|c| match c {
        // What some readers take for an escape, even inside of quotes, is left out with the rest.
        'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | '-' | '_' | '(' | ')' => c,
        _ => '_',
    }));
    value.push_str("\"; filename*=UTF-8''");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                value.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(value, "%{byte:02X}")),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(
            disposition(true, "a b.png"),
            "inline; filename=\"a b.png\"; filename*=UTF-8''a%20b.png"
        );
        assert_eq!(
            disposition(false, "größe.txt"),
            "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"
        );
        for hostile in ["\"; x=\"y", "a\r\nSet-Cookie: b=c", "%22.html", "'; DROP"] {
            let value = disposition(false, hostile);
            assert_eq!(value.matches('"').count(), 2, "{value}");
            assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{value}");
        }
    }
}
