//! The factory simulator, in this process and as a program.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod http;
mod program;
