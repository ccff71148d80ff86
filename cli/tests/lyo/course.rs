//! The first command of the README, on an empty data folder.

use std::fs;

use crate::process::{Dev, lyo};
use api::SigningKeys;
use serde_json::Value;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_becomes_the_files_of_a_course() -> anyhow::Result<()> {
    let (data, out) = (TempDir::new()?, TempDir::new()?);

    let mut command = lyo(&data.path().join("made/by/lyo"));
    let run = command
        .args(["course", "Tide pools", "--seed", "1", "--out"])
        .arg(out.path());
    let output = run.output().await?;

    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("tide-pools.md"), "{stdout}");
    let landed = stderr
        .lines()
        .filter(|line| line.starts_with("  ✓ ") || line.starts_with("  ! "));
    assert_eq!(
        landed.count(),
        6,
        "each lesson is shown as it lands: {stderr}"
    );
    let markdown = fs::read_to_string(out.path().join("tide-pools.md"))?;
    assert!(markdown.to_lowercase().contains("tide pools"), "{markdown}");
    let json: Value =
        serde_json::from_str(&fs::read_to_string(out.path().join("tide-pools.json"))?)?;
    let lessons: Vec<&Value> = json["modules"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|module| module["lessons"].as_array().into_iter().flatten())
        .collect();
    assert!(lessons.len() >= 6, "{json:#}");
    for lesson in lessons {
        let items = lesson["quiz"]["items"].as_array().map_or(0, Vec::len);
        assert!(items > 0, "a lesson without a quiz: {lesson:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_lyo_uses_the_one_that_runs() -> anyhow::Result<()> {
    let (data, out) = (TempDir::new()?, TempDir::new()?);
    let dev = Dev::start(data.path()).await?;

    let refused = lyo(data.path()).args(["dev"]).output().await?;
    let run = lyo(data.path())
        .args(["course", "Knots", "--lessons", "1", "--out"])
        .arg(out.path())
        .output()
        .await?;

    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains(&dev.base), "{message}");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let courses = dev.get("/v1/courses").await?;
    assert_eq!(
        courses["items"].as_array().map(Vec::len),
        Some(1),
        "{courses}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_to_do() -> anyhow::Result<()> {
    let data = TempDir::new()?;

    let usage = lyo(data.path()).args(["course"]).output().await?;
    let brief = lyo(data.path())
        .args(["course", "Knots", "--lessons", "61"])
        .output()
        .await?;
    let nobody = lyo(data.path())
        .args(["course", "--resume"])
        .output()
        .await?;

    assert_eq!(usage.status.code(), Some(2));
    assert_eq!(brief.status.code(), Some(1));
    let message = String::from_utf8_lossy(&brief.stderr);
    assert!(message.contains("lessons: must be"), "{message}");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no unfinished course"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_everybody_signs_in_the_command_does_so_itself() -> anyhow::Result<()> {
    let key = SigningKeys::draw();
    for setting in [("LYO_SIGN_IN", "true"), ("LYO_SIGNING_KEYS", key.as_str())] {
        let data = TempDir::new()?;
        let lyo = || {
            let mut command = lyo(data.path());
            command.env(setting.0, setting.1);
            command
        };

        let alone = lyo().args(["course", "--resume"]).output().await?;
        let dev = Dev::start_as(lyo()).await?;
        let beside = lyo().args(["course", "--resume"]).output().await?;
        let stranger = dev.get("/v1/users/me").await;

        for output in [alone, beside] {
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(
                message.contains("no unfinished course"),
                "{setting:?}: {message}"
            );
        }
        let refusal = stranger.err().map(|error| error.to_string());
        assert!(
            refusal.is_some_and(|reason| reason.contains("token_required")),
            "{setting:?}"
        );
    }
    Ok(())
}
