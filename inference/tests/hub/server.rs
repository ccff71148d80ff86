//! A hub on loopback that speaks the protocol of the real one and misbehaves on demand.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const REPO: &str = "lyo/tiny";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The repository wants a token that may read it.
    Gated(u16),
    /// There is no such repository.
    Missing,
    /// The connection closes after half of a body of known length.
    Truncated,
    /// The same without a length, which looks like the end of a body.
    TruncatedChunks,
    /// One byte differs.
    Corrupt,
    /// A page to sign in comes with status 200, as from a captive portal.
    Html,
    /// Nothing comes after the first half.
    Stall,
    /// The first `n` requests are answered with 503.
    Busy(u32),
    /// The listing is no JSON.
    HtmlListing,
}

struct State {
    files: HashMap<String, Vec<u8>>,
    fault: Mutex<Fault>,
    requests: Mutex<Vec<String>>,
}

/// Runs until the test ends.
#[derive(Clone)]
pub(crate) struct Hub {
    pub endpoint: String,
    state: Arc<State>,
}

impl Hub {
    pub(crate) async fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let files = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
        let state = Arc::new(State {
            files: files.collect(),
            fault: Mutex::new(Fault::None),
            requests: Mutex::default(),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move { state.answer(stream).await });
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            state,
        }
    }

    pub(crate) fn misbehave(&self, fault: Fault) {
        *self
            .state
            .fault
            .lock()
            .expect("no test panics while it holds this") = fault;
    }

    /// The requests so far, as `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state
            .requests
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }
}

impl State {
    /// Says whether this request is to be turned away as a busy hub does.
    fn fault(&self) -> (Fault, bool) {
        let mut fault = self
            .fault
            .lock()
            .expect("no test panics while it holds this");
        match *fault {
            Fault::Busy(0) => (Fault::None, false),
            Fault::Busy(left) => {
                *fault = Fault::Busy(left - 1);
                (Fault::None, true)
            }
            other => (other, false),
        }
    }

    async fn answer(&self, mut stream: TcpStream) {
        let Some((method, path)) = read_head(&mut stream).await else {
            return;
        };
        let request = format!("{method} {path}");
        self.requests
            .lock()
            .expect("no test panics while it holds this")
            .push(request);
        let (fault, busy) = self.fault();
        let status = match fault {
            _ if busy => 503,
            Fault::Gated(status) => status,
            Fault::Missing => 404,
            _ => 200,
        };
        if status != 200 {
            return send(&mut stream, &head(status, "content-length: 0\r\n"), b"").await;
        }
        if path.starts_with(&format!("/api/models/{REPO}/revision/")) {
            let listing = match fault {
                Fault::HtmlListing => b"<html>Sign in</html>".to_vec(),
                _ => self.listing(),
            };
            let length = format!("content-length: {}\r\n", listing.len());
            return send(&mut stream, &head(200, &length), &listing).await;
        }
        let name = path
            .strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/"))
            .unwrap_or_default();
        match self.files.get(name) {
            Some(bytes) => send_file(&mut stream, &method, bytes, fault).await,
            None => send(&mut stream, &head(404, "content-length: 0\r\n"), b"").await,
        }
    }

    fn listing(&self) -> Vec<u8> {
        let siblings = self.files.iter().map(|(name, bytes)| {
            let mut sibling = serde_json::json!({"rfilename": name, "size": bytes.len()});
            // As on the real hub, only large files have a digest.
            if Path::new(name)
                .extension()
                .is_some_and(|kind| kind == "gguf" || kind == "safetensors")
            {
                sibling["lfs"] = serde_json::json!({"sha256": digest(bytes), "size": bytes.len()});
            }
            sibling
        });
        serde_json::json!({"id": REPO, "sha": COMMIT, "siblings": siblings.collect::<Vec<_>>()})
            .to_string()
            .into_bytes()
    }
}

async fn send_file(stream: &mut TcpStream, method: &str, bytes: &[u8], fault: Fault) {
    let tags = |length: usize| {
        format!(
            "content-length: {length}\r\netag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n",
            digest(bytes)
        )
    };
    if method == "HEAD" {
        return send(stream, &head(200, &tags(bytes.len())), b"").await;
    }
    let mut body = bytes.to_vec();
    let half = body.len() / 2;
    match fault {
        Fault::Html => body = b"<!doctype html><title>Sign in</title>".to_vec(),
        Fault::Corrupt => body[half] ^= 1,
        Fault::TruncatedChunks => {
            // A proxy that gives up ends the chunks properly.
            let mut chunks = format!("{half:x}\r\n").into_bytes();
            chunks.extend_from_slice(&body[..half]);
            chunks.extend_from_slice(b"\r\n0\r\n\r\n");
            return send(
                stream,
                &head(200, "transfer-encoding: chunked\r\n"),
                &chunks,
            )
            .await;
        }
        _ => {}
    }
    let head = head(200, &tags(body.len()));
    if fault == Fault::Truncated || fault == Fault::Stall {
        body.truncate(half);
    }
    send(stream, &head, &body).await;
    if fault == Fault::Stall {
        // Longer than any patience of the tests; the server ends with its test.
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

fn head(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}connection: close\r\n\r\n")
}

async fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    // The client may be gone already: that is its right.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
}

async fn read_head(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    let mut words = text.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
