//! The load: tasks, each under a key of its own, asked for until an API has acknowledged them.

use std::{sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    client::{self, Client},
    history::{History, What},
    watcher::Watched,
};

/// Requests that are under way at most.
const UNDER_WAY_MAX: usize = 256;
/// How soon a task is asked for again that nobody has acknowledged.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long a task is asked for.
const PATIENCE: Duration = Duration::from_mins(3);
/// A task does nothing for so many milliseconds at most.
const SLEEP_MS_MAX: u64 = 200;
/// Of so many acknowledged tasks one is asked for once more: the answer must be the same task.
const ASKED_AGAIN: u32 = 10;

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Where the details come from.
    pub seed: u64,
    /// How many tasks.
    pub tasks: u32,
    /// Evenly over this time.
    pub duration: Duration,
}

/// The key of a task.
pub(crate) fn key(number: i64) -> String {
    format!("chaos-{number}")
}

/// Submits every task of the load, and hands those that were acknowledged to the watchers,
/// of which there is one at least.
pub(crate) async fn drive(
    load: Load,
    client: Client,
    history: History,
    watchers: Vec<mpsc::UnboundedSender<Watched>>,
) {
    let began = Instant::now();
    let room = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut requests = JoinSet::new();
    for number in 0..load.tasks {
        sleep_until(
            began
                + load
                    .duration
                    .mul_f64(f64::from(number) / f64::from(load.tasks)),
        )
        .await;
        // The semaphore is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let (client, history) = (client.clone(), history.clone());
        let watched = watchers[number as usize % watchers.len()].clone();
        requests.spawn(async move {
            submit(load.seed, number, &client, &history, &watched).await;
            drop(permit);
        });
        while requests.try_join_next().is_some() {}
    }
    requests.join_all().await;
}

/// Asks one API after the other for a task until one has acknowledged it.
async fn submit(
    seed: u64,
    number: u32,
    client: &Client,
    history: &History,
    watched: &mpsc::UnboundedSender<Watched>,
) {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(u64::from(number) << 32));
    let payload = json!({"n": number, "sleep_ms": random.random_range(0..=SLEEP_MS_MAX)});
    let number = i64::from(number);
    let deadline = Instant::now() + PATIENCE;
    let mut acknowledged = 0;
    let wanted = if random.random_ratio(1, ASKED_AGAIN) {
        2
    } else {
        1
    };
    while acknowledged < wanted && Instant::now() < deadline {
        history.note(What::Invoke { number });
        let request = client.submit(random.random(), &key(number), &payload);
        let began = Instant::now();
        let answered = client::send(request).await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let task = answered
            .as_ref()
            .ok()
            .filter(|answer| answer.status.is_success());
        if let Some(id) = task.and_then(|answer| client::id(&answer.body)) {
            history.note(What::Ok {
                number,
                id,
                took_ms,
            });
            if acknowledged == 0 {
                // Nobody watches any more when the experiment was stopped.
                let _ = watched.send(Watched::new(id));
            }
            acknowledged += 1;
            continue;
        }
        history.note(match answered {
            Ok(answer) => What::Fail {
                number,
                status: answer.status.as_u16(),
                code: answer.body["code"].as_str().unwrap_or_default().to_owned(),
                took_ms,
            },
            Err(error) => What::Info {
                number,
                reason: error.without_url().to_string(),
                took_ms,
            },
        });
        sleep(RETRY_PAUSE).await;
    }
}
