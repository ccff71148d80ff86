//! HTTP/1.1 over one kept connection: as little of it as a driver needs, so that it takes as little
//! as possible of the cores that it shares.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::OnceLock,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The header of a caller who has signed in.
static AUTHORIZATION: OnceLock<String> = OnceLock::new();

/// Every request brings this token from now on.
pub(crate) fn sign_in(token: &str) {
    AUTHORIZATION.get_or_init(|| format!("Authorization: Bearer {token}\r\n"));
}

fn authorization() -> &'static str {
    AUTHORIZATION.get().map_or("", String::as_str)
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(SocketAddr);

impl Address {
    /// A port of this machine.
    pub(crate) fn new(port: u16) -> Self {
        Self((Ipv4Addr::LOCALHOST, port).into())
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            request: Vec::with_capacity(1024),
            answer: Vec::with_capacity(16 * 1024),
        })
    }
}

/// A connection that is used for one request after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// An answer, in the buffer of its connection.
#[derive(Debug)]
pub(crate) struct Answer<'c> {
    pub(crate) status: u16,
    head: &'c str,
    pub(crate) body: &'c [u8],
}

impl Answer<'_> {
    /// A header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(self.body)
            .with_context(|| format!("{}: {}", self.status, String::from_utf8_lossy(self.body)))
    }
}

impl Connection {
    /// Asks for a path; `headers` are whole lines.
    pub(crate) async fn get(&mut self, path: &str, headers: &str) -> Result<Answer<'_>> {
        self.request.clear();
        let authorization = authorization();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}{headers}\r\n");
        self.request.extend_from_slice(head.as_bytes());
        self.exchange().await
    }

    /// Sends JSON to a path.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Result<Answer<'_>> {
        self.send(path, "application/json", headers, body.as_bytes())
            .await
    }

    /// Sends a body of any type to a path.
    pub(crate) async fn send(
        &mut self,
        path: &str,
        content_type: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer<'_>> {
        self.request.clear();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n{}{headers}\r\n",
            body.len(),
            authorization(),
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        self.exchange().await
    }

    async fn exchange(&mut self) -> Result<Answer<'_>> {
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        let (head_length, length) = loop {
            ensure!(
                self.answer.len() < ANSWER_BYTES_MAX,
                "the answer has no end"
            );
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the server closed the connection");
            if let Some(head) = find(&self.answer, b"\r\n\r\n") {
                let text = std::str::from_utf8(&self.answer[..head])?;
                let body = header(text, "content-length").map_or(Ok(0), str::parse)?;
                ensure!(
                    header(text, "transfer-encoding").is_none(),
                    "chunks are not read"
                );
                let total = head + 4 + body;
                while self.answer.len() < total {
                    let read = self.stream.read_buf(&mut self.answer).await?;
                    ensure!(read > 0, "the server closed the connection");
                }
                break (head, total);
            }
        };
        let head = std::str::from_utf8(&self.answer[..head_length])?;
        let status = head.get(9..12).context("no status")?.parse()?;
        Ok(Answer {
            status,
            head,
            body: &self.answer[head_length + 4..length],
        })
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
