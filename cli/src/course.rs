//! `lyo course`: from a topic to the files of a course.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, bail};
use clap::Args;
use fleet::signal;
use platform::config::Secret;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    client::Task, config::SystemArgs, display::Display, files::Files, outline::Outline,
    server::Server, summary::Summary,
};

/// The exit code of a command that was stopped by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What to write, and where to.
#[derive(Clone, Debug, Args)]
pub(crate) struct CourseArgs {
    /// What the course is about, for example "Tide pools".
    #[arg(required_unless_present = "resume")]
    topic: Option<String>,

    /// Follow the newest unfinished course instead of asking for a new one.
    #[arg(long, conflicts_with = "topic")]
    resume: bool,

    #[command(flatten)]
    wishes: Wishes,

    /// Where to write the course: `TOPIC.md` and `TOPIC.json`; no file is overwritten.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,

    /// Ask this server instead of the data folder's own.
    #[arg(long, value_name = "URL", env = "LYO_SERVER")]
    server: Option<String>,

    /// The access token for that server (`lyo user token`, or of a login).
    #[arg(long, value_name = "TOKEN", env = "LYO_TOKEN", hide_env_values = true)]
    token: Option<Secret>,

    #[command(flatten)]
    system: SystemArgs,
}

/// What else an author can ask for. What is left out is the server's choice.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The course")]
struct Wishes {
    /// Who learns, for example "nurses" [default: curious beginners]
    #[arg(long)]
    audience: Option<String>,

    /// How much they know: beginner, intermediate or advanced [default: beginner]
    #[arg(long)]
    level: Option<String>,

    /// The language of the course [default: English]
    #[arg(long)]
    language: Option<String>,

    /// How many lessons, 1 to 60 [default: 6]
    #[arg(long, value_name = "NUMBER")]
    lessons: Option<u8>,

    /// What learners can do afterwards; may be given up to 12 times.
    #[arg(long = "objective", value_name = "TEXT")]
    objectives: Vec<String>,

    /// Anything else the author wants, for example "Use examples from sailing."
    #[arg(long)]
    notes: Option<String>,

    /// The same seed, brief and model give the same course, byte for byte.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

impl CourseArgs {
    /// The body of `POST /v1/courses`.
    fn brief(&self) -> Value {
        let wishes = &self.wishes;
        let mut brief = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                brief.insert(name.to_owned(), value);
            }
        };
        put("topic", json!(self.topic));
        put("audience", json!(wishes.audience));
        put("level", json!(wishes.level));
        put("language", json!(wishes.language));
        put("lessons", json!(wishes.lessons));
        if !wishes.objectives.is_empty() {
            put("objectives", json!(wishes.objectives));
        }
        put("notes", json!(wishes.notes));
        put("seed", json!(wishes.seed));
        Value::Object(brief)
    }
}

/// Writes a course and its files, or leaves it to be continued when the user stops it.
///
/// # Errors
/// When the brief is refused, the course fails, or the files cannot be written.
pub(crate) async fn run(args: &CourseArgs) -> anyhow::Result<ExitCode> {
    let mut server = match &args.server {
        Some(url) => Server::named(url, args.token.clone())?,
        None => Server::of_data_folder(&args.system).await?,
    };
    let mut display = Display::new();
    let ended = tokio::select! {
        written = write(args, &mut server, &mut display) => written.map(Some),
        stopped = signal::stop() => stopped.map(|()| None).map_err(Into::into),
    };
    display.finish();
    if let Ok(None) = ended {
        eprintln!("{}", how_to_continue(args, &server));
    }
    // Drain also after an error: a lesson in flight is put back at once instead of by its lease.
    let closed = server.close().await;
    let Some(summary) = ended? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    closed?;
    println!("{summary}");
    Ok(ExitCode::SUCCESS)
}

async fn write(
    args: &CourseArgs,
    server: &mut Server,
    display: &mut Display,
) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let system = &args.system;
    let task = if args.resume {
        let task = server
            .ask(system, async |client| client.unfinished().await)
            .await?;
        task.context("there is no unfinished course to resume")?
    } else {
        let (brief, key) = (args.brief(), Uuid::now_v7().to_string());
        server
            .ask(system, async |client| client.submit(&brief, &key).await)
            .await?
    };
    let path = task
        .links
        .subject
        .clone()
        .context("the task names no course")?;
    let mut seen = server
        .ask(system, async |client| client.task(&task.id).await)
        .await?;
    let outline = loop {
        let outline: Outline = server
            .ask(system, async |client| client.json(&path).await)
            .await?;
        display.lessons(&outline);
        display.progress(&seen.task);
        if seen.task.done {
            break outline;
        }
        let changed = server
            .ask(system, async |client| client.changed(&seen).await)
            .await?;
        seen = changed.unwrap_or(seen);
    };
    check_success(&seen.task)?;
    let [markdown, json] =
        ["markdown", "json"].map(|format| format!("{path}/export?format={format}"));
    let markdown = server
        .ask(system, async |client| client.text(&markdown).await)
        .await?;
    let json = server
        .ask(system, async |client| client.text(&json).await)
        .await?;
    let files = Files::write(&args.out, &outline.brief.topic, &markdown, &json)?;
    Ok(Summary {
        outline,
        task: seen.task,
        elapsed: started.elapsed(),
        files,
    })
}

fn check_success(task: &Task) -> anyhow::Result<()> {
    match (task.state.as_str(), &task.error) {
        ("succeeded", _) => Ok(()),
        (state, Some(error)) => bail!("the course {state}: {error}"),
        (state, None) => bail!("the course was {state}"),
    }
}

fn how_to_continue(args: &CourseArgs, server: &Server) -> String {
    match &args.server {
        Some(url) => format!(
            "Stopped watching. {url} goes on writing; `lyo course --resume --server {url}` watches again."
        ),
        None if server.is_ours() => "Stopping. What is written is kept: \
             `lyo course --resume` or `lyo dev` continues the course."
            .to_owned(),
        None => format!(
            "Stopped watching. The lyo at {} goes on writing.",
            server.base
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        course: CourseArgs,
    }

    fn parse(args: &[&str]) -> Result<Command, clap::Error> {
        Command::try_parse_from([&["course"], args].concat())
    }

    #[test]
    fn what_the_author_left_out_is_the_servers_choice() {
        let args = [
            "Tide pools",
            "--lessons",
            "8",
            "--objective",
            "a",
            "--objective",
            "b",
        ];

        let brief = parse(&args).map(|command| command.course.brief());

        let expected = json!({"topic": "Tide pools", "lessons": 8, "objectives": ["a", "b"]});
        assert_eq!(brief.ok(), Some(expected));
    }

    #[test]
    fn there_is_a_topic_or_a_course_to_resume() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["Tides", "--resume"]).is_err());
        assert!(parse(&["--resume"]).is_ok());
    }
}
