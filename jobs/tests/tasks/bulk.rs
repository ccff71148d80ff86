//! Everybody's tasks, as operators select them.

use chrono::TimeDelta;
use jobs::{
    Queue, State, TaskId,
    store::bulk::{self, Selection},
};
use models::{Cursor, Db, Limit, OwnerId, Result, on_both, testing::TestResult};
use uuid::Uuid;

use crate::support::{cancel, enqueue, fail, options, running, succeed};

/// Ids of the tasks that live, or of those that ended without success.
async fn ids(db: &Db, selection: &Selection, alive: bool) -> Result<Vec<TaskId>> {
    let mut conn = db.conn().await?;
    let ids = bulk::ids(&mut conn, selection, alive, 100).await?;
    let count = bulk::count(&mut conn, selection, alive).await?;
    assert_eq!(usize::try_from(count).ok(), Some(ids.len()));
    Ok(ids.into_iter().map(|(id, _)| id).collect())
}

on_both! {
    async fn each_condition_selects(db: &Db) -> TestResult {
        let (failed, done, alive) = (running(db).await?, running(db).await?, running(db).await?);
        fail(db, &failed).await?;
        succeed(db, &done).await?;
        let cancelled = enqueue(db, options()).await?;
        cancel(db, &cancelled).await?;
        let all = Selection::default();
        let (before, after) = (failed.created_at, cancelled.created_at + TimeDelta::seconds(1));
        let ended = vec![failed.id, cancelled.id];

        assert!(all.is_empty());
        assert_eq!(ids(db, &all, true).await?, [alive.id]);
        assert_eq!(ids(db, &all, false).await?, ended, "success is no reason to try again");
        for (selection, expected) in [
            (Selection { kind: Some("noop".to_owned()), ..all.clone() }, &ended[..]),
            (Selection { kind: Some("other".to_owned()), ..all.clone() }, &[]),
            (Selection { queue: Some(Queue::Default), ..all.clone() }, &ended[..]),
            (Selection { queue: Some(Queue::Email), ..all.clone() }, &[]),
            (Selection { state: Some(State::Failed), ..all.clone() }, &ended[..1]),
            (Selection { state: Some(State::Running), ..all.clone() }, &[]),
            (Selection { owner: Some(OwnerId::LOCAL), ..all.clone() }, &ended[..]),
            (Selection { owner: Some(Uuid::max().into()), ..all.clone() }, &[]),
            (Selection { error: Some("broken".to_owned()), ..all.clone() }, &ended[..1]),
            (Selection { error: Some("other".to_owned()), ..all.clone() }, &[]),
            (Selection { created_after: Some(before), ..all.clone() }, &ended[1..]),
            (Selection { created_before: Some(after), ..all.clone() }, &ended[..]),
            (Selection { created_after: Some(after), ..all.clone() }, &[]),
        ] {
            assert!(!selection.is_empty());
            assert_eq!(ids(db, &selection, false).await?, expected, "{selection:?}");
        }
        Ok(())
    }

    async fn everybody_s_tasks_are_listed_in_pages_newest_first(db: &Db) -> TestResult {
        let mut tasks = Vec::new();
        for number in 0..5 {
            let owner = OwnerId::from(Uuid::from_u128(number));
            tasks.push(enqueue(db, jobs::store::Options::by(owner)).await?.id);
        }
        tasks.reverse();
        let (mut conn, mut seen) = (db.conn().await?, Vec::new());
        let mut next: Option<Cursor> = None;

        loop {
            let page =
                bulk::list(&mut conn, &Selection::default(), next, Limit::new(2)?).await?;
            seen.extend(page.items.iter().map(|task| task.id));
            next = page.next;
            if next.is_none() {
                break;
            }
        }

        assert_eq!(seen, tasks);
        Ok(())
    }
}
