//! Very many clients that wait, and others that never finish a request.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::{
    System,
    http::{Address, Connection},
    latency::{Percentiles, percentiles},
    process::Process,
};

/// After the last client has come, before the measurement.
const SETTLE: Duration = Duration::from_secs(5);
/// How long all of them may take to come, and to see the change.
const PATIENCE: Duration = Duration::from_mins(1);
/// Healthy requests that are measured, one after the other.
const HEALTHY: usize = 1_000;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(5);

/// A system, and how many clients.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    system: System,

    /// Clients that follow a task by WebSocket.
    #[arg(long, default_value_t = 500)]
    sockets: u32,

    /// Clients that long-poll a task.
    #[arg(long, default_value_t = 500)]
    polls: u32,

    /// Connections that send half of a header and no more.
    #[arg(long, default_value_t = 2_000)]
    half_open: u32,

    /// How long the system is looked at while nothing happens, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Measures, and prints two lines.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let address = Address::new(args.system.port);
    let (api, _) = Process::api(&args.system.api, &address).await?;
    let mut connection = address.connect().await?;
    let watchers = args.sockets + args.polls;
    let tasks = submit(&mut connection, watchers).await?;
    let mut watching = watch(args, address, &tasks).await?;

    sleep(SETTLE).await;
    let before = api.cpu_seconds()?;
    sleep(Duration::from_secs(args.seconds.into())).await;
    let share = (api.cpu_seconds()? - before) / f64::from(args.seconds) * 100.0;

    let path = format!("/v1/tasks/{}", tasks[0]);
    let calm = healthy(&mut connection, &path).await?;
    let attack = attack(args).await?;
    let beside = healthy(&mut connection, &path).await?;
    drop(attack);

    let begun = Instant::now();
    for id in &tasks {
        let answer = connection
            .post(&format!("/v1/tasks/{id}/cancel"), "", "{}")
            .await?;
        ensure!(answer.status < 300, "{}", answer.status);
    }
    let asked = begun.elapsed();
    while let Some(seen) = timeout(PATIENCE, watching.join_next()).await? {
        seen??;
    }
    println!(
        "- {} WebSockets and {} long polls, idle for {} s: the API takes {share:.2} % of a core. All \
         {watchers} saw the end of their tasks, the last {:.0} ms after the last of {watchers} requests \
         (which took {:.1} s).",
        args.sockets,
        args.polls,
        args.seconds,
        begun.elapsed().saturating_sub(asked).as_secs_f64() * 1_000.0,
        asked.as_secs_f64(),
    );
    println!(
        "- {} half-open connections, each opened again when it is closed: a healthy request takes p50 \
         {:.1} and p99 {:.1} ms, without them {:.1} and {:.1} ms.",
        args.half_open, beside.0, beside.1, calm.0, calm.1,
    );
    Ok(())
}

/// Submits tasks that nobody starts for a day, and answers their ids.
async fn submit(connection: &mut Connection, count: u32) -> Result<Vec<String>> {
    let run_at = DateTime::<Utc>::from(SystemTime::now() + Duration::from_hours(24));
    let item = json!({"kind": "noop", "payload": {"n": 1}, "run_at": run_at});
    let mut ids = Vec::new();
    for _ in 0..count {
        let answer = connection.post("/v1/tasks", "", &item.to_string()).await?;
        let task = answer.json()?;
        ids.push(task["id"].as_str().context("no id")?.to_owned());
    }
    Ok(ids)
}

/// Starts the clients, each with a task of its own; answers when all have come.
async fn watch(args: &Args, address: Address, tasks: &[String]) -> Result<JoinSet<Result<()>>> {
    let came = Arc::new(Semaphore::new(0));
    let mut watching = JoinSet::new();
    let sockets = usize::try_from(args.sockets)?;
    for (n, id) in tasks.iter().enumerate() {
        let (id, came, port) = (id.clone(), came.clone(), args.system.port);
        if n < sockets {
            watching.spawn(async move { socket(port, &id, &came).await });
        } else {
            watching.spawn(async move { poll(address, &id, &came).await });
        }
    }
    let all = came.acquire_many(u32::try_from(tasks.len())?);
    tokio::select! {
        all = timeout(PATIENCE, all) => all.context("not all clients came")??.forget(),
        Some(ended) = watching.join_next() => {
            ended??;
            bail!("a client saw an end too early");
        }
    }
    Ok(watching)
}

/// Follows a task until its end.
async fn socket(port: u16, id: &str, came: &Semaphore) -> Result<()> {
    let (mut socket, _) = connect_async(format!("ws://127.0.0.1:{port}/v1/ws")).await?;
    let asked = json!({"op": "subscribe", "topic": format!("task:{id}")});
    socket.send(Message::text(asked.to_string())).await?;
    let mut ended = false;
    loop {
        let message = socket.next().await.context("it was closed")??;
        if !message.is_text() {
            continue;
        }
        let said: serde_json::Value = serde_json::from_str(message.to_text()?)?;
        match said["op"].as_str() {
            Some("subscribed") => came.add_permits(1),
            Some("event") => ended = said["event"] == "done",
            Some("unsubscribed") => break,
            _ => bail!("{said}"),
        }
    }
    ensure!(ended, "the end was not told");
    Ok(())
}

/// Long-polls a task until its end.
async fn poll(address: Address, id: &str, came: &Semaphore) -> Result<()> {
    let mut connection = address.connect().await?;
    let path = format!("/v1/tasks/{id}");
    let mut headers = String::new();
    loop {
        let answer = connection.get(&path, &headers).await?;
        if answer.status == 200 && answer.json()?["done"] == true {
            return Ok(());
        }
        let etag = answer.header("etag").map(str::to_owned);
        if headers.is_empty() {
            came.add_permits(1);
        }
        if let Some(etag) = etag {
            headers = format!("Prefer: wait=60\r\nIf-None-Match: {etag}\r\n");
        }
    }
}

/// Opens connections that send half of a header; answers when each has done so once.
async fn attack(args: &Args) -> Result<JoinSet<Result<()>>> {
    let came = Arc::new(Semaphore::new(0));
    let mut attackers = JoinSet::new();
    for _ in 0..args.half_open {
        let (came, port) = (came.clone(), args.system.port);
        attackers.spawn(async move {
            loop {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await?;
                came.add_permits(1);
                // Whatever comes, it is the end of this connection.
                let _ = stream.read(&mut [0; 64]).await;
            }
        });
    }
    timeout(PATIENCE, came.acquire_many(args.half_open))
        .await??
        .forget();
    Ok(attackers)
}

async fn healthy(connection: &mut Connection, path: &str) -> Result<Percentiles> {
    let mut took = Vec::with_capacity(HEALTHY);
    for _ in 0..HEALTHY {
        sleep(PAUSE).await;
        let begun = Instant::now();
        let answer = connection.get(path, "").await?;
        ensure!(answer.status == 200, "{}", answer.status);
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    percentiles(took)
}
