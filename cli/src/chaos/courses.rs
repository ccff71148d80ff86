//! A course that is written while its workers are killed, against one that is not.

use anyhow::{Context, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::client::{self, Client};

/// Lessons of the course.
const LESSONS: u32 = 12;
/// The kills come within this share of the time that the undisturbed course took.
const SHARE: f64 = 0.9;

/// What the kills did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redone {
    /// Kills of a worker.
    pub kills: u32,
    /// Attempts at a lesson or at the course that they ended.
    pub attempts_lost: usize,
    /// Whether the course is the same to the last byte.
    pub same: bool,
}

/// Writes the same course twice, the second time with kills.
///
/// # Errors
/// When a course does not come to a good end.
pub(crate) async fn run(kills: u32, seed: u64, client: &Client) -> anyhow::Result<Redone> {
    let brief = json!({"topic": "Tide pools", "lessons": LESSONS, "seed": seed % 1_000_000});
    let began = Instant::now();
    let calm = ask(&brief, client).await?;
    let undisturbed = finished(&calm, client).await?;
    let duration = began.elapsed();

    let rough = ask(&brief, client).await?;
    kill(kills, seed, duration.mul_f64(SHARE), client).await;
    let disturbed = finished(&rough, client).await?;
    Ok(Redone {
        kills,
        attempts_lost: attempts_lost(&rough, client).await?,
        same: disturbed == undisturbed,
    })
}

async fn ask(brief: &Value, client: &Client) -> anyhow::Result<Value> {
    let answer = client::send(client.request(Method::POST, 0, "/v1/courses").json(brief)).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    Ok(answer.body)
}

/// Kills random workers at random moments within so much time.
async fn kill(kills: u32, seed: u64, within: Duration, client: &Client) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut moments: Vec<f64> = (0..kills).map(|_| random.random()).collect();
    moments.sort_by(f64::total_cmp);
    let mut before = 0.0;
    for moment in moments {
        sleep(within.mul_f64(moment - before)).await;
        before = moment;
        client.fleet.worker(random.random()).kill();
    }
}

/// Waits for a course and gives back its text.
async fn finished(task: &Value, client: &Client) -> anyhow::Result<Value> {
    let path = link(task, "self")?;
    let ended = client.until(path, |task| task["done"] == true).await?;
    ensure!(ended["state"] == "succeeded", "{ended}");
    let course = link(task, "subject")?;
    client.get(&format!("{course}/export?format=json")).await
}

async fn attempts_lost(task: &Value, client: &Client) -> anyhow::Result<usize> {
    let id = client::id(task).context("a task has an id")?;
    let page = client
        .get(&format!("/v1/tasks?parent={id}&limit=100"))
        .await?;
    let mut ids = vec![id];
    ids.extend(
        page["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(client::id),
    );
    let mut lost = 0;
    for id in ids {
        let attempts = client.get(&format!("/v1/tasks/{id}/attempts")).await?;
        let attempts = attempts["items"].as_array().into_iter().flatten();
        lost += attempts
            .filter(|attempt| attempt["outcome"] == "lost")
            .count();
    }
    Ok(lost)
}

fn link<'a>(task: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    task["links"][name]
        .as_str()
        .with_context(|| format!("no {name} in {task}"))
}
