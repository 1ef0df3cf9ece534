//! How much may go on at once: open connections, callbacks under way, octets of callbacks that wait for the writer.
//!
//! What is too much is turned away at once and never queues: providers call again, and whoever floods the daemon waits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::HttpLimits;
use crate::telemetry::Metrics;

/// The bounds that every callback passes.
#[derive(Debug)]
pub(super) struct Gate {
    callbacks: Arc<Semaphore>,
    octets: Arc<Semaphore>,
    all_octets: u32,
}

/// A place or room that was taken; dropped, it is free again.
pub(super) type Taken = OwnedSemaphorePermit;

/// What a callback takes up at least, whatever its body is: what was read from it, and its place in queues.
const LEAST_OCTETS: u32 = 4_096;

impl Gate {
    pub(super) fn new(limits: HttpLimits) -> Self {
        let all_octets = u32::try_from(limits.waiting_bytes).unwrap_or(u32::MAX);
        let octets = Arc::new(Semaphore::new(all_octets as usize));
        Self { callbacks: Arc::new(Semaphore::new(limits.callbacks)), octets, all_octets }
    }

    /// A place among the callbacks under way, taken before the body is read; none if all are taken.
    pub(super) fn enter(&self) -> Option<Taken> {
        Arc::clone(&self.callbacks).try_acquire_owned().ok()
    }

    /// Room for a body until it is on disk; none if others fill it. A body larger than all the room waits to be alone.
    pub(super) fn hold(&self, octets: usize) -> Option<Taken> {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX).max(LEAST_OCTETS).min(self.all_octets);
        Arc::clone(&self.octets).try_acquire_many_owned(octets).ok()
    }
}

/// Takes so many connections at a time and closes every other one before a byte of it is read.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Connections {
    pub(super) fn new(most: usize, metrics: Arc<Metrics>) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), metrics }
    }
}

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = Connection;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.refused_connections.inc();
            return std::future::ready(Err(io::Error::other("too many connections")));
        };
        let taken = stream.set_nodelay(true);
        std::future::ready(taken.map(|()| (Connection { stream, _place: place }, service)))
    }
}

/// A connection that gives its place back when it closes.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    _place: Taken,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
