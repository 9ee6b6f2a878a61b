//! The event stream of one browser.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::web::Bytes;
use futures::Stream;

use super::buffer::Buffer;
use super::hub::Hub;

/// Sets the delay before a browser reconnects, milliseconds.
const BEGINNING: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// Body of the answer. Dropping it, as when the browser disconnects, makes room for another.
pub struct EventStream {
    hub: Hub,
    id: u64,
    buffer: Arc<Buffer>,
    has_begun: bool,
}

impl EventStream {
    pub(super) fn new(hub: Hub, id: u64, buffer: Arc<Buffer>) -> Self {
        Self { hub, id, buffer, has_begun: false }
    }
}

impl Stream for EventStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.has_begun {
            self.has_begun = true;
            return Poll::Ready(Some(Ok(BEGINNING)));
        }
        self.buffer.poll_next(context).map(|event| event.map(Ok))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.hub.forget(self.id);
    }
}
