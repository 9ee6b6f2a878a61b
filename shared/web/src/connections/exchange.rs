//! One request and its answer on a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{Payload, Request, Response};
use actix_web::web::Bytes;
use futures::Stream;

use super::{Connection, Connections, Wait};

/// Answers are written in parts of this size, so that one that is not read takes no more than that.
const PART_BYTES: usize = 8 * 1024;

/// Marks an answer whose body is in memory anyway, such as a file, so that it is not counted for each client.
#[derive(Debug, Clone, Copy)]
pub struct SharedBody;

/// A connection as its requests know it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(super) connection: Arc<Connection>,
    pub(super) connections: Connections,
}

/// Notes that a request arrived, and gives its body a deadline.
pub(crate) fn receive(request: &mut Request) -> Option<Handle> {
    let handle = request.conn_data::<Handle>()?.clone();
    let body = match request.take_payload() {
        Payload::None => {
            handle.connection.begin(false);
            return Some(handle);
        }
        body => body,
    };
    handle.connection.begin(true);
    let body = Body { body, connection: Arc::clone(&handle.connection) };
    *request.payload() = Payload::Stream { payload: Box::pin(body) };
    Some(handle)
}

/// Writes the answer in parts, and notes when it is complete.
pub(crate) fn answer_with<B: MessageBody + 'static>(answer: Response<B>, handle: Option<Handle>) -> Response<BoxBody> {
    let is_shared = answer.extensions().contains::<SharedBody>();
    answer.map_body(|_, body| match handle {
        Some(handle) => BoxBody::new(Parts { body: body.boxed(), rest: Bytes::new(), is_shared, handle }),
        None => body.boxed(),
    })
}

struct Body {
    body: Payload,
    connection: Arc<Connection>,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        match &next {
            Poll::Ready(part) => self.connection.body_arrived(part.is_none()),
            Poll::Pending => {
                self.connection.wake_on_change(context.waker());
                if self.connection.wants_body() {
                    self.connection.body_given_up();
                    let detail = format!("it did not arrive within {} seconds", Wait::Body.limit().as_secs());
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, detail).into())));
                }
            }
        }
        next
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.connection.body_given_up();
    }
}

struct Parts {
    body: BoxBody,
    rest: Bytes,
    is_shared: bool,
    handle: Handle,
}

impl Parts {
    /// Notes how much of the answer waits here.
    fn hold(&self) {
        let bytes = if self.is_shared { 0 } else { self.rest.len() };
        if bytes != self.handle.connection.unread_bytes() {
            self.handle.connections.hold(&self.handle.connection, bytes);
        }
    }
}

impl MessageBody for Parts {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        }
        let size = self.rest.len().min(PART_BYTES);
        let part = self.rest.split_to(size);
        self.hold();
        Poll::Ready(Some(Ok(part)))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.rest = Bytes::new();
        self.hold();
        self.handle.connection.answered();
    }
}
