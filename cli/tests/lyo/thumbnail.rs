//! `lyo thumbnail`: images go in, files of the wanted sizes come out, and what is no image is named.

use std::{fs, path::Path};

use anyhow::Context;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Dev, PATIENCE, lyo, lyo_at};

/// A small image with an orientation, of those that the search for crashes begins with.
const IMAGE: &str = "../media/fuzz/seeds/turned.jpg";

#[tokio::test]
async fn images_become_files_of_the_wanted_sizes() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut command = lyo(folder.path());
    command
        .arg("thumbnail")
        .arg(IMAGE)
        .args(["--size", "16", "--size", "8", "--out"]);

    let output = command.arg(folder.path()).output().await?;

    assert!(output.status.success(), "{output:?}");
    for name in ["16.webp", "16.jpg", "8.webp", "8.jpg"] {
        let path = folder.path().join("turned").join(name);
        assert!(path.metadata()?.len() > 0, "{name}");
    }
    // It is stored 19 wide and 13 high, on its side.
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("13x19"),
        "{output:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_image_is_refused_with_its_code() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut command = lyo(folder.path());
    command.arg("thumbnail").arg("Cargo.toml").arg("--out");

    let output = command.arg(folder.path()).output().await?;

    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("unsupported_type"),
        "{output:?}"
    );
    assert_eq!(fs::read_dir(folder.path())?.count(), 0, "an empty folder");
    Ok(())
}

#[tokio::test]
async fn two_images_that_would_overwrite_each_other_are_both_refused() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let (one, other) = (folder.path().join("a.jpg"), folder.path().join("b/a.jpeg"));
    fs::create_dir(folder.path().join("b"))?;
    fs::copy(IMAGE, &one)?;
    fs::copy(IMAGE, &other)?;
    let out = folder.path().join("out");
    let mut command = lyo(folder.path());
    command.arg("thumbnail").args([&one, &other]).arg("--out");

    let output = command.arg(&out).output().await?;

    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("would both go to"),
        "{output:?}"
    );
    assert!(!out.exists());
    Ok(())
}

#[tokio::test]
async fn an_image_in_the_way_of_its_own_folder_leaves_the_others_alone() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let plain = folder.path().join("plain");
    fs::copy(IMAGE, &plain)?;
    let mut command = lyo(folder.path());
    command.arg("thumbnail").arg(&plain).arg(IMAGE);
    command.args(["--size", "8", "--out"]).arg(folder.path());

    let output = command.output().await?;

    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot create"),
        "{output:?}"
    );
    assert!(plain.is_file());
    assert!(folder.path().join("turned/8.webp").exists());
    Ok(())
}

/// As an update does it, while the old one still runs.
#[tokio::test]
async fn a_program_whose_file_is_gone_still_decodes() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let program = folder.path().join("lyo");
    let built = Path::new(env!("CARGO_BIN_EXE_lyo"));
    fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(drop))?;
    let dev = Dev::start_as(lyo_at(&program, folder.path())).await?;
    fs::remove_file(&program)?;

    let head = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n";
    let form = [&head[..], &fs::read(IMAGE)?, b"\r\n--b--\r\n"].concat();
    let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let request = client
        .post(format!("{}/v1/files", dev.base))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form);
    let answer = request.send().await?.error_for_status()?;
    let made: Value = answer.json().await?;
    let task = made["links"]["task"].as_str().context("a task")?;
    let ended = dev.ended(task).await?;

    assert_eq!(ended["state"], "succeeded", "{ended}");
    Ok(())
}
