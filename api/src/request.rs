//! What a request tells about itself: its id, its trace, and how long it is ready to wait.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderMap, HeaderValue},
};
use uuid::Uuid;

use crate::{
    codes,
    limits::{REQUEST_ID_LENGTH_MAX, WAIT_SECONDS_MAX},
    problem::Problem,
    throttle::{Left, Policy},
};

/// The header that names a request, in both directions.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The headers that change what a request does.
const STEERING: [&str; 5] = [
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "prefer",
];

/// The names under which a request is found again in logs and traces.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// The id of the request: the client's when it is sane, else a fresh one.
    pub(crate) request_id: String,
    /// The trace that the client's request belongs to.
    pub(crate) trace_id: Option<String>,
    /// What is left of the caller's budget, once it is known who calls.
    pub(crate) budget: Arc<OnceLock<(Policy, Left)>>,
}

impl RequestContext {
    /// Reads the headers of a request.
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let trace_id = text(headers, TRACEPARENT)
            .and_then(trace_id)
            .map(str::to_owned);
        Self {
            trace_id,
            ..Self::named(headers.get(REQUEST_ID))
        }
    }

    /// Of a request of which only the header that names it is left.
    pub(crate) fn named(sent: Option<&HeaderValue>) -> Self {
        let sane = |id: &&str| {
            (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_graphic())
        };
        let request_id = sent
            .and_then(|id| id.to_str().ok())
            .filter(sane)
            .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        Self {
            request_id,
            trace_id: None,
            budget: Arc::default(),
        }
    }
}

impl<'a> FromRequest<'a> for RequestContext {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(request
            .data::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::new(request.headers())))
    }
}

/// How long `Prefer: wait=SECONDS` asks to wait, clamped; nothing when it does not ask (RFC 7240).
pub(crate) fn wait(prefer: Option<&str>) -> Option<Duration> {
    let preferences = prefer?.split([',', ';']);
    let seconds = preferences
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| value.trim().trim_matches('"').parse::<u64>().ok())?;
    Some(Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
}

/// Refuses headers that steer a request and cannot be read: a request must not do more than it was
/// meant to because a condition on it was overlooked.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let unreadable = |name: &&&str| headers.get_all(**name).iter().any(|v| v.to_str().is_err());
    match STEERING.iter().find(unreadable) {
        None => Ok(()),
        Some(&"idempotency-key") => {
            let code = &codes::MALFORMED_IDEMPOTENCY_KEY;
            Err(Problem::new(code, code.meaning))
        }
        Some(name) => Err(Problem::parameter(name, "must be visible ASCII")),
    }
}

/// A header as text; nothing when it is absent or not visible ASCII.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The trace id of a `traceparent`: `version-traceid-parentid-flags`, in lower-case hexadecimal.
fn trace_id(traceparent: &str) -> Option<&str> {
    let hexadecimal = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = traceparent.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let valid = hexadecimal(version, 2)
        && hexadecimal(trace, 32)
        && hexadecimal(parent, 16)
        && hexadecimal(flags, 2)
        && trace.bytes().any(|b| b != b'0');
    valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_among_preferences_and_clamped() {
        let seconds = |text| wait(Some(text)).map(|wait| wait.as_secs());

        assert_eq!(seconds("wait=5"), Some(5));
        assert_eq!(seconds("respond-async, Wait = 7"), Some(7));
        assert_eq!(seconds("wait=100000"), Some(60));
        assert_eq!(seconds("wait=-1"), None);
        assert_eq!(seconds("wait"), None);
        assert_eq!(wait(None), None);
    }

    #[test]
    fn only_a_well_formed_traceparent_has_a_trace() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";

        assert_eq!(
            trace_id(&format!("00-{trace}-00f067aa0ba902b7-01")),
            Some(trace)
        );
        assert_eq!(
            trace_id(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))),
            None
        );
        assert_eq!(
            trace_id(&format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase())),
            None
        );
        assert_eq!(trace_id("00-x"), None);
    }
}
