//! What needs a process of its own.

#![expect(clippy::expect_used, reason = "a broken surrounding must stop the test with a sentence")]

mod traces;
