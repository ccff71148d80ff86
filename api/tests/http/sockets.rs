//! What only real sockets show: bounds on connections, and how the server stops.

use std::time::Duration;

use api::{ApiConfig, App, serve};
use jobs::bell::Bell;
use models::testing::{TestDb, TestResult};
use platform::health::Health;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Server {
    test: TestDb,
    app: App,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    async fn start(config: ApiConfig) -> TestResult<Self> {
        let test = TestDb::sqlite().await?;
        let app = App::new(test.db.clone(), Bell::in_process(), Health::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(app.clone(), config, listener, stop.clone()));
        Ok(Self {
            test,
            app,
            address,
            stop,
            task,
        })
    }

    async fn connect(&self) -> TestResult<TcpStream> {
        Ok(TcpStream::connect(self.address).await?)
    }

    /// Sends a request on a new connection and reads the beginning of the answer.
    async fn ask(&self, request: &[u8]) -> TestResult<String> {
        answer(&mut self.connect().await?, request).await
    }

    async fn stop(self) -> TestResult {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await???;
        self.test.close().await
    }
}

async fn answer(stream: &mut TcpStream, request: &[u8]) -> TestResult<String> {
    stream.write_all(request).await?;
    let mut bytes = [0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut bytes)).await??;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// How long a connection stays open when nothing more is sent on it.
async fn lifetime(stream: &mut TcpStream) -> TestResult<Duration> {
    let started = Instant::now();
    let mut bytes = [0; 1024];
    loop {
        match timeout(PATIENCE, stream.read(&mut bytes)).await? {
            Ok(0) | Err(_) => return Ok(started.elapsed()),
            Ok(_) => {}
        }
    }
}

fn impatient() -> ApiConfig {
    ApiConfig {
        header_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_secs(2),
        drain_timeout: Duration::from_secs(5),
        ..ApiConfig::default()
    }
}

#[tokio::test]
async fn a_half_sent_header_is_not_waited_for() -> TestResult {
    let server = Server::start(impatient()).await?;
    let mut silent = server.connect().await?;
    let mut slow = server.connect().await?;

    let dribble = async {
        // Each byte comes in time; the header as a whole does not.
        for byte in HEALTH {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        lifetime(&mut slow).await
    };
    let (silent, dribbling) = tokio::try_join!(lifetime(&mut silent), dribble)?;

    assert!(silent < Duration::from_secs(5), "{silent:?}");
    assert!(dribbling < Duration::from_secs(5), "{dribbling:?}");
    server.stop().await
}

#[tokio::test]
async fn the_second_header_on_a_connection_has_its_time_too() -> TestResult {
    let server = Server::start(impatient()).await?;
    let mut stream = server.connect().await?;

    assert!(
        answer(&mut stream, HEALTH)
            .await?
            .starts_with("HTTP/1.1 200")
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(
        answer(&mut stream, HEALTH)
            .await?
            .starts_with("HTTP/1.1 200"),
        "idle is allowed"
    );
    stream.write_all(&HEALTH[..10]).await?;
    let left = lifetime(&mut stream).await?;

    assert!(
        left < Duration::from_millis(1_800),
        "sooner than an idle connection: {left:?}"
    );
    server.stop().await
}

#[tokio::test]
async fn an_idle_connection_is_closed() -> TestResult {
    let server = Server::start(impatient()).await?;
    let mut stream = server.connect().await?;

    answer(&mut stream, HEALTH).await?;
    let idle = lifetime(&mut stream).await?;

    assert!(
        (Duration::from_secs(1)..Duration::from_secs(6)).contains(&idle),
        "{idle:?}"
    );
    server.stop().await
}

#[tokio::test]
async fn a_waiting_request_outlives_the_time_for_headers() -> TestResult {
    let server = Server::start(impatient()).await?;
    let body = r#"{"kind":"noop","payload":{"n":1}}"#;
    let request = format!(
        "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Prefer: wait=1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );

    let answer = server.ask(request.as_bytes()).await?;

    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    server.stop().await
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() -> TestResult {
    let patient = Duration::from_mins(1);
    let config = ApiConfig {
        connections_max: 8,
        header_timeout: patient,
        ..ApiConfig::default()
    };
    let server = Server::start(config).await?;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(server.connect().await?);
    }
    let started = Instant::now();

    for _ in 0..5 {
        assert!(server.ask(HEALTH).await?.starts_with("HTTP/1.1 200"));
    }

    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(
        lifetime(&mut silent[0]).await? < Duration::from_secs(5),
        "the oldest made room"
    );
    server.stop().await
}

#[tokio::test]
async fn a_stopping_server_answers_those_who_wait() -> TestResult {
    let server = Server::start(ApiConfig::default()).await?;
    let request = b"GET /v1/tasks?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(server.ask(request).await?.starts_with("HTTP/1.1 200"));
    let stop = server.stop.clone();
    let wait = async {
        let id = submit(&server).await?;
        let poll = format!("GET {id} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n\r\n");
        server.ask(poll.as_bytes()).await
    };
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
        TestResult::Ok(())
    };

    let (answered, ()) = tokio::try_join!(wait, stopping)?;

    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    assert!(server.app.stop.is_cancelled() || server.stop.is_cancelled());
    server.stop().await
}

/// Submits a task and answers its path.
async fn submit(server: &Server) -> TestResult<String> {
    let body = r#"{"kind":"noop","payload":{"n":1}}"#;
    let head = "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = server.ask(request.as_bytes()).await?;
    let location = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    Ok(location.ok_or("there is no Location")?.to_owned())
}

#[tokio::test]
async fn another_address_than_loopback_is_refused_with_a_reason() -> TestResult {
    let test = TestDb::sqlite().await?;
    let app = App::new(test.db.clone(), Bell::in_process(), Health::default());
    let listener = TcpListener::bind("0.0.0.0:0").await?;

    let refused = serve(
        app,
        ApiConfig::default(),
        listener,
        CancellationToken::new(),
    )
    .await;

    let reason = refused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(reason.contains("LYO_SIGNING_KEYS"), "{reason}");
    assert!(reason.contains("0.0.0.0"), "{reason}");
    test.close().await
}
