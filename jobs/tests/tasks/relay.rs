//! The bell and the relay.

use std::time::Duration;

use jobs::{
    Queue, State, TaskId,
    bell::{Bell, RINGS_MAX},
    kinds::Noop,
    relay,
    store::{self, New, Options},
};
use models::{Db, on_both, testing::TestResult};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{WORKER, commit, enqueue, get, options, running, silence};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

on_both! {
    async fn what_nobody_rang_for_is_rung(db: &Db) -> TestResult {
        let task = enqueue(db, options()).await?;
        let (bell, _running) = relay(db);

        let id = timeout(PATIENCE, one(&bell, Queue::Default)).await?;

        assert_eq!(id, task.id);
        Ok(())
    }

    async fn a_scheduled_task_is_rung_when_its_time_comes(db: &Db) -> TestResult {
        let (bell, _running) = relay(db);
        let run_at = db.now() + Duration::from_millis(300);
        let task = enqueue(db, Options { run_at: Some(run_at), ..options() }).await?;
        bell.tell(&task, db.now());

        let id = timeout(PATIENCE, one(&bell, Queue::Default)).await?;

        assert_eq!(id, task.id);
        assert!(db.now() >= run_at);
        assert!(db.now() < run_at + relay::PERIOD, "the nudge moved the relay to act");
        Ok(())
    }

    async fn the_tasks_of_a_silent_worker_are_rung_again(db: &Db) -> TestResult {
        let silent = running(db).await?;
        store::heartbeat(db, WORKER, db.now() - silence() - silence()).await?;
        let (bell, _running) = relay(db);

        let id = timeout(PATIENCE, one(&bell, Queue::Default)).await?;

        assert_eq!(id, silent.id);
        assert_eq!(get(db, silent.id).await?.state, State::Queued);
        Ok(())
    }

    async fn more_tasks_than_the_bell_holds_are_all_rung(db: &Db) -> TestResult {
        static NOOP: jobs::Definition = jobs::Definition::of::<Noop>();
        let count = RINGS_MAX + 500;
        let new = (0..count).map(|n| New {
            definition: &NOOP,
            payload: json!({"n": n}),
            options: options(),
        });
        commit!(db, tx => store::enqueue_many(&mut tx, new.collect(), db.now()));
        let (bell, _running) = relay(db);

        let mut started = 0;
        let begun = Instant::now();
        while started < count {
            let id = timeout(PATIENCE, one(&bell, Queue::Default)).await?;
            started += store::start(db, &[id], WORKER, db.now()).await?.len();
        }

        assert!(begun.elapsed() < PATIENCE * 3);
        Ok(())
    }

    async fn a_relay_stops_when_it_is_told_to(db: &Db) -> TestResult {
        let (bell, stop) = (Bell::in_process(), CancellationToken::new());
        let relay = tokio::spawn(relay::run(db.clone(), bell, stop.clone()));

        stop.cancel();

        timeout(PATIENCE, relay).await??;
        Ok(())
    }

    async fn a_relay_outlives_a_database_that_fails(db: &Db) -> TestResult {
        let (bell, stop) = (Bell::in_process(), CancellationToken::new());
        let relay = tokio::spawn(relay::run(db.clone(), bell.clone(), stop.clone()));
        db.close().await;
        bell.nudge();
        tokio::time::sleep(Duration::from_millis(200)).await;

        assert!(!relay.is_finished());
        stop.cancel();
        timeout(PATIENCE, relay).await??;
        Ok(())
    }
}

#[tokio::test]
async fn a_task_rings_once_however_often_it_is_rung() {
    let bell = Bell::in_process();
    let (first, second) = (TaskId::new(), TaskId::new());

    bell.ring(&[
        (Queue::Media, first),
        (Queue::Media, first),
        (Queue::Email, second),
    ]);
    bell.ring(&[(Queue::Media, first), (Queue::Media, second)]);

    assert_eq!(one(&bell, Queue::Media).await, first);
    assert_eq!(one(&bell, Queue::Media).await, second);
    assert_eq!(one(&bell, Queue::Email).await, second);
    assert!(
        timeout(Duration::from_millis(20), one(&bell, Queue::Media))
            .await
            .is_err()
    );
    bell.ring(&[(Queue::Media, first)]);
    assert_eq!(
        one(&bell, Queue::Media).await,
        first,
        "it may ring again once it was heard"
    );
}

#[tokio::test]
async fn a_full_bell_drops_rings_and_never_waits() {
    let bell = Bell::in_process();
    let rings: Vec<_> = (0..RINGS_MAX + 5)
        .map(|_| (Queue::Default, TaskId::new()))
        .collect();

    bell.ring(&rings);

    for (_, id) in &rings[..RINGS_MAX] {
        assert_eq!(one(&bell, Queue::Default).await, *id);
    }
    assert!(
        timeout(Duration::from_millis(20), one(&bell, Queue::Default))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_consumer_takes_no_more_than_it_asks_for_and_leaves_the_rest() {
    let bell = Bell::in_process();
    let ids: Vec<_> = (0..5).map(|_| TaskId::new()).collect();
    bell.ring(&ids.iter().map(|id| (Queue::Email, *id)).collect::<Vec<_>>());

    assert_eq!(bell.take(Queue::Email, 3).await, ids[..3]);
    assert_eq!(bell.take(Queue::Email, 3).await, ids[3..]);
}

#[tokio::test]
async fn every_waiting_consumer_hears_a_ring_of_its_own() -> TestResult {
    let bell = Bell::in_process();
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let bell = bell.clone();
            tokio::spawn(async move { one(&bell, Queue::Default).await })
        })
        .collect();
    tokio::task::yield_now().await;

    bell.ring(&[0; 4].map(|_| (Queue::Default, TaskId::new())));

    for consumer in consumers {
        timeout(PATIENCE, consumer).await??;
    }
    Ok(())
}

#[tokio::test]
async fn a_change_between_reading_and_waiting_is_not_missed() {
    let bell = Bell::in_process();
    let id = TaskId::new();
    let mut watch = bell.watch();
    watch.add(id);

    bell.announce(id);

    assert_eq!(watch.changed(Duration::ZERO).await, [id]);
}

/// Takes one task.
async fn one(bell: &Bell, queue: Queue) -> TaskId {
    bell.take(queue, 1).await[0]
}

/// A relay that runs until the guard is dropped, and its bell.
fn relay(db: &Db) -> (Bell, tokio_util::sync::DropGuard) {
    let (bell, stop) = (Bell::in_process(), CancellationToken::new());
    tokio::spawn(relay::run(db.clone(), bell.clone(), stop.clone()));
    (bell, stop.drop_guard())
}
