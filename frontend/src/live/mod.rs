//! Live events: from a queue of this process's own to the browsers that follow them.
//!
//! [`listener`] hears the broker, [`event`] says what browsers are told of an event, [`hub`] hands it to those that
//! asked, [`stream`] is one browser's answer. Nobody waits for a browser: each has a small buffer, and one that does
//! not keep up loses what is in it and is told so.

mod buffer;
mod event;
mod hub;
pub mod listener;
mod shelves;
mod stream;

pub use hub::{Full, Hub};
pub use stream::EventStream;
