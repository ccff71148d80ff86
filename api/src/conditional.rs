//! Conditional requests: entity tags made from versions (RFC 9110, section 13).

use crate::{codes, problem::Problem};

/// The strong entity tag of a version.
pub(crate) fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether `If-None-Match` says that the client has this version already.
pub(crate) fn is_known(if_none_match: Option<&str>, version: i64) -> bool {
    is_known_tag(if_none_match, &etag(version))
}

/// The same for an entity tag that is not made from a version.
pub(crate) fn is_known_tag(if_none_match: Option<&str>, tag: &str) -> bool {
    if_none_match.is_some_and(|tags| lists(tags, tag))
}

/// Refuses an edit whose `If-Match` names another version than the present one.
pub(crate) fn require(if_match: Option<&str>, version: i64) -> Result<(), Problem> {
    match if_match {
        Some(tags) if !lists(tags, &etag(version)) => {
            let detail = format!("The present version is {}.", etag(version));
            Err(Problem::new(&codes::PRECONDITION_FAILED, detail))
        }
        _ => Ok(()),
    }
}

fn lists(tags: &str, wanted: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| {
        // A proxy that compresses may have made our tag weak; the version is still the same.
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_one_by_one() {
        assert!(is_known(Some(r#""1", W/"17""#), 17));
        assert!(is_known(Some("*"), 3));
        assert!(!is_known(Some(r#""1""#), 17));
        assert!(!is_known(Some("17"), 17));
        assert!(!is_known(None, 17));
        assert!(require(None, 17).is_ok());
        assert!(require(Some(r#""16""#), 17).is_err());
    }
}
