//! A connection that ends itself when it takes too long.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    connections::Seat,
    framing::{Framing, Phase},
    serve::ApiConfig,
};

/// A stream that fails once its time is over; the server then closes it.
pub(crate) struct Guarded<S> {
    stream: S,
    config: ApiConfig,
    framing: Framing,
    seat: Seat,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When the present header began to be awaited, and when bytes last passed.
    header_since: Instant,
    active_at: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Guarded<S> {
    /// Guards a fresh connection.
    pub(crate) fn new(stream: S, config: ApiConfig, seat: Seat) -> Self {
        let now = Instant::now();
        Self {
            stream,
            config,
            framing: Framing::new(),
            evicted: Box::pin(seat.evicted.clone().cancelled_owned()),
            seat,
            header_since: now,
            active_at: now,
            alarm: Box::pin(sleep_until(now + config.header_timeout)),
        }
    }

    fn deadline(&self) -> Instant {
        match self.framing.phase() {
            // Bytes do not move this one: whoever sends a header byte by byte runs out of time.
            Phase::Header => self.header_since + self.config.header_timeout,
            Phase::Request | Phase::Tunnel => self.active_at + self.config.idle_timeout,
        }
    }

    /// Fails once the time is over; until then, has the task woken at that time.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.evicted.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // The alarm is not moved with every byte, so it may ring too early.
        while self.alarm.as_mut().poll(cx).is_ready() {
            let deadline = self.deadline();
            if deadline <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.alarm.as_mut().reset(deadline);
        }
        Ok(())
    }

    fn passed(&mut self, note: impl FnOnce(&mut Framing)) {
        let before = self.framing.phase();
        note(&mut self.framing);
        self.active_at = Instant::now();
        let after = self.framing.phase();
        if before == after {
            return;
        }
        if after == Phase::Header {
            self.header_since = self.active_at;
            let deadline = self.deadline();
            self.alarm.as_mut().reset(deadline);
        } else {
            self.seat.keep();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        self.passed(|framing| framing.read(bytes));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.passed(|framing| framing.wrote(&bytes[..written]));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
