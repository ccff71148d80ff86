//! Many tasks watched on one connection.

use std::{net::SocketAddr, time::Duration};

use api::{ApiConfig, limits::SOCKET_TOPICS_MAX, serve};
use futures_util::{SinkExt, StreamExt};
use jobs::{
    Definition,
    kinds::Noop,
    store::{self, New, Options},
};
use models::{
    Db, OwnerId, api_keys,
    id::TaskId,
    on_both,
    roles::{Permission, Role},
    sessions::{self, End},
    testing::TestResult,
};
use poem::Route;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::frame::coding::CloseCode},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    harness::Api,
    people::{closed, token, user},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// The API on a socket.
struct Server {
    api: Api,
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    async fn start(db: &Db) -> TestResult<Self> {
        Self::over(Api::new(db)).await
    }

    async fn over(api: Api) -> TestResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let serving = serve(
            api.app.clone(),
            ApiConfig::default(),
            listener,
            stop.clone(),
        );
        Ok(Self {
            api,
            address,
            stop,
            running: tokio::spawn(serving),
        })
    }

    async fn client(&self) -> TestResult<Client> {
        let (socket, _) = connect_async(format!("ws://{}/v1/ws", self.address)).await?;
        Ok(Client(socket))
    }

    /// A client with a token.
    async fn client_of(&self, token: &str) -> TestResult<Client> {
        let mut request = format!("ws://{}/v1/ws", self.address).into_client_request()?;
        request
            .headers_mut()
            .insert("authorization", token.parse()?);
        Ok(Client(connect_async(request).await?.0))
    }

    async fn stop(self) -> TestResult {
        self.stop.cancel();
        Ok(timeout(PATIENCE, self.running).await???)
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn ask(&mut self, asked: &Value) -> TestResult {
        Ok(self.0.send(Message::text(asked.to_string())).await?)
    }

    async fn subscribe(&mut self, id: TaskId, from: i64) -> TestResult {
        let asked = json!({"op": "subscribe", "topic": format!("task:{id}"), "from": from});
        self.ask(&asked).await
    }

    /// The next message that is not about the connection itself.
    async fn hear(&mut self) -> TestResult<Message> {
        loop {
            let message = timeout(PATIENCE, self.0.next())
                .await?
                .ok_or("it was closed")??;
            if !message.is_ping() && !message.is_pong() {
                return Ok(message);
            }
        }
    }

    async fn said(&mut self) -> TestResult<Value> {
        Ok(serde_json::from_str(self.hear().await?.to_text()?)?)
    }

    /// Everything that is said of a topic until nothing more comes, as `op` and the number of the event.
    async fn all(&mut self, id: TaskId) -> TestResult<Vec<(String, i64)>> {
        let topic = format!("task:{id}");
        let mut all = Vec::new();
        loop {
            let said = self.said().await?;
            if said["topic"] != topic.as_str() {
                continue;
            }
            let op = said["op"].as_str().unwrap_or_default().to_owned();
            let over = op == "unsubscribed";
            all.push((op, said["id"].as_i64().unwrap_or(0)));
            if over {
                return Ok(all);
            }
        }
    }
}

fn ops(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    let owned = |(op, id): &(&str, i64)| ((*op).to_owned(), *id);
    expected.iter().map(owned).collect()
}

async fn noops(db: &Db, owner: OwnerId, count: usize) -> TestResult<Vec<TaskId>> {
    static NOOP: Definition = Definition::of::<Noop>();
    let new = (0..count).map(|n| New {
        definition: &NOOP,
        payload: json!({"n": n}),
        options: Options::by(owner),
    });
    let mut tx = db.begin().await?;
    let tasks = store::enqueue_many(&mut tx, new.collect(), db.now()).await?;
    tx.commit().await?;
    Ok(tasks.into_iter().map(|task| task.id).collect())
}

on_both! {
    async fn events_of_several_tasks_come_on_one_connection(db: &Db) -> TestResult {
        let server = Server::start(db).await?;
        let (first, second) = (server.api.noop(1).await?, server.api.noop(2).await?);
        let mut client = server.client().await?;
        client.subscribe(first, 0).await?;
        client.subscribe(second, 0).await?;

        server.api.succeed(first).await?;
        let of_first = client.all(first).await?;
        server.api.fail(second).await?;
        // Some of the second came before the end of the first.
        let of_second = client.all(second).await?;

        let expected =
            ops(&[("subscribed", 0), ("event", 1), ("event", 2), ("event", 3), ("unsubscribed", 0)]);
        assert_eq!(of_first, expected);
        assert_eq!(of_second.last(), expected.last());
        server.stop().await
    }

    async fn a_client_that_comes_back_goes_on_where_it_was(db: &Db) -> TestResult {
        let server = Server::start(db).await?;
        let id = server.api.noop(1).await?;
        server.api.succeed(id).await?;
        let mut client = server.client().await?;

        client.subscribe(id, 1).await?;
        let rest = client.all(id).await?;
        client.subscribe(id, 3).await?;
        let nothing = client.all(id).await?;

        let expected = [("subscribed", 0), ("event", 2), ("event", 3), ("unsubscribed", 0)];
        assert_eq!(rest, ops(&expected));
        assert_eq!(nothing, ops(&[("subscribed", 0), ("unsubscribed", 0)]));
        server.stop().await
    }

    async fn what_cannot_be_done_is_answered_and_ends_nothing(db: &Db) -> TestResult {
        let server = Server::start(db).await?;
        let foreign = noops(db, Uuid::from_u128(7).into(), 1).await?[0];
        let mut client = server.client().await?;
        let topic = |id: TaskId| json!({"op": "subscribe", "topic": format!("task:{id}")});
        let cases = [
            (json!({"op": "publish", "topic": "task:7"}), "validation_failed"),
            (json!({"op": "subscribe", "topic": "course:7"}), "validation_failed"),
            (json!({"op": "subscribe", "topic": "task:7", "from": -1}), "validation_failed"),
            (json!(["subscribe"]), "validation_failed"),
            (topic(TaskId::new()), "not_found"),
            (topic(foreign), "not_found"),
        ];

        for (asked, code) in cases {
            client.ask(&asked).await?;
            let said = client.said().await?;
            assert_eq!((&said["op"], &said["code"]), (&json!("error"), &json!(code)), "{asked}");
        }
        client.0.send(Message::binary(vec![1])).await?;
        assert_eq!(client.said().await?["code"], "validation_failed");

        let id = server.api.noop(1).await?;
        client.subscribe(id, 0).await?;
        assert_eq!(client.said().await?["op"], "subscribed");
        server.stop().await
    }

    async fn a_connection_has_so_many_topics_and_no_more(db: &Db) -> TestResult {
        let server = Server::start(db).await?;
        let ids = noops(db, OwnerId::LOCAL, SOCKET_TOPICS_MAX + 1).await?;
        let mut client = server.client().await?;
        for id in &ids {
            client.subscribe(*id, 1).await?;
        }
        let mut subscribed = 0;
        let refused = loop {
            let said = client.said().await?;
            if said["op"] == "error" {
                break said;
            }
            subscribed += usize::from(said["op"] == "subscribed");
        };
        assert_eq!((subscribed, &refused["code"]), (SOCKET_TOPICS_MAX, &json!("validation_failed")));

        let last = ids[SOCKET_TOPICS_MAX];
        let topic = format!("task:{}", ids[0]);
        client.ask(&json!({"op": "unsubscribe", "topic": topic})).await?;
        assert_eq!(client.said().await?, json!({"op": "unsubscribed", "topic": topic}));
        client.subscribe(last, 1).await?;
        assert_eq!(client.said().await?["op"], "subscribed");
        for id in &ids {
            server.api.app.bell.announce(*id);
        }
        server.api.succeed(last).await?;
        assert_eq!(client.all(last).await?, ops(&[("event", 2), ("event", 3), ("unsubscribed", 0)]));
        server.stop().await
    }

    async fn a_stopping_server_says_so_to_everybody(db: &Db) -> TestResult {
        let server = Server::start(db).await?;
        let mut clients = [server.client().await?, server.client().await?];
        let id = server.api.noop(1).await?;
        for client in &mut clients {
            client.subscribe(id, 1).await?;
            assert_eq!(client.said().await?["op"], "subscribed");
        }

        server.stop.cancel();
        for client in &mut clients {
            let Message::Close(Some(frame)) = client.hear().await? else {
                return Err("no reason was given".into());
            };
            assert_eq!(frame.code, CloseCode::Away);
        }
        drop(clients);

        server.stop().await
    }

    async fn it_is_closed_for_who_may_read_tasks_no_more(db: &Db) -> TestResult {
        let mut app = closed(db).app;
        app.timeouts.ping = Duration::from_millis(20);
        let server = Server::over(Api::with(app, Route::new())).await?;
        let (ada, eve) = (user(db, "ada", Role::Author).await?, user(db, "eve", Role::Author).await?);
        let (mut tx, now) = (db.begin().await?, db.now());
        let scopes = [Permission::ReadTasks];
        let (key, secret) = api_keys::create(&mut tx, eve, "ci", &scopes, None, now).await?;
        tx.commit().await?;
        let by = token(&server.api, ada).await?;
        let mut clients = [server.client_of(&by).await?, server.client_of(&format!("Bearer {secret}")).await?];

        let mut tx = db.begin().await?;
        sessions::end_all(&mut tx, ada, End::Logout, now).await?;
        api_keys::revoke(&mut tx, eve, key.id, now).await?;
        tx.commit().await?;

        for client in &mut clients {
            let Message::Close(Some(frame)) = client.hear().await? else {
                return Err("no reason was given".into());
            };
            assert_eq!(frame.code, CloseCode::Policy);
        }
        drop(clients);
        server.stop().await
    }

    async fn a_page_of_another_site_opens_none(db: &Db) -> TestResult {
        let server = Server::start(db).await?;
        let mut request = format!("ws://{}/v1/ws", server.address).into_client_request()?;
        request.headers_mut().insert("origin", "https://example.com".parse()?);

        let refused = connect_async(request).await.err().map(|error| error.to_string());

        assert!(refused.as_ref().is_some_and(|error| error.contains("403")), "{refused:?}");
        server.stop().await
    }
}
