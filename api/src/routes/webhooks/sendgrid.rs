//! Reads SendGrid's events.

use chrono::{DateTime, Utc};
use models::email_events::{Event, Told};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::{codes, problem::Problem};

/// The longest id of an event.
const EVENT_ID_LENGTH_MAX: usize = 200;
/// The longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// What SendGrid posts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "SendGridEvents")]
pub(super) struct Events(Vec<Sent>);

/// One event; SendGrid adds fields as it likes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SendGridEvent")]
struct Sent {
    /// What has happened: `delivered`, `bounce` and the like.
    event: String,
    /// What SendGrid calls the event.
    #[serde(default)]
    sg_event_id: Option<String>,
    /// What SendGrid calls the mail.
    #[serde(default)]
    sg_message_id: Option<String>,
    /// The custom argument that went out with the mail.
    #[serde(default)]
    email_id: Option<String>,
    /// Of a bounce: `bounce` for good, `blocked` for now.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// Why, in words for people.
    #[serde(default)]
    reason: Option<String>,
    /// When it happened, in seconds since 1970.
    #[serde(default)]
    timestamp: Option<i64>,
}

/// The events that concern mail of ours, in the order of their mails, so that of two deliveries at the
/// same time neither waits for the other in a circle. Others are somebody else's on the same account.
pub(super) fn read(body: &[u8], now: DateTime<Utc>) -> Result<Vec<Told>, Problem> {
    let Events(events) = serde_json::from_slice(body)
        .map_err(|error| Problem::new(&codes::MALFORMED_JSON, error.to_string()))?;
    let mut told: Vec<Told> = events
        .into_iter()
        .filter_map(|event| told(event, now))
        .collect();
    told.sort_by_key(|told| told.email_id);
    Ok(told)
}

fn told(sent: Sent, now: DateTime<Utc>) -> Option<Told> {
    let event = match (sent.event.as_str(), sent.kind.as_deref()) {
        ("processed", _) => Event::Processed,
        ("delivered", _) => Event::Delivered,
        // Dropped: SendGrid did not even try, because of an earlier event.
        ("bounce", Some("blocked")) | ("dropped", _) => Event::Blocked,
        ("bounce", _) => Event::Bounced,
        ("spamreport", _) => Event::Complained,
        ("unsubscribe" | "group_unsubscribe", _) => Event::Unsubscribed,
        // Deferred, opened, clicked: nothing that we act upon.
        _ => return None,
    };
    let email_id = Uuid::try_parse(sent.email_id.as_deref()?).ok()?;
    let event_id = sent
        .sg_event_id
        .filter(|id| (1..=EVENT_ID_LENGTH_MAX).contains(&id.len()))?;
    let occurred_at = sent
        .timestamp
        .and_then(|at| DateTime::from_timestamp(at, 0));
    // `ID.filter...`: what the answer to the call had is the first part.
    let provider_id = sent.sg_message_id.as_deref();
    let provider_id = provider_id
        .and_then(|id| id.split('.').next())
        .map(str::to_owned);
    Some(Told {
        provider: "sendgrid",
        event_id,
        email_id: email_id.into(),
        provider_id,
        event,
        detail: sent.reason.as_deref().map(plain),
        // A time that no database can order would be worse than a wrong one.
        occurred_at: occurred_at.unwrap_or(now).min(now),
    })
}

/// A reason on one line and without addresses.
fn plain(reason: &str) -> String {
    let words = reason.split_whitespace().map(|word| {
        if word.contains('@') {
            "(address)"
        } else {
            word
        }
    });
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars()
        .filter(|c| !c.is_control())
        .take(REASON_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "01990000-0000-7000-8000-000000000000";

    fn one(fields: &str) -> Option<Told> {
        let body = format!(
            r#"[{{"email_id":"{MAIL}","sg_event_id":"e","timestamp":1600000000,{fields}}}]"#
        );
        let now = DateTime::from_timestamp(1_600_000_010, 0).unwrap_or_default();
        read(body.as_bytes(), now).ok()?.pop()
    }

    #[test]
    fn the_words_of_sendgrid_are_translated() {
        let event = |fields: &str| one(fields).map(|told| told.event);

        assert_eq!(event(r#""event":"processed""#), Some(Event::Processed));
        assert_eq!(event(r#""event":"delivered""#), Some(Event::Delivered));
        assert_eq!(
            event(r#""event":"bounce","type":"bounce""#),
            Some(Event::Bounced)
        );
        assert_eq!(
            event(r#""event":"bounce","type":"blocked""#),
            Some(Event::Blocked)
        );
        assert_eq!(
            event(r#""event":"dropped","reason":"Bounced Address""#),
            Some(Event::Blocked)
        );
        assert_eq!(event(r#""event":"spamreport""#), Some(Event::Complained));
        assert_eq!(
            event(r#""event":"group_unsubscribe""#),
            Some(Event::Unsubscribed)
        );
        for nothing in ["deferred", "open", "click", "", "a word of next year"] {
            assert_eq!(event(&format!(r#""event":"{nothing}""#)), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_names_nobody() {
        let told = one(
            r#""event":"bounce","reason":"550 <ada@example.com>\r\nunknown","sg_message_id":"m.filter-1","new":{}"#,
        );
        let told = told.map(|told| (told.detail, told.provider_id));
        assert_eq!(
            told,
            Some((
                Some("550 (address) unknown".to_owned()),
                Some("m".to_owned())
            ))
        );

        let later = one(r#""event":"delivered","timestamp2":1"#);
        assert_eq!(
            later.map(|told| told.occurred_at.timestamp()),
            Some(1_600_000_000)
        );
        let nobody = br#"[{"event":"delivered","sg_event_id":"e"},{"event":"delivered","sg_event_id":"e","email_id":"7"}]"#;
        assert!(read(nobody, DateTime::default()).is_ok_and(|told| told.is_empty()));
        for wrong in ["", "{}", "[1]", r#"[{"event":7}]"#] {
            assert!(
                read(wrong.as_bytes(), DateTime::default()).is_err(),
                "{wrong}"
            );
        }
    }
}
