//! A SendGrid on this machine: it speaks version 3 of the mail API, does what a test tells it to, and
//! remembers what it took.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// The key that it knows.
pub(crate) const KEY: &str = "SG.test";

/// What it does with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Takes it: 202.
    Take,
    /// Takes it and drops the connection without a word.
    TakeAndDrop,
    /// Takes it and answers much later.
    TakeSlowly(Duration),
    /// Refuses it with this status.
    Refuse(u16),
    /// Refuses it with 429 or 503, and says for how many seconds.
    Busy(u16, u64),
}

/// The fake; dropping it closes the port.
pub(crate) struct SendGrid {
    pub(crate) endpoint: String,
    taken: Taken,
    listening: JoinHandle<()>,
}

/// How often each mail was taken, by its custom argument, and the documents.
#[derive(Clone, Default)]
pub(crate) struct Taken {
    mails: Arc<Mutex<HashMap<String, Vec<Value>>>>,
    calls: Arc<AtomicUsize>,
    /// Calls that are being answered, and how many there ever were at the same time.
    busy: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Taken {
    fn mails(&self) -> MutexGuard<'_, HashMap<String, Vec<Value>>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SendGrid {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl SendGrid {
    /// Starts on a free port; `decides` sees the mail and the number of the call, from 0.
    pub(crate) async fn start(
        decides: impl Fn(&Value, usize) -> Does + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (taken, decides) = (Taken::default(), Arc::new(decides));
        let shared = taken.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (taken, decides) = (shared.clone(), decides.clone());
                tokio::spawn(async move {
                    // A client that goes away ends its connection, nothing else.
                    let _ = talk(stream, &taken, &*decides).await;
                });
            }
        });
        Ok(Self {
            endpoint,
            taken,
            listening,
        })
    }

    /// How often a mail was taken.
    pub(crate) fn times(&self, email_id: &str) -> usize {
        self.taken.mails().get(email_id).map_or(0, Vec::len)
    }

    /// The mail as it was taken first.
    pub(crate) fn mail(&self, email_id: &str) -> Value {
        let mails = self.taken.mails();
        mails
            .get(email_id)
            .and_then(|taken| taken.first().cloned())
            .unwrap_or_default()
    }

    /// Calls that it ever answered at the same time.
    pub(crate) fn peak(&self) -> usize {
        self.taken.peak.load(Ordering::SeqCst)
    }

    /// Calls that it heard, whatever came of them.
    pub(crate) fn calls(&self) -> usize {
        self.taken.calls.load(Ordering::SeqCst)
    }
}

async fn talk(
    stream: TcpStream,
    taken: &Taken,
    decides: &(dyn Fn(&Value, usize) -> Does + Send + Sync),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some((authorized, body)) = request(&mut stream).await? {
        let call = taken.calls.fetch_add(1, Ordering::SeqCst);
        let busy = taken.busy.fetch_add(1, Ordering::SeqCst) + 1;
        taken.peak.fetch_max(busy, Ordering::SeqCst);
        let mail: Value = serde_json::from_slice(&body).unwrap_or_default();
        let does = match (authorized, is_mail(&mail)) {
            (false, _) => Does::Refuse(401),
            (true, false) => Does::Refuse(400),
            (true, true) => decides(&mail, call),
        };
        let id = mail.pointer("/personalizations/0/custom_args/email_id");
        let id = id.and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Does::Take | Does::TakeAndDrop | Does::TakeSlowly(_) = does {
            taken.mails().entry(id.clone()).or_default().push(mail);
        }
        let answer = match does {
            Does::TakeAndDrop => String::new(),
            Does::Take => accepted(&id),
            Does::TakeSlowly(delay) => {
                sleep(delay).await;
                accepted(&id)
            }
            Does::Refuse(status) => refused(status, ""),
            Does::Busy(status, seconds) => refused(status, &format!("Retry-After: {seconds}\r\n")),
        };
        taken.busy.fetch_sub(1, Ordering::SeqCst);
        if answer.is_empty() {
            break;
        }
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

fn accepted(id: &str) -> String {
    format!("HTTP/1.1 202 Accepted\r\nX-Message-Id: m-{id}\r\nContent-Length: 0\r\n\r\n")
}

fn refused(status: u16, headers: &str) -> String {
    let body = json!({"errors": [{"message": "refused someone@example.com", "field": null}]});
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status} Refused\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What the real API insists on.
fn is_mail(mail: &Value) -> bool {
    let text = |pointer: &str| {
        mail.pointer(pointer)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    text("/personalizations/0/to/0/email")
        && text("/from/email")
        && text("/subject")
        && mail.pointer("/content/0/type") == Some(&json!("text/plain"))
        && mail.pointer("/content/1/type") == Some(&json!("text/html"))
        && text("/content/0/value")
        && text("/content/1/value")
}

/// Reads one request: whether it has the right key, and its body. Nothing when the client is done.
async fn request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(bool, Vec<u8>)>> {
    let (mut authorized, mut length, mut line) = (false, 0, String::new());
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let right = line.starts_with("POST /v3/mail/send ");
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorized = value == format!("Bearer {KEY}"),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some((authorized && right, body)))
}
