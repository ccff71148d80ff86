//! The events of a task as a stream (server-sent events).

use std::{collections::VecDeque, fmt::Write as _};

use futures_util::stream;
use jobs::{Event, EventKind, bell::Watch};
use models::id::TaskId;
use poem::{Body, IntoResponse, Response, web::Data};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path},
    payload::Payload,
    registry::{MetaSchemaRef, Registry},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::answer::get;
use crate::{
    app::App,
    caller::{Caller, May, Permission},
    json::{reference, register},
    problem::Problem,
    routes::Tag,
};

/// The operations on the events of tasks.
pub(crate) struct Events;

#[OpenApi(tag = "Tag::Tasks")]
impl Events {
    /// Streams the events of a task, from its first to its last.
    ///
    /// Events are `state`, `progress`, `partial` and `done`; their ids count from 1 without a gap.
    /// A reader that comes back with `Last-Event-ID` goes on after that event. A comment keeps a
    /// quiet stream alive every 15 seconds. The stream closes after `done`, and when the reader may read
    /// it no more; a reader that has seen `done` and comes back gets 204, which tells `EventSource` to
    /// stop.
    #[oai(
        path = "/v1/tasks/:id/events",
        method = "get",
        operation_id = "stream_events"
    )]
    async fn stream_events(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadTasks as u8 }>,
        /// The id of the task.
        id: Path<Uuid>,
        /// The id of the last event that was received.
        #[oai(name = "Last-Event-ID", validator(minimum(value = "0")))]
        last: Header<Option<i64>>,
    ) -> Result<Streamed, Problem> {
        let id = id.0.into();
        let task = get(&app, caller, id).await?;
        let seq = last.unwrap_or(0).min(task.version);
        if task.state.is_done() && seq == task.version {
            return Ok(Streamed::Over);
        }
        let mut watch = app.bell.watch();
        watch.add(id);
        let reader = Reader {
            app: app.clone(),
            caller,
            id,
            watch,
            seq,
            waiting: VecDeque::new(),
            over: false,
            admitted_at: Instant::now(),
        };
        let chunks = stream::unfold(reader, |mut reader| async move {
            let chunk = reader.next().await?;
            Some((Ok::<_, std::io::Error>(chunk), reader))
        });
        Ok(Streamed::Ok(
            EventSource(Body::from_bytes_stream(chunks)),
            "no-cache".to_owned(),
        ))
    }
}

#[derive(ApiResponse)]
enum Streamed {
    /// The events.
    #[oai(status = 200)]
    Ok(
        EventSource,
        /// Nobody in between may keep the stream.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// The task has ended, and the reader has seen every event.
    #[oai(status = 204)]
    Over,
}

/// A body of server-sent events.
struct EventSource(Body);

impl Payload for EventSource {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        reference::<TaskEvent>()
    }

    fn register(registry: &mut Registry) {
        register::<TaskEvent>(registry, SchemaSettings::openapi3().for_serialize());
    }
}

impl IntoResponse for EventSource {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(Self::CONTENT_TYPE)
            .body(self.0)
    }
}

/// One event of the stream.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only the schema is used: the stream has a form of its own"
)]
struct TaskEvent {
    /// The version of the task after the change; counts from 1 without a gap.
    id: String,
    /// `state`, `progress`, `partial` or `done`.
    event: String,
    /// What has changed, as JSON.
    data: String,
}

/// Where one reader of the stream is.
struct Reader {
    app: App,
    caller: Caller,
    id: TaskId,
    watch: Watch,
    /// The last event that was sent.
    seq: i64,
    /// Events that were read and not sent yet.
    waiting: VecDeque<Event>,
    over: bool,
    /// When the caller was last looked up.
    admitted_at: Instant,
}

impl Reader {
    /// The next piece of the stream; nothing when it is over.
    async fn next(&mut self) -> Option<String> {
        if self.over || !self.is_admitted().await {
            return None;
        }
        if self.waiting.is_empty() && !self.fetch().await {
            return None;
        }
        match self.waiting.pop_front() {
            Some(event) => {
                self.seq = event.seq;
                // A task that was retried goes on after its first end.
                self.over = event.event == EventKind::Done && self.waiting.is_empty();
                Some(write(&event))
            }
            None => Some(": still here\n\n".to_owned()),
        }
    }

    /// Whether the caller may still read tasks: a stream may outlast a session, a key, an account.
    async fn is_admitted(&mut self) -> bool {
        if self.admitted_at.elapsed() < self.app.timeouts.comment {
            return true;
        }
        self.admitted_at = Instant::now();
        let still = self.caller.still(&self.app, Permission::ReadTasks).await;
        still.unwrap_or_else(|problem| {
            warn!(task.id = %self.id, "Closed a stream of events: {problem}");
            false
        })
    }

    /// Waits for events as long as the stream may be quiet; false when there will be none.
    async fn fetch(&mut self) -> bool {
        let deadline = Instant::now() + self.app.timeouts.comment;
        loop {
            match self.app.events(self.caller, self.id, self.seq).await {
                Ok(events) => self.waiting = events.into(),
                Err(problem) => {
                    // The client comes back with the id of the last event that it got.
                    warn!(task.id = %self.id, "Closed a stream of events: {problem}");
                    return false;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.waiting.is_empty() || left.is_zero() {
                return true;
            }
            tokio::select! {
                _ = self.watch.changed(left) => {}
                () = self.app.stop.cancelled() => return false,
            }
        }
    }
}

/// An event in the form of the stream. JSON has no line breaks, so one line of data holds it.
fn write(event: &Event) -> String {
    let mut text = format!("id: {}\nevent: {}\ndata: ", event.seq, event.event.as_str());
    // Writing to a string cannot fail.
    let _ = write!(text, "{}\n\n", event.data);
    text
}
