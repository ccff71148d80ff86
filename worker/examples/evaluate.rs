//! Writes a course on each of the held-out topics and reports how good they are, as Markdown.
//!
//! ```sh
//! cargo run -p worker --example evaluate -- [MODEL] [TOPICS] [SAMPLE]
//! ```
//!
//! `MODEL` is what `LYO_MODEL` takes (`starter`), `TOPICS` how many of the 50 topics (all), `SAMPLE` a
//! file for the Markdown of the first course. The courses run through the very pipeline of `lyo dev`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use inference::{EngineConfig, FetchOptions};
use jobs::{
    Queue, State, Task,
    bell::Bell,
    kinds::GenerateCourse,
    relay,
    store::{self, Options},
};
use media::{Limits, Pool};
use models::{
    CourseId, Db, DbOptions, OwnerId, TaskId,
    content::Content,
    courses::{self, Brief, Course},
    export,
    lessons::{self, Lesson, Status},
    modules,
};
use platform::health::Health;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use worker::{Ctx, ModelConfig, Models, Place, WorkerConfig, mailer::Mailer};

const TOPICS: &str = include_str!("../../scripts/train_starter/held_out_topics.txt");
/// The same seed for every course: the report can be repeated.
const SEED: u64 = 1;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |place: usize| arguments.get(place).map(String::as_str);
    let source: Place = argument(0).unwrap_or("starter").parse()?;
    let count: usize = argument(1)
        .unwrap_or("50")
        .parse()
        .context("TOPICS is a number")?;
    let sample = argument(2).map(PathBuf::from);

    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("lyo.db").display());
    let db = Db::connect(&url, &DbOptions::default()).await?;
    db.migrate().await?;
    let stop = CancellationToken::new();
    let bell = start(&db, source, folder.path().join("models"), &stop);

    println!(
        "| topic | gates failed | lessons | need review | name it | first lesson s | course s | tokens/s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut all = Vec::new();
    for topic in TOPICS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(count)
    {
        let report = write(&db, &bell, topic).await?;
        println!("{}", report.row());
        if let (Some(file), true) = (&sample, all.is_empty()) {
            std::fs::write(file, markdown(&db, report.course.id).await?)?;
        }
        all.push(report);
    }
    summary(&all);
    stop.cancel();
    Ok(())
}

/// Starts a worker and a relay.
fn start(db: &Db, source: Place, cache: PathBuf, stop: &CancellationToken) -> Bell {
    let bell = Bell::in_process();
    let health = Health::default();
    let config = ModelConfig {
        source,
        fallback: false,
        fetch: FetchOptions::new(cache),
        engine: EngineConfig::default(),
    };
    let model = Models::lazy(config, health.clone());
    let ctx = Ctx {
        db: db.clone(),
        bell: bell.clone(),
        model,
        // Only courses are written here.
        mailer: Mailer::folder("unused".as_ref()),
        pictures: Arc::new(Pool::new(Limits::default())),
        storage: None,
        health,
    };
    let config = WorkerConfig {
        name: "evaluate".to_owned(),
        queues: vec![Queue::Generation],
        concurrency: 2,
        grace: Duration::ZERO,
    };
    tokio::spawn(relay::run(db.clone(), bell.clone(), stop.clone()));
    tokio::spawn(worker::run(config, ctx, stop.clone()));
    bell
}

/// One course and what it took.
struct Report {
    course: Course,
    lessons: Vec<Lesson>,
    task: Task,
    first: Duration,
    whole: Duration,
    tokens: u64,
}

async fn write(db: &Db, bell: &Bell, topic: &str) -> anyhow::Result<Report> {
    let brief = Brief {
        seed: Some(SEED),
        ..Brief::new(topic)
    }
    .validate()?;
    let (course, id) = submit(db, &brief).await?;
    let began = Instant::now();
    bell.ring(&[(Queue::Generation, id)]);
    let mut first = None;
    loop {
        let mut conn = db.conn().await?;
        let task = store::get(&mut conn, id).await?;
        let lessons = lessons::list(&mut conn, course).await?;
        let written = |lesson: &Lesson| lesson.content.is_some();
        if first.is_none() && lessons.iter().any(written) {
            first = Some(began.elapsed());
        }
        if task.state.is_done() {
            let whole = began.elapsed();
            let children = store::children(&mut conn, id).await?;
            let tokens = task.usage.tokens_out
                + children
                    .iter()
                    .map(|child| child.usage.tokens_out)
                    .sum::<u64>();
            let course = courses::get_any(&mut conn, course).await?;
            let first = first.unwrap_or(whole);
            return Ok(Report {
                course,
                lessons,
                task,
                first,
                whole,
                tokens,
            });
        }
        drop(conn);
        sleep(Duration::from_millis(50)).await;
    }
}

async fn submit(db: &Db, brief: &Brief) -> anyhow::Result<(CourseId, TaskId)> {
    let mut tx = db.begin().await?;
    let course = courses::create(&mut tx, OwnerId::LOCAL, brief, db.now()).await?;
    let job = GenerateCourse {
        course_id: course.id,
    };
    let task = store::enqueue(&mut tx, &job, Options::by(OwnerId::LOCAL), db.now()).await?;
    courses::attach(&mut tx, course.id, task.id).await?;
    tx.commit().await?;
    Ok((course.id, task.id))
}

async fn markdown(db: &Db, id: CourseId) -> anyhow::Result<String> {
    let mut conn = db.conn().await?;
    let course = courses::get_any(&mut conn, id).await?;
    let modules = modules::list(&mut conn, id).await?;
    let lessons = lessons::list(&mut conn, id).await?;
    Ok(export::markdown(&export::document(
        &course, &modules, &lessons,
    )))
}

impl Report {
    fn passed(&self) -> bool {
        self.task.state == State::Succeeded
            && self
                .course
                .quality
                .as_ref()
                .is_some_and(|quality| quality.passed)
    }

    fn failed_gates(&self) -> String {
        let Some(quality) = &self.course.quality else {
            let code = self.task.error.as_ref().map(|error| error.code.clone());
            return code.unwrap_or_else(|| self.task.state.to_string());
        };
        let failed = quality.gates.iter().filter(|gate| !gate.passed);
        let mut names: Vec<String> = failed.map(|gate| gate.gate.clone()).collect();
        for lesson in &self.lessons {
            names.extend(
                lesson
                    .flags
                    .iter()
                    .map(|flag| format!("{}:{}", lesson.ordinal, flag.gate)),
            );
        }
        names.join(" ")
    }

    /// Lessons whose text holds the topic as it was typed, whatever its case.
    fn naming(&self) -> usize {
        let topic = self.course.brief.topic.to_lowercase();
        let texts = self
            .lessons
            .iter()
            .filter_map(|lesson| lesson.content.as_ref());
        let named = |content: &&Content| {
            let text = serde_json::to_string(content).unwrap_or_default();
            text.to_lowercase().contains(&topic)
        };
        texts.filter(named).count()
    }

    fn with(&self, status: Status) -> usize {
        self.lessons
            .iter()
            .filter(|lesson| lesson.status == status)
            .count()
    }

    fn row(&self) -> String {
        let whole = self.whole.as_secs_f64();
        let speed = number(self.tokens) / whole;
        format!(
            "| {} | {} | {} | {} | {} | {:.1} | {whole:.1} | {speed:.0} |",
            self.course.brief.topic,
            self.failed_gates(),
            self.lessons.len() - self.with(Status::Failed),
            self.with(Status::NeedsReview),
            self.naming(),
            self.first.as_secs_f64(),
        )
    }
}

fn summary(all: &[Report]) {
    let courses = all.len();
    let lessons: usize = all.iter().map(|report| report.lessons.len()).sum();
    let passed = all.iter().filter(|report| report.passed()).count();
    let naming: usize = all.iter().map(Report::naming).sum();
    let tokens: u64 = all.iter().map(|report| report.tokens).sum();
    let seconds: f64 = all.iter().map(|report| report.whole.as_secs_f64()).sum();
    let share = |part: usize, whole: usize| {
        let count = |lessons| number(u64::try_from(lessons).unwrap_or(u64::MAX));
        100.0 * count(part) / count(whole.max(1))
    };
    println!();
    println!(
        "- courses that pass all gates: {passed} of {courses} ({:.0} %)",
        share(passed, courses)
    );
    println!(
        "- lessons that name their topic: {naming} of {lessons} ({:.0} %)",
        share(naming, lessons)
    );
    println!(
        "- seconds to the first lesson, median: {:.1}",
        median(all, |report| report.first)
    );
    println!(
        "- seconds to the course, median: {:.1}",
        median(all, |report| report.whole)
    );
    println!(
        "- tokens a second: {:.0}",
        number(tokens) / seconds.max(f64::EPSILON)
    );
}

fn median(all: &[Report], of: impl Fn(&Report) -> Duration) -> f64 {
    let mut times: Vec<Duration> = all.iter().map(of).collect();
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
}

/// A count for arithmetic: none here comes near 2^32.
fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
