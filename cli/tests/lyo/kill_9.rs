//! `kill -9` at random moments of a course changes nothing of the course.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use crate::process::{Dev, PATIENCE};
use anyhow::ensure;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// No kill is planned for later than this percentage: the work goes on a little before each.
const PLACE_MAX: f64 = 65.0;

#[tokio::test(flavor = "multi_thread")]
async fn two_kills_change_nothing() -> anyhow::Result<()> {
    kill_and_compare(2, 12).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, since each lease has to run out: scripts/kill9"]
async fn ten_kills_change_nothing() -> anyhow::Result<()> {
    kill_and_compare(10, 40).await
}

/// Writes one course undisturbed and one with kills, and compares them byte for byte.
async fn kill_and_compare(kills: u32, lessons: u32) -> anyhow::Result<()> {
    let brief = json!({"topic": "Tide pools", "lessons": lessons, "seed": 4242});
    let (calm, rough) = (TempDir::new()?, TempDir::new()?);
    let began = Instant::now();
    let undisturbed = write_undisturbed(calm.path(), &brief).await?;
    let duration = began.elapsed();

    let dev = Dev::start(rough.path()).await?;
    let (task, course) = dev.ask(&brief).await?;
    let dev = kill_often(dev, rough.path(), &task, kills, duration / lessons).await?;
    let ended = dev.ended(&task).await?;
    let disturbed = dev.text(&format!("{course}/export?format=json")).await?;

    eprintln!(
        "{kills} kills; undisturbed {duration:?}, disturbed {:?}",
        began.elapsed().saturating_sub(duration)
    );
    ensure!(ended["state"] == "succeeded", "{ended}");
    ensure!(
        disturbed == undisturbed,
        "the course is another one:\n{undisturbed}\n{disturbed}"
    );
    check_written_once(&dev, &ended, lessons).await
}

async fn write_undisturbed(data: &Path, brief: &Value) -> anyhow::Result<String> {
    let dev = Dev::start(data).await?;
    let (task, course) = dev.ask(brief).await?;
    dev.ended(&task).await?;
    dev.text(&format!("{course}/export?format=json")).await
}

/// Kills and restarts at random places of the course, and at a random moment of the lesson there.
///
/// Places rather than times: work that a kill undid is done again, so kills at random times would
/// gather at the beginning.
async fn kill_often(
    mut dev: Dev,
    data: &Path,
    task: &str,
    kills: u32,
    lesson: Duration,
) -> anyhow::Result<Dev> {
    let mut random = StdRng::seed_from_u64(9);
    let mut places: Vec<f64> = (0..kills)
        .map(|_| random.random_range(0.0..PLACE_MAX))
        .collect();
    places.sort_by(f64::total_cmp);
    let mut seen = BTreeSet::new();
    for place in places {
        at_work(&dev, task, &seen).await?;
        reached(&dev, task, place).await?;
        sleep(lesson.mul_f64(random.random())).await;
        seen = running(&dev).await?;
        let before = dev.get(task).await?;
        ensure!(
            before["done"] == json!(false),
            "the course was done before the kill at {place}"
        );
        dev.kill().await?;
        dev = Dev::start(data).await?;
        eprintln!(
            "killed at {} %, {} tasks at work",
            before["progress"]["percent"],
            seen.len()
        );
    }
    Ok(dev)
}

async fn reached(dev: &Dev, task: &str, percent: f64) -> anyhow::Result<()> {
    let began = Instant::now();
    while dev.get(task).await?["progress"]["percent"].as_f64() < Some(percent) {
        ensure!(began.elapsed() < PATIENCE, "{percent} % are never reached");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until this process works on something: what the one before held is still marked as
/// running until its lease runs out.
async fn at_work(dev: &Dev, task: &str, seen: &BTreeSet<(String, u64)>) -> anyhow::Result<()> {
    let began = Instant::now();
    while running(dev).await?.is_subset(seen) && dev.get(task).await?["done"] == json!(false) {
        ensure!(began.elapsed() < PATIENCE, "nothing runs");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Every running task with its attempt.
async fn running(dev: &Dev) -> anyhow::Result<BTreeSet<(String, u64)>> {
    let page = dev.get("/v1/tasks?state=running&limit=100").await?;
    let tasks = page["items"].as_array().cloned().unwrap_or_default();
    let attempt = |task: &Value| Some((task["id"].as_str()?.to_owned(), task["attempt"].as_u64()?));
    Ok(tasks.iter().filter_map(attempt).collect())
}

/// Every lesson has exactly one attempt that finished it; the others were lost to a kill.
async fn check_written_once(dev: &Dev, course: &Value, lessons: u32) -> anyhow::Result<()> {
    let parent = course["id"].as_str().unwrap_or_default();
    let children = dev
        .get(&format!("/v1/tasks?parent={parent}&limit=100"))
        .await?;
    let children = children["items"].as_array().cloned().unwrap_or_default();
    ensure!(
        children.len() >= lessons as usize,
        "{} lessons have a task",
        children.len()
    );
    let mut lost = 0;
    for child in &children {
        let id = child["id"].as_str().unwrap_or_default();
        let attempts = dev.get(&format!("/v1/tasks/{id}/attempts")).await?;
        let attempts = attempts["items"].as_array().cloned().unwrap_or_default();
        let finished = attempts
            .iter()
            .filter(|attempt| attempt["outcome"] == "succeeded")
            .count();
        ensure!(
            finished == 1,
            "lesson written {finished} times: {attempts:?}"
        );
        lost += attempts.len() - finished;
    }
    eprintln!(
        "{} lessons, each finished once; {lost} attempts lost to kills",
        children.len()
    );
    Ok(())
}
