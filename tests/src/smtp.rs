//! A mail server that takes everything and keeps it, without encryption: for this machine alone.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{app::PATIENCE, canaries};

/// The server. Dropping it ends it.
pub struct Sink {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Sink {
    /// Listens on any free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mails = Arc::default();
        let kept = Arc::clone(&mails);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Ok(Self {
            address,
            mails,
            serving,
        })
    }

    /// The value of `LYO_EMAIL` that leads here.
    pub fn url(&self) -> String {
        format!("smtp://{}?tls=none", self.address)
    }

    /// The text of the first mail that contains all of these, within [`PATIENCE`].
    pub async fn mail(&self, parts: &[&str]) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let mails = self
                .mails
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let found = mails
                .into_iter()
                .find(|mail| parts.iter().all(|part| mail.contains(part)));
            if let Some(mail) = found {
                return Ok(mail);
            }
            ensure!(began.elapsed() < PATIENCE, "no mail with {parts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What follows `before` in a mail, as far as it can be part of a token; it must not be logged.
pub fn token(mail: &str, before: &str) -> anyhow::Result<String> {
    let (_, rest) = mail
        .split_once(before)
        .with_context(|| format!("no {before}"))?;
    let of_token = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let token: String = rest.chars().take_while(of_token).collect();
    canaries::plant(&token);
    Ok(token)
}

/// One conversation. Whoever breaks it off sends nothing more.
async fn serve(stream: TcpStream, mails: Arc<Mutex<Vec<String>>>) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 sink\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" | "HELO" => "250-sink\r\n250 8BITMIME\r\n",
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    // Quoted-printable breaks long lines, and writes `=` as `=3D`.
                    match line.strip_suffix('=') {
                        Some(start) => mail.push_str(start),
                        None => mail.extend([line.as_str(), "\n"]),
                    }
                }
                let mail = mail.replace("=3D", "=");
                mails
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(mail);
                "250 taken\r\n"
            }
            "QUIT" => {
                writer.write_all(b"221 bye\r\n").await?;
                break;
            }
            _ => "250 fine\r\n",
        };
        writer.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
