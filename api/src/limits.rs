//! Every bound of the HTTP interface, in one place.

use std::time::Duration;

use crate::throttle::Policy;

/// The largest request body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The largest body of a batch of tasks.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// The most items in one batch of tasks.
pub const BATCH_ITEMS_MAX: usize = 1_000;

/// The most tasks that one bulk action changes.
pub const BULK_MAX: u32 = 1_000;

/// The longest name of a schedule, in characters.
pub const SCHEDULE_NAME_MAX: usize = 200;
/// The largest delivery of events by another service: `SendGrid` gathers up to 768 KiB.
pub const WEBHOOK_BYTES_MAX: usize = 1024 * 1024;

/// Events that are written down in one transaction at most.
pub const EVENTS_AT_ONCE_MAX: usize = 100;

/// What a body of several parts may have beyond the file in it.
pub const MULTIPART_EXTRA_BYTES_MAX: u64 = 16 * 1024;

/// What is held of a body of several parts until the next bytes of the file are known.
pub const MULTIPART_HELD_BYTES_MAX: usize = 1024 * 1024;

/// What is read of a file that was refused, so that its client sees the answer.
pub const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a file that was refused is read on.
pub const DRAIN_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A piece of an upload that is written, and remembered when the connection breaks, at once.
pub const UPLOAD_PIECE_BYTES: usize = 4 * 1024 * 1024;

/// The longest description of an upload by its client.
pub const UPLOAD_METADATA_BYTES_MAX: usize = 4 * 1024;

/// How many files one caller may bring to a process at once. Each holds some megabytes.
pub const FILES_ARRIVING_PER_CALLER_MAX: usize = 8;

/// How many files may arrive in a process at once.
pub const FILES_ARRIVING_MAX: usize = 64;

/// How long a request waits until a file was made of its upload. Then it is answered without, and
/// `GET` tells. Shorter than `REQUEST_TIMEOUT` and `IDLE_TIMEOUT`.
pub const UPLOAD_JOIN_WAIT: Duration = Duration::from_secs(25);

/// How long a request that brings a file may take. Within it, no pause may be longer than
/// `BODY_TIMEOUT`.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_hours(1);

/// The longest life of a signed link, in seconds.
pub const LINK_SECONDS_MAX: u32 = 24 * 60 * 60;
/// The usual life of a signed link, in seconds.
pub const LINK_SECONDS: u32 = 15 * 60;

/// How deep arrays and objects of a request body may nest.
pub const JSON_DEPTH_MAX: usize = 32;

/// How long a client may take to send a body whose header has arrived.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a request may take until its answer begins, beyond the wait that it asked for.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest wait that `Prefer: wait` gets.
pub const WAIT_SECONDS_MAX: u64 = 60;

/// The slowest polling that `Retry-After` ever advises.
pub const POLL_SECONDS_MAX: u64 = 15;

/// How often a comment keeps a quiet event stream alive, through proxies and past `IDLE_TIMEOUT`.
pub const EVENTS_COMMENT_PERIOD: Duration = Duration::from_secs(15);

/// The most events that are read from the database at once.
pub const EVENTS_PAGE: u32 = 100;

/// How often one caller may have a WebSocket open in a process.
pub const SOCKETS_PER_CALLER_MAX: usize = 1_000;

/// The most topics that one WebSocket is subscribed to.
pub const SOCKET_TOPICS_MAX: usize = 100;

/// The most topics whose events are read at once for one WebSocket.
pub const SOCKET_TOPICS_AT_ONCE: usize = 16;

/// The largest message that a client may send on a WebSocket.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// What a WebSocket reads and writes at once.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024;

/// How often a WebSocket is asked for a sign of life.
pub const SOCKET_PING_PERIOD: Duration = Duration::from_secs(20);

/// A WebSocket from which nothing came for so long, no answer to a ping either, is closed (1008).
pub const SOCKET_SILENCE_MAX: Duration = Duration::from_mins(1);

/// A WebSocket that was subscribed to nothing for so long is closed (1000).
pub const SOCKET_IDLE_MAX: Duration = Duration::from_mins(5);

/// A WebSocket that takes no message for so long is closed (1013).
pub const SOCKET_SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to answer that its WebSocket is closed.
pub const SOCKET_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most open connections; one more replaces the oldest that has not sent a request.
pub const CONNECTIONS_MAX: usize = 4_096;

/// How long a connection may take to send the header of a request.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be silent in both directions. It outlasts the longest wait.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long running requests may take to end once the server was told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// Passwords that are hashed at the same time at most: each takes 19 MiB and a core.
pub const HASHES_AT_ONCE_MAX: usize = 4;

/// Tries of one password from one place, whether there is such an account or not. Not of the password
/// alone: whoever knows an address could keep its owner out.
pub const LOGINS: Policy = Policy::new("logins", 10, Duration::from_secs(30));

/// Tries of one password from everywhere.
pub const LOGINS_PER_ADDRESS: Policy = Policy::new("logins_address", 100, Duration::from_secs(5));

/// Tries of the password of who has signed in.
pub const PROOFS: Policy = Policy::new("proofs", 10, Duration::from_secs(30));

/// Codes of the second factor of one account that are tried by who knows its password: some hundreds a day of a
/// million. Whoever is guessed at chooses another password.
pub const SECOND_FACTORS: Policy = Policy::new("second_factors", 10, Duration::from_mins(5));

/// Tries from one place, whoever's password it is.
pub const LOGINS_PER_PLACE: Policy = Policy::new("logins_place", 50, Duration::from_secs(2));

/// Exchanges of tokens from one place.
pub const REFRESHES: Policy = Policy::new("refreshes", 100, Duration::from_millis(500));

/// Accounts asked for from one place.
pub const REGISTRATIONS: Policy = Policy::new("registrations", 20, Duration::from_secs(30));

/// Mails to choose a new password, to one address.
pub const FORGOTTEN: Policy = Policy::new("forgotten", 3, Duration::from_mins(10));

/// Links that are followed from one place.
pub const LINKS: Policy = Policy::new("links", 50, Duration::from_secs(2));

/// Mails to confirm that an account moves, to one address.
pub const ADDRESS_MAILS: Policy = Policy::new("address_mails", 3, Duration::from_mins(10));

/// Mails to choose a new password that are written at the same time at most.
pub const RESETS_AT_ONCE_MAX: usize = 16;

/// Mails to choose a new password, asked for from one place.
pub const FORGOTTEN_PER_PLACE: Policy = Policy::new("forgotten_place", 20, Duration::from_secs(30));

/// How often a second one caller may read.
pub const READS_PER_SECOND: u32 = 200;

/// How often a second one caller may change something. A batch of tasks is one change.
pub const WRITES_PER_SECOND: u32 = 40;

/// So many seconds' worth of reads or changes may come at once.
pub const BURST_SECONDS: u32 = 30;

/// The longest `X-Request-Id` that is taken over from a client.
pub const REQUEST_ID_LENGTH_MAX: usize = 128;

/// The times that are bounds on a request, and on a message. The default is the one to use; tests have less
/// patience.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// How long a client may take to send a body.
    pub body: Duration,
    /// How long a request may take until its answer begins, beyond the wait that it asked for.
    pub request: Duration,
    /// How long a reader may take to take one message of a WebSocket.
    pub send: Duration,
    /// The same for a request that brings a file.
    pub upload: Duration,
    /// How often a WebSocket is asked for a sign of life, and its caller looked up again.
    pub ping: Duration,
    /// How often a quiet event stream gets a comment, and the caller of any is looked up again.
    pub comment: Duration,
    /// How long a request waits until a file was made of its upload.
    pub join: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            body: BODY_TIMEOUT,
            request: REQUEST_TIMEOUT,
            send: SOCKET_SEND_TIMEOUT,
            upload: UPLOAD_TIMEOUT,
            ping: SOCKET_PING_PERIOD,
            comment: EVENTS_COMMENT_PERIOD,
            join: UPLOAD_JOIN_WAIT,
        }
    }
}
