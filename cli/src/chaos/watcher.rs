//! Polls every acknowledged task, again and again until it has ended, through any API.

use std::{collections::VecDeque, time::Duration};

use models::TaskId;
use rand::random;
use reqwest::{Method, StatusCode};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    client::{self, Client},
    history::{History, What},
};

/// Between two polls of one watcher.
const PAUSE: Duration = Duration::from_millis(15);
/// How long nothing may end after the last task was acknowledged: leases, retries and outages fit in.
const PATIENCE: Duration = Duration::from_mins(2);

/// A task to be watched.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    id: TaskId,
    /// The version that was noted last.
    version: i64,
}

impl Watched {
    /// A task of which nothing is known.
    pub(crate) fn new(id: TaskId) -> Self {
        Self { id, version: 0 }
    }
}

/// Watches what comes, one poll after the other, until nothing more comes and all of it has ended, or
/// nothing has ended for two minutes.
pub(crate) async fn watch(
    client: Client,
    history: History,
    mut coming: mpsc::UnboundedReceiver<Watched>,
) {
    let mut pending = VecDeque::new();
    let (mut last, mut closed) = (Instant::now(), false);
    while !closed || (!pending.is_empty() && last.elapsed() < PATIENCE) {
        loop {
            match coming.try_recv() {
                Ok(watched) => {
                    pending.push_back(watched);
                    last = Instant::now();
                }
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    closed = true;
                    break;
                }
            }
        }
        if let Some(mut watched) = pending.pop_front() {
            if poll(&client, &history, &mut watched).await {
                last = Instant::now();
            } else {
                pending.push_back(watched);
            }
        }
        sleep(PAUSE).await;
    }
}

/// Looks once; true when the task has ended or is gone.
async fn poll(client: &Client, history: &History, watched: &mut Watched) -> bool {
    let id = watched.id;
    let request = client.request(Method::GET, random(), &format!("/v1/tasks/{id}"));
    let Ok(answer) = client::send(request).await else {
        return false;
    };
    if answer.status == StatusCode::NOT_FOUND {
        history.note(What::Gone { id });
        return true;
    }
    if answer.status != StatusCode::OK {
        return false;
    }
    let task = answer.body;
    let (version, attempt) = (task["version"].as_i64(), task["attempt"].as_i64());
    let (Some(version), Some(attempt)) = (version, attempt) else {
        return false;
    };
    let done = task["done"] == true;
    if version != watched.version {
        let state = task["state"].as_str().unwrap_or_default().to_owned();
        history.note(What::Seen {
            id,
            state,
            done,
            version,
            attempt,
        });
        watched.version = version;
    }
    done
}
