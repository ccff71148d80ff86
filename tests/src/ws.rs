//! A WebSocket, message by message.

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::app::PATIENCE;

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one at a server, by its address for HTTP.
    pub async fn open(base: &str) -> anyhow::Result<Self> {
        let address = base.replacen("http", "ws", 1);
        let (socket, _) = connect_async(format!("{address}/v1/ws")).await?;
        Ok(Self(socket))
    }

    /// Subscribes to a task, from after that event on.
    pub async fn subscribe(&mut self, id: &str, from: u64) -> anyhow::Result<()> {
        let asked = json!({"op": "subscribe", "topic": format!("task:{id}"), "from": from});
        Ok(self.0.send(Message::text(asked.to_string())).await?)
    }

    /// The next thing that the server says.
    pub async fn said(&mut self) -> anyhow::Result<Value> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await?;
            let message = message.context("it was closed")??;
            if message.is_text() {
                return Ok(serde_json::from_str(message.to_text()?)?);
            }
        }
    }
}
