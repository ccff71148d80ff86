//! What other processes say: that a queue was rung, that a task changed.
//!
//! Redis keeps nothing of it, so whatever was said during a gap is made up for by looking.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use redis::{ErrorKind, Msg, RedisError, RedisResult, Value};
use tokio::time::{sleep, timeout};
use tracing::debug;
use uuid::Uuid;

use super::{
    Shared,
    keys::{CHANGED, OFFERED},
};

/// How long connecting, subscribing and a sign of life may take each.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was silent for so long is asked for a sign of life.
const PING_PERIOD: Duration = Duration::from_secs(5);
/// How long to wait before the next connection.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens until the bell is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let listening = async {
        loop {
            if let Err(error) = session(&shared).await {
                debug!(%error, "Heard nothing more from Redis");
            }
            shared.local.watchers.hears(false);
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = shared.stop.cancelled() => {}
    }
}

/// Listens on one connection for as long as it lives.
async fn session(shared: &Shared) -> RedisResult<()> {
    let (mut sink, mut messages) = in_time(shared.client.get_async_pubsub()).await?.split();
    for channel in shared.channels() {
        in_time(sink.subscribe(channel)).await?;
    }
    shared.knock_all();
    shared.local.watchers.hears(true);
    loop {
        match timeout(PING_PERIOD, messages.next()).await {
            Ok(Some(message)) => hear(shared, &message),
            Ok(None) => return Ok(()),
            Err(_) => in_time(sink.ping::<Value>()).await.map(|_| ())?,
        }
    }
}

fn hear(shared: &Shared, message: &Msg) {
    let channel = message.get_channel_name();
    if channel != CHANGED {
        shared.knock(channel, message.get_payload_bytes() == OFFERED);
        return;
    }
    let (ids, _) = message.get_payload_bytes().as_chunks::<16>();
    for id in ids {
        shared.local.watchers.announce(Uuid::from_bytes(*id).into());
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| RedisError::from((ErrorKind::Io, "no answer in time"));
    timeout(ANSWER_TIMEOUT, answer).await.map_err(late)?
}
