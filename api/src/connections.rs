//! Bounds on connections, which the server underneath does not have: how many there are, how long
//! one may take to send a header, and how long it may be silent.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use poem::{
    http::uri::Scheme,
    listener::{Acceptor, TcpAcceptor},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{guarded::Guarded, serve::ApiConfig};

/// How long to leave the system alone when it refuses a connection, for want of files mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections within bounds.
pub(crate) struct Connections {
    acceptor: TcpAcceptor,
    config: ApiConfig,
    permits: Arc<Semaphore>,
    seats: Seats,
}

impl Connections {
    /// Wraps an acceptor.
    pub(crate) fn new(acceptor: TcpAcceptor, config: ApiConfig) -> Self {
        let permits = Arc::new(Semaphore::new(config.connections_max));
        Self {
            acceptor,
            config,
            permits,
            seats: Seats::default(),
        }
    }

    /// The right to one more connection. When there is none left, the oldest connection that has not
    /// sent a request makes room: somebody who opens connections and says nothing keeps nobody out.
    async fn permit(&self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        if !self.seats.evict_oldest() {
            warn!(
                "All {} connections are at work: a new one waits",
                self.config.connections_max
            );
        }
        Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(io::Error::other)
    }
}

impl Acceptor for Connections {
    type Io = Guarded<TcpStream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.acceptor.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, local, remote, scheme) = match self.acceptor.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // The server asks again at once, and again, for as long as the cause lasts.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return Err(error);
            }
        };
        let permit = self.permit().await?;
        stream.set_nodelay(true)?;
        let guarded = Guarded::new(stream, self.config, self.seats.take(permit));
        Ok((guarded, local, remote, scheme))
    }
}

/// The connections that have not sent a request yet, in the order in which they came.
#[derive(Clone, Debug, Default)]
struct Seats(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    connections: BTreeMap<u64, CancellationToken>,
}

impl Seats {
    fn take(&self, permit: OwnedSemaphorePermit) -> Seat {
        let evicted = CancellationToken::new();
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(number, evicted.clone());
        Seat {
            seats: self.clone(),
            number,
            evicted,
            _permit: permit,
        }
    }

    fn evict_oldest(&self) -> bool {
        let oldest = self.lock().connections.pop_first();
        oldest.inspect(|(_, evicted)| evicted.cancel()).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection among the others.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    number: u64,
    /// Cancelled when the connection has to make room.
    pub(crate) evicted: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// The connection has sent a request: from now on it stays.
    pub(crate) fn keep(&self) {
        self.seats.lock().connections.remove(&self.number);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.keep();
    }
}
