//! Live events: from a queue of this process to the browsers that follow them.
//!
//! [`listener`] consumes the events, [`event`] turns them into messages for browsers, [`hub`] distributes these to
//! the browsers that follow, and [`stream`] is the answer to one browser. A browser never blocks the others: each has
//! a small buffer, and one that does not keep up loses the content of its buffer and is notified.

mod buffer;
mod event;
mod hints;
mod hub;
pub mod listener;
mod stream;

pub use hub::{Full, Hub};
pub use stream::EventStream;
