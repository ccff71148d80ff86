//! What is said on a WebSocket, in both directions: JSON texts that name what they do by `op`.

use std::fmt;

use jobs::{Event, EventKind};
use models::id::TaskId;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::codes::Code;

/// What a client asks.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Asked {
    /// Tell me of a task, from after that event on: all of them when it is left out.
    Subscribe {
        topic: String,
        #[serde(default)]
        from: i64,
    },
    /// Tell me no more of it.
    Unsubscribe { topic: String },
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Said {
    /// The topic is followed. The task was at this version then.
    Subscribed { topic: Topic, version: i64 },
    /// An event, as in the stream of events.
    Event {
        topic: Topic,
        id: i64,
        event: EventKind,
        data: Value,
    },
    /// Nothing more comes of the topic: the client has asked for it, or the task has ended.
    Unsubscribed { topic: Topic },
    /// What was asked was not done.
    Error {
        code: &'static str,
        detail: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
    },
}

impl Said {
    pub(super) fn event(id: TaskId, event: Event) -> Self {
        Self::Event {
            topic: Topic(id),
            id: event.seq,
            event: event.event,
            data: event.data,
        }
    }

    pub(super) fn error(code: &Code, detail: impl Into<String>, topic: Option<&str>) -> Self {
        Self::Error {
            code: code.name,
            detail: detail.into(),
            topic: topic.map(str::to_owned),
        }
    }
}

/// What can be subscribed to: `task:` and the id of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topic(pub(super) TaskId);

impl Topic {
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("task:")?.parse().ok().map(Self)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task:{}", self.0)
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Leaves out progress that later progress outdates.
pub(super) fn coalesce(events: Vec<Event>) -> Vec<Event> {
    let mut kept: Vec<Event> = Vec::with_capacity(events.len());
    for event in events {
        let progress = |event: &Event| event.event == EventKind::Progress;
        if progress(&event) && kept.last().is_some_and(progress) {
            kept.pop();
        }
        kept.push(event);
    }
    kept
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn what_is_asked_is_read_strictly() {
        let read = |text| serde_json::from_str::<Asked>(text).ok();
        let topic = || "task:7".to_owned();

        let subscribe = |from| {
            Some(Asked::Subscribe {
                topic: topic(),
                from,
            })
        };
        assert_eq!(read(r#"{"op":"subscribe","topic":"task:7"}"#), subscribe(0));
        assert_eq!(
            read(r#"{"op":"subscribe","topic":"task:7","from":12}"#),
            subscribe(12)
        );
        assert_eq!(
            read(r#"{"op":"unsubscribe","topic":"task:7"}"#),
            Some(Asked::Unsubscribe { topic: topic() })
        );
        for wrong in [
            r#"{"op":"publish","topic":"task:7"}"#,
            r#"{"op":"subscribe","topic":"task:7","since":1}"#,
            r#"{"op":"subscribe","topic":7}"#,
            r#"{"topic":"task:7"}"#,
            "subscribe",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(Topic::parse("task:7"), None);
        assert_eq!(
            Topic::parse("course:01990000-0000-7000-8000-000000000000"),
            None
        );
    }

    #[test]
    fn progress_that_is_outdated_is_left_out() {
        use EventKind::{Done, Partial, Progress, State};
        let kinds = [
            State, Progress, Progress, Partial, Progress, Progress, Progress, Done,
        ];
        let events = (1..).zip(kinds).map(|(seq, event)| Event {
            seq,
            event,
            data: Value::Null,
            created_at: DateTime::UNIX_EPOCH,
        });

        let kept = coalesce(events.collect());

        let kept: Vec<_> = kept.iter().map(|event| event.seq).collect();
        assert_eq!(kept, [1, 3, 4, 7, 8]);
    }
}
