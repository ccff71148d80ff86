//! One WebSocket from its beginning to its end.
//!
//! Nothing is kept for a reader but how far it has come in each topic: what it is told is read when it
//! can be sent. So a slow reader costs no memory, and gets progress at longer steps.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use futures_util::{Sink, SinkExt, Stream, StreamExt, future::join_all};
use jobs::{EventKind, bell::Watch};
use models::id::TaskId;
use poem::web::websocket::{CloseCode, Message};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tracing::warn;

use super::said::{Asked, Said, Topic, coalesce};
use crate::{
    app::App,
    caller::{Caller, Permission},
    codes,
    limits::{
        EVENTS_PAGE, SOCKET_CLOSE_TIMEOUT, SOCKET_IDLE_MAX, SOCKET_PING_PERIOD, SOCKET_SILENCE_MAX,
        SOCKET_TOPICS_AT_ONCE, SOCKET_TOPICS_MAX,
    },
    problem::Problem,
};

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client has closed it, or is gone.
    Client,
    /// The client does not speak as it should.
    Unreadable,
    /// The server stops.
    Stopping,
    /// The client did not answer pings.
    Silent,
    /// The caller may read tasks no more: signed out, suspended, the key revoked.
    Unwelcome,
    /// The client has subscribed to nothing for long.
    Idle,
    /// The client does not read what it is sent.
    Slow,
    /// The events cannot be read.
    Broken,
}

impl End {
    /// What the client is told, if it is there to be told.
    fn frame(self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Client => None,
            Self::Unreadable => Some((CloseCode::Protocol, "a message cannot be read")),
            Self::Stopping => Some((CloseCode::Away, "the server stops")),
            Self::Silent => Some((CloseCode::Policy, "pings are not answered")),
            Self::Unwelcome => Some((CloseCode::Policy, "the caller may not read tasks any more")),
            Self::Idle => Some((CloseCode::Normal, "nothing is subscribed to")),
            Self::Slow => Some((CloseCode::Again, "what is sent is not read")),
            Self::Broken => Some((CloseCode::Again, "events cannot be read at the moment")),
        }
    }
}

/// A WebSocket and what its client follows.
pub(super) struct Session<S> {
    app: App,
    caller: Caller,
    socket: S,
    watch: Watch,
    /// The last event that was sent of each task.
    topics: HashMap<TaskId, i64>,
    /// Tasks of which there may be more to send at once.
    behind: HashSet<TaskId>,
    heard_at: Instant,
    /// When something was last subscribed to.
    busy_at: Instant,
}

impl<S> Session<S>
where
    S: Stream<Item = io::Result<Message>> + Sink<Message, Error = io::Error> + Unpin,
{
    pub(super) fn new(app: App, caller: Caller, socket: S) -> Self {
        let now = Instant::now();
        Self {
            watch: app.bell.watch(),
            app,
            caller,
            socket,
            topics: HashMap::new(),
            behind: HashSet::new(),
            heard_at: now,
            busy_at: now,
        }
    }

    /// Serves the client until one of both sides has enough.
    pub(super) async fn run(mut self) {
        let period = self.app.timeouts.ping;
        let mut pings = interval_at(Instant::now() + period, period);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            if let Err(end) = self.step(&mut pings).await {
                break end;
            }
        };
        // The client may be gone, or not read: then it is not told.
        let _ = timeout(SOCKET_CLOSE_TIMEOUT, self.close(end)).await;
    }

    async fn step(&mut self, pings: &mut Interval) -> Result<(), End> {
        tokio::select! {
            () = self.app.stop.cancelled() => Err(End::Stopping),
            message = self.socket.next() => self.hear(message).await,
            changed = next(&mut self.watch, &mut self.behind) => self.tell(changed).await,
            _ = pings.tick() => self.ping().await,
        }
    }

    async fn hear(&mut self, message: Option<io::Result<Message>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        let said = match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(Asked::Subscribe { topic, from }) => self.subscribe(&topic, from).await?,
                Ok(Asked::Unsubscribe { topic }) => self.unsubscribe(&topic),
                Err(error) => vec![refusal(error.to_string(), None)],
            },
            Some(Ok(Message::Binary(_))) => vec![refusal("a message is a JSON text", None)],
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
            Some(Ok(Message::Close(_))) | None => return Err(End::Client),
            Some(Err(_)) => return Err(End::Unreadable),
        };
        self.send(said).await
    }

    async fn subscribe(&mut self, topic: &str, from: i64) -> Result<Vec<Said>, End> {
        let Some(Topic(id)) = Topic::parse(topic) else {
            return Ok(vec![unknown(topic)]);
        };
        if from < 0 {
            return Ok(vec![refusal("`from` must be at least 0", Some(topic))]);
        }
        if self.topics.len() >= SOCKET_TOPICS_MAX && !self.topics.contains_key(&id) {
            let detail = format!("a connection has at most {SOCKET_TOPICS_MAX} topics");
            return Ok(vec![refusal(detail, Some(topic))]);
        }
        // Before the look at the row, so that no change falls between looking and waiting.
        self.watch.add(id);
        let Some(task) = self
            .app
            .glance(self.caller, id)
            .await
            .map_err(|problem| broken(&problem))?
        else {
            self.forget(id);
            let detail = "There is no task with this id.";
            return Ok(vec![Said::error(&codes::NOT_FOUND, detail, Some(topic))]);
        };
        let seq = from.min(task.version);
        let mut said = vec![Said::Subscribed {
            topic: Topic(id),
            version: task.version,
        }];
        if task.state.is_done() && seq == task.version {
            said.push(self.forget(id));
        } else {
            self.topics.insert(id, seq);
            self.behind.insert(id);
        }
        Ok(said)
    }

    fn unsubscribe(&mut self, topic: &str) -> Vec<Said> {
        vec![match Topic::parse(topic) {
            Some(Topic(id)) => self.forget(id),
            None => unknown(topic),
        }]
    }

    fn forget(&mut self, id: TaskId) -> Said {
        self.watch.remove(id);
        self.topics.remove(&id);
        self.behind.remove(&id);
        Said::Unsubscribed { topic: Topic(id) }
    }

    /// Sends what is new of these tasks.
    async fn tell(&mut self, changed: Vec<TaskId>) -> Result<(), End> {
        let known = |id: TaskId| self.topics.get(&id).map(|seq| (id, *seq));
        let mut changed = changed.into_iter().filter_map(known);
        let now: Vec<_> = changed.by_ref().take(SOCKET_TOPICS_AT_ONCE).collect();
        let later: Vec<_> = changed.map(|(id, _)| id).collect();
        self.behind.extend(later);
        // Together, so that they share a statement, with those of other connections too.
        let read = |(id, seq): &(TaskId, i64)| self.app.events(self.caller, *id, *seq);
        let pages = join_all(now.iter().map(read)).await;
        let mut said = Vec::new();
        for ((id, _), page) in now.into_iter().zip(pages) {
            let page = page.map_err(|problem| broken(&problem))?;
            let Some(last) = page.last() else { continue };
            self.topics.insert(id, last.seq);
            let more = page.len() >= EVENTS_PAGE as usize;
            // A task that was retried goes on after its first end.
            let over = last.event == EventKind::Done && !more;
            said.extend(
                coalesce(page)
                    .into_iter()
                    .map(|event| Said::event(id, event)),
            );
            if more {
                self.behind.insert(id);
            }
            if over {
                said.push(self.forget(id));
            }
        }
        self.send(said).await
    }

    async fn send(&mut self, said: Vec<Said>) -> Result<(), End> {
        if said.is_empty() {
            return Ok(());
        }
        let patience = self.app.timeouts.send;
        for said in said {
            let text = serde_json::to_string(&said).map_err(|_| End::Broken)?;
            in_time(patience, self.socket.feed(Message::text(text))).await?;
        }
        in_time(patience, self.socket.flush()).await
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard_at.elapsed() > SOCKET_SILENCE_MAX {
            return Err(End::Silent);
        }
        if !self.topics.is_empty() {
            self.busy_at = Instant::now();
        } else if self.busy_at.elapsed() > SOCKET_IDLE_MAX {
            return Err(End::Idle);
        }
        let still = self.caller.still(&self.app, Permission::ReadTasks).await;
        if !still.map_err(|problem| broken(&problem))? {
            return Err(End::Unwelcome);
        }
        let ping = Message::ping(Vec::new());
        in_time(self.app.timeouts.send, self.socket.send(ping)).await
    }

    /// Says why, and waits until the client has heard it.
    async fn close(&mut self, end: End) -> io::Result<()> {
        let Some((code, reason)) = end.frame() else {
            return self.socket.close().await;
        };
        self.socket.send(Message::close_with(code, reason)).await?;
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }
}

/// The tasks of which there may be news.
async fn next(watch: &mut Watch, behind: &mut HashSet<TaskId>) -> Vec<TaskId> {
    if behind.is_empty() {
        return watch.changed(SOCKET_PING_PERIOD).await;
    }
    behind.drain().collect()
}

async fn in_time(
    patience: Duration,
    sending: impl Future<Output = io::Result<()>>,
) -> Result<(), End> {
    match timeout(patience, sending).await {
        Ok(sent) => sent.map_err(|_| End::Client),
        Err(_) => Err(End::Slow),
    }
}

fn broken(problem: &Problem) -> End {
    warn!("Closed a WebSocket: {problem}");
    End::Broken
}

fn refusal(detail: impl Into<String>, topic: Option<&str>) -> Said {
    Said::error(&codes::VALIDATION_FAILED, detail, topic)
}

fn unknown(topic: &str) -> Said {
    refusal("a topic is `task:` and the id of a task", Some(topic))
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use jobs::bell::Bell;
    use models::testing::{TestDb, TestResult};
    use platform::health::Health;

    use super::*;

    /// A connection whose other side neither reads nor writes.
    struct Stuck;

    impl Stream for Stuck {
        type Item = io::Result<Message>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }

    impl Sink<Message> for Stuck {
        type Error = io::Error;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn start_send(self: Pin<&mut Self>, _: Message) -> io::Result<()> {
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn who_does_not_read_or_answer_is_told_why_it_ends() -> TestResult {
        let test = TestDb::sqlite().await?;
        let mut app = App::new(test.db.clone(), Bell::in_process(), Health::default());
        app.timeouts.send = Duration::from_millis(1);
        let caller = Caller::local(&app.operators);
        let mut session = Session::new(app, caller, Stuck);

        let said = session.unsubscribe("anything");
        let slow = session.send(said).await;
        session.heard_at -= SOCKET_SILENCE_MAX + Duration::from_secs(1);
        let silent = session.ping().await;

        assert_eq!(slow, Err(End::Slow));
        assert_eq!(silent, Err(End::Silent));
        let code = |end: End| end.frame().map(|(code, _)| u16::from(code));
        let codes = [End::Slow, End::Stopping, End::Silent, End::Client].map(code);
        assert_eq!(codes, [Some(1013), Some(1001), Some(1008), None]);
        test.close().await
    }
}
