//! Large files, broken uploads and full disks, with the real binary.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use platform::storage::{Digest, Digesting};
use reqwest::{Body, Client, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, time::sleep};

use crate::process::{Dev, PATIENCE, lyo};

const CHUNK: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;
/// What a file may cost in memory, however large it is.
const MEMORY_MAX: usize = 40 * MIB;

/// How large a large file is; the figure to publish is that of 1 GiB.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no command line to configure them"
)]
fn large() -> usize {
    let bytes = std::env::var("LYO_TEST_UPLOAD_MIB").ok();
    bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(128) * MIB
}

/// Bytes that differ from chunk to chunk.
fn chunk(n: usize) -> Bytes {
    let mut chunk = vec![u8::try_from(n % 251).unwrap_or_default(); CHUNK];
    chunk[..8].copy_from_slice(&n.to_le_bytes());
    chunk.into()
}

fn chunks(from: usize, to: usize) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::iter(from..to).map(|n| Ok(chunk(n)))
}

fn digest(length: usize) -> Digest {
    let mut digesting = Digesting::default();
    for n in 0..length / CHUNK {
        digesting.update(&chunk(n));
    }
    digesting.finish()
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().timeout(PATIENCE).build()?)
}

/// A form with one file, as large as it is, that is never in memory as a whole.
async fn bring(dev: &Dev, length: usize) -> anyhow::Result<Response> {
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"large\"\r\n\r\n";
    let head = stream::iter([Ok(Bytes::from(head))]);
    let tail = stream::iter([Ok(Bytes::from("\r\n--b--\r\n"))]);
    let body = head.chain(chunks(0, length / CHUNK)).chain(tail);
    let request = client()?
        .post(format!("{}/v1/files", dev.base))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Body::wrap_stream(body));
    Ok(request.send().await?)
}

/// The most memory that a process ever had, in bytes.
fn peak(dev: &Dev) -> anyhow::Result<usize> {
    let pid = dev.pid().context("it runs")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = peak
        .context("a peak")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(kib * 1024)
}

/// What lies in a folder, at any depth, in bytes.
fn stored(folder: &Path) -> anyhow::Result<Vec<u64>> {
    let mut sizes = Vec::new();
    if !folder.exists() {
        return Ok(sizes);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sizes.extend(stored(&entry.path())?);
        } else {
            sizes.push(entry.metadata()?.len());
        }
    }
    Ok(sizes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_costs_little_memory_in_both_directions() -> anyhow::Result<()> {
    let (data, length) = (TempDir::new()?, large());
    let dev = Dev::start(data.path()).await?;
    // What the first request costs is not the file's.
    bring(&dev, MIB).await?.error_for_status()?;
    let (before, began) = (peak(&dev)?, Instant::now());

    let made: Value = bring(&dev, length)
        .await?
        .error_for_status()?
        .json()
        .await?;
    let (uploaded, up) = (peak(&dev)?.saturating_sub(before), began.elapsed());
    ensure!(made["sha256"] == digest(length).to_string(), "{made}");
    let content = made["links"]["content"].as_str().context("a link")?;
    let mut body = client()?
        .get(format!("{}{content}", dev.base))
        .send()
        .await?;
    let mut digesting = Digesting::default();
    while let Some(chunk) = body.chunk().await? {
        digesting.update(&chunk);
    }
    ensure!(
        digesting.finish() == digest(length),
        "it comes back as it went"
    );
    let all = peak(&dev)?.saturating_sub(before);

    eprintln!(
        "{} MiB: {} KiB more memory for the upload ({up:?}), {} KiB in all",
        length / MIB,
        uploaded / 1024,
        all / 1024
    );
    ensure!(all <= MEMORY_MAX, "{all} bytes more memory");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_the_server_was_killed() -> anyhow::Result<()> {
    let (data, length) = (TempDir::new()?, 48 * MIB);
    let dev = Dev::start(data.path()).await?;
    let begun = client()?
        .post(format!("{}/v1/uploads", dev.base))
        .header("tus-resumable", "1.0.0")
        .header("upload-length", length)
        .send()
        .await?;
    let path = begun
        .headers()
        .get("location")
        .context("a place")?
        .to_str()?
        .to_owned();

    // Half of it, and then silence, until the server is no more.
    let half = chunks(0, length / CHUNK / 2).chain(stream::pending());
    let sending = tokio::spawn(append(
        format!("{}{path}", dev.base),
        0,
        Body::wrap_stream(half),
    ));
    let began = Instant::now();
    while offset(&dev.base, &path).await? < 8 * MIB {
        ensure!(began.elapsed() < PATIENCE, "nothing arrives");
        sleep(std::time::Duration::from_millis(20)).await;
    }
    dev.kill().await?;
    ensure!(sending.await?.is_err(), "the connection broke");

    let dev = Dev::start(data.path()).await?;
    let arrived = offset(&dev.base, &path).await?;
    eprintln!("killed after {arrived} of {length} bytes were kept");
    ensure!(arrived >= 8 * MIB && arrived < length, "{arrived}");
    let skip = arrived % CHUNK;
    let rest = chunks(arrived / CHUNK, length / CHUNK)
        .enumerate()
        .map(move |(n, chunk)| chunk.map(|chunk| if n == 0 { chunk.slice(skip..) } else { chunk }));
    let done = append(
        format!("{}{path}", dev.base),
        arrived,
        Body::wrap_stream(rest),
    )
    .await?;
    ensure!(done.status() == StatusCode::NO_CONTENT, "{done:?}");
    let file = dev.get(&path).await?["file"]
        .as_str()
        .context("a file")?
        .to_owned();
    let file = dev.get(&file).await?;
    ensure!(file["sha256"] == digest(length).to_string(), "{file}");
    Ok(())
}

async fn append(url: String, offset: usize, body: Body) -> anyhow::Result<Response> {
    let request = client()?
        .patch(url)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream")
        .body(body);
    Ok(request.send().await?)
}

async fn offset(base: &str, path: &str) -> anyhow::Result<usize> {
    let answer = client()?
        .head(format!("{base}{path}"))
        .send()
        .await?
        .error_for_status()?;
    let offset = answer.headers().get("upload-offset").context("an offset")?;
    Ok(offset.to_str()?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_leaves_nothing() -> anyhow::Result<()> {
    let data = TempDir::new()?;
    // No file may grow beyond 16 MiB, which is how a disk that is full looks to the process.
    let dev = Dev::start_as(limited(data.path())).await?;

    let full = bring(&dev, 32 * MIB).await?;

    ensure!(
        full.status() == StatusCode::INSUFFICIENT_STORAGE,
        "{full:?}"
    );
    let problem: Value = full.json().await?;
    ensure!(problem["code"] == "storage_full", "{problem}");
    ensure!(
        dev.get("/v1/files").await?["items"] == Value::Array(vec![]),
        "nothing is listed"
    );
    let folder = data.path().join("files");
    let began = Instant::now();
    while stored(&folder)?.iter().any(|size| *size > 0) {
        ensure!(
            began.elapsed() < PATIENCE,
            "half of it stays: {:?}",
            stored(&folder)?
        );
        sleep(std::time::Duration::from_millis(20)).await;
    }
    bring(&dev, MIB).await?.error_for_status()?;
    Ok(())
}

/// The `lyo` command under a limit of the shell. The signal that would end it is ignored, so that it
/// gets an error instead.
fn limited(data: &Path) -> Command {
    let real = lyo(data);
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 16384; exec \"$0\" \"$@\"")
        .arg(real.as_std().get_program());
    for (name, value) in real.as_std().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.kill_on_drop(true);
    command
}
