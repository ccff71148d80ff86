//! Content negotiation (RFC 9110, section 12): whether the client takes what a path answers with.

use poem::Request;

use crate::{codes, problem::Problem, request::text};

const JSON: &str = "application/json";
const HTML: &str = "text/html";

/// Refuses a request whose `Accept` excludes everything that its path can answer with.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    // An empty header says as little as none.
    let Some(accept) = text(request.headers(), "accept").filter(|accept| !accept.is_empty()) else {
        return Ok(());
    };
    let path = request.uri().path();
    if is_file(path) {
        return Ok(());
    }
    let produced = produced(path);
    if produced.iter().any(|media_type| takes(accept, media_type)) {
        return Ok(());
    }
    let detail = format!("This path answers with {}.", produced.join(" or "));
    Err(Problem::new(&codes::NOT_ACCEPTABLE, detail))
}

/// Whether a reader of web pages asks: `text/html` is named before anything else that fits.
pub(crate) fn prefers_html(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.contains(HTML))
}

/// Whether a path answers with the bytes of a file, whatever those are.
fn is_file(path: &str) -> bool {
    let mut parts = path
        .strip_prefix("/v1/files/")
        .unwrap_or_default()
        .split('/');
    matches!(parts.nth(1), Some("content" | "signed" | "variants"))
}

fn produced(path: &str) -> &'static [&'static str] {
    if path.ends_with("/events") {
        &["text/event-stream"]
    } else if path.ends_with("/export") {
        &["text/markdown", JSON]
    } else if path.ends_with("/preview") {
        &[HTML, "text/plain"]
    } else if path.starts_with("/problems/") {
        &[HTML, JSON]
    } else if path == "/metrics" {
        &["text/plain"]
    } else if path == "/docs" || path.ends_with("/unsubscribe") {
        &[HTML]
    } else {
        &[JSON]
    }
}

fn takes(accept: &str, media_type: &str) -> bool {
    let (kind, _) = media_type.split_once('/').unwrap_or_default();
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused =
            parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        let fits = range == media_type
            || range == "*/*"
            || range.strip_suffix("/*").is_some_and(|range| range == kind);
        fits && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_matched_by_type_and_weight() {
        assert!(takes("text/html, */*;q=0.8", JSON));
        assert!(takes("Application/*", JSON));
        assert!(takes("application/json; charset=utf-8", JSON));
        assert!(!takes("text/*", JSON));
        assert!(!takes("application/json;q=0", JSON));
        assert!(!takes("", JSON));
    }
}
