//! `kill -9` at random moments of a course changes nothing of the course.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::process::Dev;
use anyhow::ensure;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// How often the system is killed while it writes one course.
const KILLS: u32 = 10;
const LESSONS: u32 = 12;
/// The kills come within this share of the time that the undisturbed course took. What a kill undoes
/// is done again, so the course lasts longer than that.
const SHARE: f64 = 0.9;

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_at_random_moments_change_nothing() -> anyhow::Result<()> {
    let brief = json!({"topic": "Tide pools", "lessons": LESSONS, "seed": 4242});
    let (calm, rough) = (TempDir::new()?, TempDir::new()?);
    let began = Instant::now();
    let undisturbed = write_undisturbed(calm.path(), &brief).await?;
    let duration = began.elapsed();

    let dev = Dev::start(rough.path()).await?;
    let (task, course) = dev.ask(&brief).await?;
    let dev = kill_often(dev, rough.path(), &task, duration.mul_f64(SHARE)).await?;
    let ended = dev.ended(&task).await?;
    let disturbed = dev.text(&format!("{course}/export?format=json")).await?;

    eprintln!(
        "{KILLS} kills; undisturbed {duration:?}, disturbed {:?}",
        began.elapsed().saturating_sub(duration)
    );
    ensure!(ended["state"] == "succeeded", "{ended}");
    ensure!(
        disturbed == undisturbed,
        "the course is another one:\n{undisturbed}\n{disturbed}"
    );
    check_written_once(&dev, &ended).await
}

async fn write_undisturbed(data: &Path, brief: &Value) -> anyhow::Result<String> {
    let dev = Dev::start(data).await?;
    let (task, course) = dev.ask(brief).await?;
    dev.ended(&task).await?;
    dev.text(&format!("{course}/export?format=json")).await
}

/// Kills and restarts at random moments, all of them equally likely, within so much time at work.
async fn kill_often(
    mut dev: Dev,
    data: &Path,
    task: &str,
    within: Duration,
) -> anyhow::Result<Dev> {
    let seed = rand::random();
    eprintln!("the moments follow from seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut moments: Vec<f64> = (0..KILLS).map(|_| random.random()).collect();
    moments.sort_by(f64::total_cmp);
    let mut before = 0.0;
    for moment in moments {
        sleep(within.mul_f64(moment - before)).await;
        before = moment;
        let seen = dev.get(task).await?;
        ensure!(
            seen["done"] == json!(false),
            "the course was done before the kill at {moment}"
        );
        dev.kill().await?;
        dev = Dev::start(data).await?;
        eprintln!("killed at {} %", seen["progress"]["percent"]);
    }
    Ok(dev)
}

/// Every lesson has exactly one attempt that finished it; the others were lost to a kill.
async fn check_written_once(dev: &Dev, course: &Value) -> anyhow::Result<()> {
    let parent = course["id"].as_str().unwrap_or_default();
    let children = dev
        .get(&format!("/v1/tasks?parent={parent}&limit=100"))
        .await?;
    let children = children["items"].as_array().cloned().unwrap_or_default();
    ensure!(
        children.len() >= LESSONS as usize,
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
