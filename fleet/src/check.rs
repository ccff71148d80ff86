//! Asks a running process whether it is ready, for container health checks: an image needs no curl.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of the answer that are read at most.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Whether the process at this address is ready.
///
/// # Errors
/// When it is not, or when it does not answer within 3 seconds.
pub async fn ready(mut address: SocketAddr) -> anyhow::Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let answer = timeout(TIMEOUT, ask(address))
        .await
        .context("no answer in time")??;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "not ready: {answer}");
    Ok(())
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nobody listens on {address}"))?;
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut answer)
        .await?;
    Ok(answer)
}
