//! Many tasks watched on one connection, by WebSocket.
//!
//! The path stands outside of the specification, which knows requests and answers only; its
//! introduction describes it.

mod said;
mod session;

use poem::{
    IntoResponse, Request, Response, handler,
    web::{
        Data,
        websocket::{WebSocket, WebSocketConfig},
    },
};

use self::session::Session;
use crate::{
    app::App,
    caller::{Permission, admit},
    codes,
    limits::{SOCKET_BUFFER_BYTES, SOCKET_MESSAGE_BYTES_MAX},
    problem::Problem,
};

/// Opens a WebSocket on which a client subscribes to the events of its tasks.
#[handler]
pub(crate) async fn connect(
    Data(app): Data<&App>,
    request: &Request,
    socket: poem::Result<WebSocket>,
) -> Result<Response, Problem> {
    let caller = admit(request, Permission::ReadTasks).await?;
    let seat = app.sockets.seat(caller.owner, &codes::TOO_MANY_SOCKETS)?;
    let code = &codes::UPGRADE_REQUIRED;
    let socket = socket.map_err(|_| Problem::new(code, code.meaning))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(SOCKET_BUFFER_BYTES)
        .write_buffer_size(SOCKET_BUFFER_BYTES)
        .max_message_size(Some(SOCKET_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(SOCKET_MESSAGE_BYTES_MAX));
    let app = app.clone();
    let upgraded = socket.config(config).on_upgrade(move |socket| async move {
        Session::new(app, caller, socket).run().await;
        drop(seat);
    });
    Ok(upgraded.into_response())
}
