//! The socket of a connection, which ends when its client was waited for too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::MayRead;
use super::{Connection, Connections};

pub(crate) struct Watched {
    io: TcpStream,
    connection: Arc<Connection>,
    connections: Connections,
}

impl Watched {
    /// None if there is no room.
    pub(crate) fn new(io: TcpStream, connections: &Connections) -> Option<Self> {
        let connection = connections.admit()?;
        Some(Self { io, connection, connections: connections.clone() })
    }

    /// For the requests that arrive on it.
    pub(crate) fn handle(&self) -> super::exchange::Handle {
        super::exchange::Handle { connection: Arc::clone(&self.connection), connections: self.connections.clone() }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.connections.remove(&self.connection);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.wake_on_change(context.waker());
        match self.connection.may_read() {
            MayRead::Yes => {}
            MayRead::Later => return Poll::Pending,
            MayRead::AfterParsing => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // As if the client had closed its side: an answer that is being written still gets there.
            MayRead::No => return Poll::Ready(Ok(())),
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        self.connection.has_read(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.wake_on_change(context.waker());
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if written.is_pending() && self.connection.is_blocked() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }

    /// The dispatcher flushes when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.flushed();
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
